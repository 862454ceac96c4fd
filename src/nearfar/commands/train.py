"""`nearfar train`: tables in, a measured model folder out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nearfar.commands.options import with_settings
from nearfar.commands.resuming import Resuming, settle
from nearfar.commands.shared import (
    Columns,
    Overwrite,
    Where,
    console,
    open_streams,
    open_tables,
    rank,
    show_measurements,
)
from nearfar.errors import InputError, RunError
from nearfar.settings import Settings

if TYPE_CHECKING:
    from nearfar.analysis import Measurement
    from nearfar.data import Table
    from nearfar.training import Outcome
    from nearfar.training.outcome import Reading, Step


@with_settings
def train(
    data: Annotated[list[str], typer.Argument(help="Tables: files, folders, hub names; - with --stream.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the model.")],
    settings: dict[str, Any],
    column: Columns = None,
    where: Where = None,
    evaluate_on: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="FILE", help="Table to measure on; else a part is held out. Repeatable."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Let the rows pass by without a copy on disk; wants --steps or --minutes.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings from TOML, JSON or an earlier nearfar.json.")] = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint of this run.")] = False,
    resume_from: Annotated[
        str | None, typer.Option(metavar="STEP", help="Go on from this checkpoint, such as step-000200.")
    ] = None,
    resume_changed: Annotated[
        bool, typer.Option("--resume-changed", help="Go on with another learning rate, or another end.")
    ] = False,
) -> None:
    """Train an encoder so that near texts lie near each other.

    The columns say what the data is: anchor, positive (negative, or negative_1 ...): pairs; text, label: equal
    labels are near; text alone: a text and another view of it. Options given here win over --config.

    Example: nearfar train pairs.tsv -o my-model --eval dev.tsv

    Example: nearfar train faq.csv -o faq --column anchor=question --column positive=answer --epochs 5

    Example: nearfar train notes.txt -o notes --view crop:keep=0.7 --view typo:probability=0.3

    Example: nearfar train pairs.tsv -o my-model --eval dev.tsv --resume

    Example: zcat huge.jsonl.gz | nearfar train - -o huge --stream --steps 10000 --eval dev.tsv
    """
    from_file = Settings.read(config) if config else {}
    Settings.build(from_file, str(config))  # by itself first, so that a fault is named after where it stands
    chosen = Settings.build(from_file | settings)
    check_settings(chosen)
    run(
        data,
        output,
        chosen,
        columns=column,
        where=where,
        evaluate_on=evaluate_on or (),
        stream=stream,
        overwrite=overwrite,
        resuming=Resuming(resume or resume_changed, resume_from, resume_changed),
    )


def check_settings(settings: Settings) -> None:
    """Raise an InputError where a name is unknown, before any data is read."""
    from nearfar.data.views import Views

    Views.parse(settings.view)
    from nearfar.objectives import build_objective, parse_objective

    build_objective(settings.objective, temperature=settings.temperature)
    for word in settings.objective_for:
        parse_objective(word.partition("=")[2])


def run(
    data: Sequence[str],
    output: Path,
    settings: Settings,
    *,
    columns: Sequence[str] | None,
    where: Sequence[str] | None,
    evaluate_on: Sequence[str],
    stream: bool,
    overwrite: bool,
    resuming: Resuming,
) -> None:
    """Read, train, save, print."""
    from nearfar.training.output import check_free

    if resuming.has_nothing_left(output, overwrite):
        return
    check_free(output, overwrite, inputs=[*data, *evaluate_on])
    with one_of_ranks(settings, data) as reading:
        with reading:
            opened = (open_streams if stream else open_tables)(data, columns, where, known=evaluate_on)
            evaluation = [table for source in evaluate_on for table in _open_evaluation(source, data, columns, where)]
        with console.status("importing"):
            from nearfar.training import train as train_model
            from nearfar.training.output import save, whole_folder
        with resuming.ready(output) as checkpoints:
            with nullcontext() if rank() else whole_folder(output, overwrite) as folder:
                with watching() as watch:
                    outcome, fault = _attempt(
                        lambda: train_model(
                            opened,
                            settings=settings,
                            evaluate_on=evaluation,
                            watch=watch,
                            folder=folder,
                            checkpoints=checkpoints,
                        )
                    )
                if folder:
                    save(folder, outcome, opened, title=output.name)
            if fault:
                kept = f"the best model before that (step {outcome.best_step}) is in {output}"
                raise RunError(f"{fault}; {kept}") from fault
            if folder:
                settle(checkpoints, output, settings.keep_after)
            summarise(outcome, output)


def _attempt(run: Callable[[], Outcome]) -> tuple[Outcome, RunError | None]:
    """What came of a run, and why it ended early where it diverged after a model had become better than its start."""
    from nearfar.training import DivergedError

    try:
        return run(), None
    except DivergedError as error:
        if not error.outcome.best_step:
            raise
        return error.outcome, error


@contextmanager
def one_of_ranks(settings: Settings, data: Sequence[str]) -> Iterator[AbstractContextManager[None]]:
    """Where torchrun or the like has started several processes, one of them; gives the turn in which to read data."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield nullcontext()
        return
    if "-" in data:
        raise InputError("-: found standard input for several ranks, wanted a file: each of them reads all rows")
    from nearfar.training.ranks import first_rank_first, together

    with together(settings.rank_timeout):
        yield first_rank_first()


def _open_evaluation(
    source: str, data: Sequence[str], columns: Sequence[str] | None, where: Sequence[str] | None
) -> list[Table]:
    """By the file's own roles where it has them, else as a training table, by --column and --where."""
    from nearfar.data import columns_of
    from nearfar.data.roles import find_roles

    try:
        find_roles(columns_of(source), None, source)
    except InputError:
        return open_tables([source], columns, where, known=data)
    return open_tables([source])


@contextmanager
def watching() -> Iterator[Callable[[Step], None]]:
    """A progress bar with loss, rate and the latest measurement; a line a measurement where no one watches."""
    columns = (
        TextColumn("training"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} rows/s  {task.fields[inside]}"),
        TextColumn("{task.fields[latest]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, loss=float("nan"), rate=0.0, inside="", latest="")
        inside = ""

        def watch(step: Step) -> None:
            nonlocal inside
            inside = inside if step.reading is None else _inside(step.reading)
            fields: dict[str, Any] = {"loss": step.loss, "rate": step.rows_per_second, "inside": inside}
            for warning in step.warnings:
                console.print(f"step {step.number}: warning: {warning}", markup=False, style="yellow")
            if step.note:
                console.print(f"step {step.number}: {step.note}", markup=False)
            if step.measurements:
                fields["latest"] = "  ".join(_brief(m) for m in step.measurements)
                console.print(
                    f"step {step.number} ({step.progress:.0%})  loss {step.loss:.4f}"
                    f"  {step.rows_per_second:,.0f} rows/s  {inside}  {fields['latest']}",
                    markup=False,
                )
            bar.update(task, completed=step.progress, **fields)

        yield watch


def summarise(outcome: Outcome, output: Path) -> None:
    """Say what came of the run and where it is."""
    if outcome.interrupted:
        console.print(f"interrupted; the best model so far (step {outcome.best_step}) is in {output}", markup=False)
    else:
        early = ", stopped early as no measurement was better" if outcome.stopped_early else ""
        console.print(
            f"trained in {outcome.seconds:.1f} s{early}; the best model (step {outcome.best_step}) is in {output}",
            markup=False,
        )
    for view, count in outcome.unchanged.items():
        if count:
            console.print(f"view {view}: {count:,} texts left as they were, with nothing to change", markup=False)
    if outcome.measurements:
        show_measurements(outcome.measurements)


def _inside(reading: Reading) -> str:
    """What a step looked like, in a few words."""
    named = {
        "lr": reading.learning_rate,
        "gradient": reading.gradient_norm,
        "align": reading.alignment,
        "uniform": reading.uniformity,
        "rank": reading.effective_rank,
        "negatives": reading.effective_negatives,
    }
    return "  ".join(f"{name} {value:.3g}" for name, value in named.items() if value is not None)


def _brief(measurement: Measurement) -> str:
    return f"{Path(measurement.source).name} {measurement.main} {measurement.figures[measurement.main]:.4f}"
