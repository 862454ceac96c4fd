"""`nearfar rate`: a learning rate for data, encoder and objective, by a range test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table as Grid

from nearfar.commands.options import with_settings
from nearfar.commands.shared import (
    Columns,
    Overwrite,
    Where,
    check_file,
    console,
    open_streams,
    open_tables,
    say,
    write_whole,
)
from nearfar.commands.train import check_settings
from nearfar.errors import InputError
from nearfar.settings import Settings

if TYPE_CHECKING:
    from nearfar.training.finder import RateTest

ROWS = 12
"""Of the table that is printed."""

PICTURES = (".svg", ".png")


@with_settings
def rate(
    data: Annotated[list[str], typer.Argument(help="Tables: files, folders, hub names; - with --stream.")],
    settings: dict[str, Any],
    column: Columns = None,
    where: Where = None,
    stream: Annotated[bool, typer.Option("--stream", help="Let the rows pass by without a copy on disk.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings from TOML, JSON or an earlier nearfar.json.")] = None,
    tries: Annotated[int, typer.Option(min=20, help="Batches, each at a higher rate than the one before.")] = 100,
    lowest: Annotated[float | None, typer.Option(help="Rate to begin with; a thousandth of the usual one.")] = None,
    highest: Annotated[float | None, typer.Option(help="Rate to end with; a thousand times the usual one.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Where to draw the losses: a name in .svg or .png.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Where to write all of it.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find a learning rate: train on some batches while the rate rises, and see where the loss falls most steeply.

    Takes the options of `nearfar train`; nothing of what is learnt is kept.

    Example: nearfar rate pairs.tsv

    Example: nearfar rate pairs.tsv --encoder my-model --objective supcon --picture rate.svg
    """
    chosen = Settings.build((Settings.read(config) if config else {}) | settings)
    check_settings(chosen)
    for path in (picture, json_file):
        if path is not None:
            check_file(path, overwrite, data)
    if picture is not None and picture.suffix not in PICTURES:
        raise InputError(f"--picture: found {picture}, wanted a name that ends in {' or '.join(PICTURES)}")
    chosen = chosen.model_copy(update={"steps": chosen.steps or tries})  # which is what a stream is asked for
    opened = (open_streams if stream else open_tables)(data, column, where)
    with console.status("importing"):
        from nearfar.training.finder import find_rate
    bar = Progress(
        TextColumn("testing"), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=tries)
        found = find_rate(
            opened,
            settings=chosen,
            steps=tries,
            lowest=lowest,
            highest=highest,
            watch=lambda step, rate, loss: bar.update(
                task, completed=step, description=f"rate {rate:.2e}  loss {loss:.4f}"
            ),
        )
    show(found)
    if json_file is not None:
        write_whole(json_file, json.dumps(found.to_dict(), indent=2) + "\n")
    if picture is not None:
        draw(found, picture)


def show(found: RateTest) -> None:
    """Print the losses at some of the rates, and the suggestion."""
    grid = Grid("learning rate", "loss", "smoothed")
    every = max(1, len(found.rates) // ROWS)
    for rate, loss, smooth in list(zip(found.rates, found.losses, found.smoothed, strict=True))[::every]:
        grid.add_row(f"{rate:.2e}", f"{loss:.4f}", f"{smooth:.4f}")
    console.print(grid)
    rises = found.lowest < found.rates[-1]
    beyond = f"rises again from {found.lowest:.2e} on" if rises else "falls as far as it was tried (--highest)"
    say(
        f"The loss falls most steeply at {found.suggestion:.2e}, and {beyond}.\n"
        f"Train with --learning-rate {found.suggestion:.1e}"
    )


def draw(found: RateTest, path: Path) -> None:
    """Draw losses over rates, with a mark at the suggestion."""
    from nearfar.analysis.report import rate_chart
    from nearfar.data.writing import whole_file

    losses = {"loss": found.losses, "smoothed": found.smoothed}
    svg = rate_chart(found.rates, losses, mark=found.suggestion)
    if path.suffix == ".svg":
        write_whole(path, svg.replace("currentColor", "#444444"))
        return
    import vl_convert

    with whole_file(path) as place:
        place.write_bytes(vl_convert.svg_to_png(svg.replace("currentColor", "#444444"), scale=2))
