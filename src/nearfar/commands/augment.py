"""`nearfar augment`: a table of texts to a table of pairs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text

from nearfar.commands.shared import SEEDS, Columns, Overwrite, Where, check_file, console, open_tables, say
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.data import Table
    from nearfar.data.views import Views
    from nearfar.data.views.augment import Pairs

LONGEST = 400
"""Characters of a text that a sample shows."""


def _list(wanted: bool) -> None:
    if wanted:
        show_views()
        raise typer.Exit


def augment(
    data: Annotated[str, typer.Argument(help="A table with texts.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="A .jsonl, .tsv, .csv or .parquet file.")
    ],
    view: Annotated[
        list[str],
        typer.Option("--view", metavar="NAME[:OPTION=VALUE,...]", help="May be repeated; applied in this order."),
    ],
    epochs: Annotated[int, typer.Option(min=1, help="Positives for each text, each made anew.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Of all chance.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the result is the same.")] = 1,
    samples: Annotated[int, typer.Option(min=0, help="Rows to show before anything is written.")] = 5,
    role: Annotated[str | None, typer.Option(help="Which texts, where the table has several: anchor ...")] = None,
    column: Columns = None,
    where: Where = None,
    overwrite: Overwrite = False,
    views: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="Show the views and their options.")
    ] = False,
) -> None:
    """Make positives of texts: write anchor and positive, a view of the same text, for each row.

    First some rows are shown before and after; --list shows every view, what it keeps and what it may break.

    Example: nearfar augment texts.txt -o pairs.jsonl --view crop --view typo:probability=0.5
    """
    from nearfar.data.views import Views
    from nearfar.data.writing import check_writable

    composed = Views.parse(view)
    if others := composed.in_embedding:
        raise InputError(f"--view: found {others[0].name}, which changes vectors and not text; wanted a view of texts")
    check_writable(output)
    check_file(output, overwrite, inputs=[data])
    with console.status("opening what the views need"):
        composed.prepare()
    (table,) = open_tables([data], column, where)
    chosen = _text_role(table, role, data)
    if samples:
        show_samples(table, chosen, composed, samples, seed)
    _write(table, chosen, composed, output, epochs=epochs, seed=seed, workers=workers)


def _text_role(table: Table, role: str | None, data: str) -> str:
    if role is None and table.text_roles != ("text",):
        raise InputError(
            f"{data}: found {', '.join(table.text_roles)}, wanted text, or --role with the one that pairs are made of"
        )
    chosen = role or "text"
    if chosen not in table.text_roles:
        raise InputError(f"--role: found {chosen!r}, wanted one of {', '.join(table.text_roles)} of {data}")
    return chosen


def _write(table: Table, role: str, views: Views, output: Path, *, epochs: int, seed: int, workers: int) -> None:
    from nearfar.data.roles import GROUP
    from nearfar.data.views.augment import ROWS
    from nearfar.data.views.augment import augment as augmented
    from nearfar.data.writing import write_table

    unchanged: Counter[str] = Counter()
    columns = TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    start = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=epochs * len(table))

        def batches(made: Iterator[Pairs]) -> Iterator[dict[str, list[str]]]:
            for pairs in made:
                unchanged.update(pairs.unchanged)
                grouped = {GROUP: list(islice(groups, len(pairs.anchors)))} if GROUP in table.roles else {}
                yield {"anchor": pairs.anchors, "positive": pairs.positives, **grouped}
                bar.advance(task, len(pairs.anchors))

        groups = (group for batch in table.batches(ROWS) for group in batch[GROUP] for _ in range(epochs))
        made = augmented(table, role, views, epochs=epochs, seed=seed, workers=workers)
        count = write_table(output, batches(made), overwrite=True)
    seconds = time.perf_counter() - start
    say(f"wrote {count:,} pairs to {output} in {seconds:.1f} s ({count / seconds:,.0f} a second)")
    for view in dict.fromkeys(view.name for view in views.views):
        if unchanged[view]:
            say(f"{view}: gave {unchanged[view]:,} texts back unchanged, with nothing to change in them")


def show_samples(table: Table, role: str, views: Views, count: int, seed: int) -> None:
    """Print some rows before and after, as they will be written."""
    import numpy as np

    rows = sorted(np.random.default_rng(seed).permutation(len(table))[:count].tolist())
    texts = table.select(rows).column(role)
    anchors, positives = views.pairs(texts, rows, seed=seed, epoch=0)
    views.unchanged.clear()
    grid = Grid(title=" > ".join(views.settings()), title_justify="left", show_lines=True, expand=True)
    alike = anchors == texts
    for heading in ("row", *(("before", "after") if alike else ("text", "anchor", "positive"))):
        grid.add_column(heading, overflow="fold", ratio=None if heading == "row" else 1)
    for row, *cells in zip(rows, *((texts, positives) if alike else (texts, anchors, positives)), strict=True):
        grid.add_row(str(row + 1), *map(_readable, cells))
    console.print(grid)


def _readable(text: str) -> Text:
    """A text without what a terminal would obey, and not endless."""
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return Text("".join(mark if mark.isprintable() else "·" for mark in shown))


def show_views() -> None:
    """Print every view, with what it keeps, what it may break and its options."""
    from nearfar.data.views import VIEWS
    from nearfar.data.views.base import options

    grid = Grid(show_lines=True)
    for heading in ("view", "what it does", "options and defaults"):
        grid.add_column(heading, overflow="fold")
    for name, view in VIEWS.items():
        settings = [f"{each.name}={each.default}: {each.metadata['about']}" for each in options(view)]
        does = [str(view.__doc__).partition("\n")[0], f"keeps: {view.keeps}", f"may break: {view.breaks}"]
        space = "" if view.space == "text" else f"\n(in {view.space} space)"
        grid.add_row(*map(Text, (name + space, "\n".join([*does, f"source: {view.source}"]), "\n".join(settings))))
    console.print(grid)
