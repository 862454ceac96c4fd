"""What several subcommands have in common: options, opening tables, printing measurements."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nearfar.analysis import Measurement
    from nearfar.data import Table
    from nearfar.data.streams import Stream


def rank() -> int:
    """This process's number among those that torchrun or the like has started, 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def several() -> bool:
    """Whether torchrun or the like has started other processes beside this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


console = Console(highlight=False, emoji=False, quiet=rank() > 0)


def say(message: str, style: str | None = None) -> None:
    """Print a message as it is, in one line however long: a log or a pipe has no width, and a terminal wraps itself."""
    console.print(message, markup=False, soft_wrap=True, style=style)


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
SEEDS = 2**32 - 1
"""The largest seed that all the libraries beneath take."""

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


def open_streams(
    sources: Sequence[str],
    columns: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
    *,
    known: Sequence[str] = (),
) -> list[Stream]:
    """Open every source as a stream; see `open_tables`."""
    from nearfar.data.streams import STANDARD_INPUT, read_stream

    names, values = pairs_of("column", columns), pairs_of("where", where)
    if STANDARD_INPUT not in sources:
        check_named(names, values, [*sources, *known])
    return [read_stream(source, columns=names, where=values) for source in sources]


def open_tables(
    sources: Sequence[str],
    columns: Sequence[str] | None = None,
    where: Sequence[str] | None = None,
    *,
    known: Sequence[str] = (),
) -> list[Table]:
    """Read every source by the same mapping and filter.

    Args:
        sources: tables.
        columns: of --column.
        where: of --where.
        known: further tables, whose columns these options may name as well.
    """
    from nearfar.data import read_table
    from nearfar.data.roles import check_mapped

    names, values = pairs_of("column", columns), pairs_of("where", where)
    with console.status("reading"):
        check_mapped(names)
        check_named(names, values, [*sources, *known])
        return [read_table(source, columns=names, where=values) for source in sources]


def check_named(names: Mapping[str, Sequence[str]], values: Mapping[str, object], sources: Sequence[str]) -> None:
    """Raise an InputError where no table has what an option names: a slip would else train on something different."""
    if not (names or values):
        return
    from nearfar.data import columns_of
    from nearfar.data.cells import listed, shown

    there = dict.fromkeys(column for source in sources for column in columns_of(source))
    wanted = f"wanted one of {listed(there)}, the columns of {listed(sources)}"
    for role, choices in names.items():
        if not any(choice in there for choice in choices):
            raise InputError(f"--column {role}: found {' or '.join(map(shown, choices))}, {wanted}")
    for column in values:
        if column not in there:
            raise InputError(f"--where: found column {shown(column)}, {wanted}")


def open_model(name: str) -> SentenceTransformer:
    """Open an encoder, with a sign of life: the libraries beneath take seconds to import."""
    with console.status(escape(f"opening {name}")):
        from transformers.utils import logging

        from nearfar import encoders

        logging.disable_progress_bar()
        return encoders.open_model(name)


def check_language(language: str) -> None:
    """Raise an InputError for one that the pages are not written in."""
    from nearfar.analysis.words import LANGUAGES

    if language not in LANGUAGES:
        raise InputError(f"--language: found {language!r}, wanted {' or '.join(LANGUAGES)}")


def check_file(path: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise an InputError where `path` cannot be written, already holds something or is one of the inputs."""
    if path.is_dir():
        raise InputError(f"{path}: found a folder, wanted the name of a file")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: found a file, wanted a free name or --overwrite")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: found no folder {path.absolute().parent}, wanted one to write into")
    if path.exists() and any(_holds(source, path) for source in inputs):
        raise InputError(f"{path}: found a file that is read as well, wanted another name")


def check_files(paths: Sequence[Path | None], overwrite: bool, inputs: Sequence[str]) -> None:
    """`check_file` for each that is named; two that are the same are an InputError."""
    named = [path for path in paths if path]
    for place, path in enumerate(named):
        check_file(path, overwrite, inputs)
        if any(path.resolve() == other.resolve() for other in named[:place]):
            raise InputError(f"{path}: found the name of two files to write, wanted a name for each")


def _holds(source: str, path: Path) -> bool:
    """Whether a source is this file, or a folder that it is read from."""
    from nearfar.data.readers import READERS, format_of

    places = [path, path.absolute().parent] if format_of(path) in READERS else [path]
    return os.path.exists(source) and any(os.path.samefile(source, place) for place in places)


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; what is no regular file, such as /dev/stdout, as it comes.

    Raises:
        InputError: the disk is full or the folder not writable.
    """
    from nearfar.data.writing import whole_file

    with whole_file(path) as place:
        place.write_text(text, "utf-8")


def brief(measurement: Measurement) -> str:
    """Table, name and value of its main figure."""
    return f"{Path(measurement.source).name} {measurement.main} {measurement.figures[measurement.main]:.4f}"


def show_measurements(measurements: Sequence[Measurement], title: str | None = None) -> None:
    """Print figures, each with its interval."""
    grid = Grid(title=title, title_justify="left", caption_justify="left")
    if any(m.intervals for m in measurements):
        grid.caption = "in brackets: 95 % bootstrap interval over the rows"
    for name in ("data", "task", "rows", "figure", "value"):
        grid.add_column(name, justify="right" if name in ("rows", "value") else "left", overflow="fold")
    for measurement in measurements:
        for place, (name, value) in enumerate(measurement.figures.items()):
            low_high = measurement.intervals.get(name)
            shown = f"{value:.4f}" + (f" [{low_high[0]:.4f}, {low_high[1]:.4f}]" if low_high else "")
            first = (measurement.source, measurement.task, str(measurement.rows))
            grid.add_row(*(first if place == 0 else ("", "", "")), name, shown)
    console.print(grid, markup=False)
