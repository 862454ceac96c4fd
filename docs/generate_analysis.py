"""Writes the table in docs/analysis.md from nearfar.analysis.verdicts and words.

python docs/generate_analysis.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nearfar.analysis.verdicts import INF, TABLE, Measure, Range
from nearfar.analysis.words import words

PAGE = Path(__file__).parent / "analysis.md"
BEGIN, END = "<!-- written by generate_analysis.py -->\n", "<!-- end of what generate_analysis.py writes -->\n"


def span(ends: Range) -> str:
    """A range in words."""
    low, high = ends
    if (low, high) == (-INF, INF):
        return "any other"
    if low == -INF:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high == INF else f"{low:g} to {high:g}"


def row(measure: Measure) -> str:
    """A line of the table."""
    name = f"{words()[measure.name].title.en}<br>`{measure.name}`"
    formula = measure.formula.replace("|", "\\|")
    judged = f"<br>of {measure.judged.replace('value', 'the value', 1)}" if measure.judged else ""
    cells = [name, formula, measure.source, f"{measure.of}, at least {measure.least}", measure.exact]
    return f"| {' | '.join([*cells, span(measure.good) + judged, span(measure.watch)])} |"


def sentences(measure: Measure) -> Iterator[str]:
    """How a figure is read, in both languages."""
    wording = words()[measure.name]
    yield f"| `{measure.name}` | {wording.reading.en} | {wording.title.ko}: {wording.reading.ko} |"


def written(page: str) -> str:
    """The page with its tables made again."""
    before, _, rest = page.partition(BEGIN)
    lines = ["| figure | formula | source | of | exact | good | watch |", "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [row(measure) for measure in TABLE]
    lines += ["", "How each is read:", "", "| figure | English | 한국어 |", "| --- | --- | --- |"]
    lines += [line for measure in TABLE for line in sentences(measure)]
    return before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
