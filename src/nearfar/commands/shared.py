"""What several subcommands have in common: options, opening tables, printing measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table as Grid

from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nearfar.analysis import Measurement
    from nearfar.data import Table

console = Console(highlight=False)

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="ROLE=NAME",
        help="Which column plays a role: --column anchor=question. May be repeated; of several names for a "
        "role, each table takes the first that it has.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Keep rows of this value: --where label=entailment. May be repeated; several values of a column "
        "are alternatives, and a table without the column keeps all its rows.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def pairs_of(option: str, given: Sequence[str] | None) -> dict[str, list[str]]:
    """``["a=b", "a=c"]`` to ``{"a": ["b", "c"]}``."""
    found: dict[str, list[str]] = {}
    for word in given or ():
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"--{option}: found {word!r}, wanted NAME=VALUE")
        found.setdefault(name, []).append(value)
    return found


def open_tables(
    sources: Sequence[str], columns: Sequence[str] | None = None, where: Sequence[str] | None = None
) -> list[Table]:
    """Read every source by the same mapping and filter."""
    from nearfar.data import read_table

    names, values = pairs_of("column", columns), pairs_of("where", where)
    with console.status("reading"):
        return [read_table(source, columns=names, where=values) for source in sources]


def open_model(name: str) -> SentenceTransformer:
    """Open an encoder, with a sign of life: the libraries beneath take seconds to import."""
    with console.status(f"opening {name}"):
        from transformers.utils import logging

        from nearfar import encoders

        logging.disable_progress_bar()
        return encoders.open_model(name)


def check_file(path: Path, overwrite: bool) -> None:
    """Raise an InputError where `path` cannot be written or already holds something."""
    if path.is_dir():
        raise InputError(f"{path}: found a folder, wanted the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: found a file, wanted a free name or --overwrite")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: found no folder {path.absolute().parent}, wanted one to write into")


def show_measurements(measurements: Sequence[Measurement], title: str | None = None) -> None:
    """Print figures, each with its interval."""
    grid = Grid(title=title, title_justify="left", caption_justify="left")
    if any(m.intervals for m in measurements):
        grid.caption = "in brackets: 95 % bootstrap interval over the rows"
    for name in ("data", "task", "rows", "figure", "value"):
        grid.add_column(name, justify="right" if name in ("rows", "value") else "left")
    for measurement in measurements:
        for place, (name, value) in enumerate(measurement.figures.items()):
            low_high = measurement.intervals.get(name)
            shown = f"{value:.4f}" + (f" [{low_high[0]:.4f}, {low_high[1]:.4f}]" if low_high else "")
            first = (measurement.source, measurement.task, str(measurement.rows))
            grid.add_row(*(first if place == 0 else ("", "", "")), name, shown)
    console.print(grid, markup=False)
