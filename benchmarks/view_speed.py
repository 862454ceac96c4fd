"""Sentences a second of each view on one core, as a table in Markdown.

    python benchmarks/view_speed.py english.txt.gz korean.txt.gz [--rows 20000] [--rounds 3]

A file holds a sentence a line. The first pass works out what is kept of a text (Korean morphemes, a word's
synonyms); the later ones, as of further epochs, find it there. A name in the table is the file's.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path
from statistics import median

from nearfar.data import read_table
from nearfar.data.views import VIEWS, Views, korean
from nearfar.errors import InputError

BATCH = 2_000


def passes(setting: str, texts: list[str], rounds: int) -> list[float]:
    """Sentences a second of each pass."""
    views, found = Views.parse([setting]), []
    views.prepare()
    for epoch in range(rounds + 1):
        start = time.perf_counter()
        for first in range(0, len(texts), BATCH):
            batch = texts[first : first + BATCH]
            views.pairs(batch, range(first, first + len(batch)), seed=0, epoch=epoch)
        found.append(len(texts) / (time.perf_counter() - start))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    columns = [list(islice(read_table(path).column("text"), given.rows)) for path in given.files]
    print("| view |" + "".join(f" {path.name}: first pass | later |" for path in given.files))
    print("| --- |" + " ---: | ---: |" * len(given.files))
    for name, view in VIEWS.items():
        if view.space != "text":
            continue
        cells = []
        for texts in columns:
            korean.forget()  # each view begins anew
            try:
                first, *later = passes(name, texts, given.rounds)
            except InputError:  # of a view that wants a model
                break
            cells += [f"{first:,.0f}", f"{median(later):,.0f}"]
        if cells:
            print(f"| `{name}` | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
