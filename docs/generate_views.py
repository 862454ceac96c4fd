"""Writes the examples in docs/views.md: each view on the same English and Korean texts.

python docs/generate_views.py

Needs kiwipiepy, nltk and WordNet; all else on the page is written by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nearfar.data.views import VIEWS, View, Views
from nearfar.data.views.base import options, wanted

PAGE = Path(__file__).parent / "views.md"
BEGIN, END = "<!-- written by generate_views.py -->\n", "<!-- end of what generate_views.py writes -->\n"

TEXTS = (
    "The museum opens at noon. Its quick tour is fun for a child, and the old garden behind it is free.",
    "박물관은 정오에 문을 연다. 짧은 관람은 아이들이 좋아하고, 뒤쪽의 오래된 정원은 무료로 볼 수 있다.",
)


def section(name: str, view: type[View]) -> Iterator[str]:
    """The lines of a view."""
    yield f"### {name}\n"
    yield f"{' '.join(str(view.__doc__).partition(chr(10) * 2)[0].split())} Source: {view.source}.\n"
    yield f"- **Keeps** {view.keeps}."
    yield f"- **May break** {view.breaks}."
    for each in options(view):
        default = f"`{each.name}={each.default}`"
        yield f"- {default}: {each.metadata['about']}; {wanted(each)}."
    yield ""
    yield from examples(name, view)


def examples(name: str, view: type[View]) -> Iterator[str]:
    """A table of what becomes of the texts, with the random numbers of rows 0 and 1 and of three epochs."""
    if view.space != "text":
        return
    views = Views((view(),))
    if name in ("paraphrase", "backtranslate"):
        return
    yield "| anchor | positive |\n| --- | --- |"
    for row, text in enumerate(TEXTS):
        for epoch in range(2):
            anchor, positive = views.pair(text, seed=0, row=row, epoch=epoch)
            if epoch == 0 or positive != text:
                yield f"| {anchor} | {'(unchanged)' if positive == anchor else positive} |"
    yield ""


def written(page: str) -> str:
    """The page with its examples made again."""
    before, _, rest = page.partition(BEGIN)
    lines = [line for name, view in VIEWS.items() for line in section(name, view)]
    return before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
