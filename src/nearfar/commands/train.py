"""`nearfar train`: tables in, a measured model folder out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nearfar.commands.shared import Columns, Overwrite, Where, console, open_tables, show_measurements
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.analysis import Measurement
    from nearfar.data import Table
    from nearfar.training import Outcome
    from nearfar.training.loop import Step

Number = int | None


def train(
    data: Annotated[list[str], typer.Argument(help="Tables to train on: files, folders or hub names.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the model.")],
    encoder: Annotated[str | None, typer.Option(help="static (the default), a folder, or a hub name.")] = None,
    objective: Annotated[str | None, typer.Option(help="A name of `nearfar objectives`; infonce.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the objective; its own default.")] = None,
    view: Annotated[str | None, typer.Option(help="Positive of a lone text: dropout.")] = None,
    column: Columns = None,
    where: Where = None,
    evaluate_on: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="FILE", help="Table to measure on; else a part is held out. Repeatable."),
    ] = None,
    epochs: Annotated[Number, typer.Option(help="Passes over the data.")] = None,
    steps: Annotated[Number, typer.Option(help="Optimiser steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Wall time; such a run is not repeatable bit for bit.")] = None,
    batch_size: Annotated[Number, typer.Option(help="Rows a batch.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="At the top of the schedule.")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the run over which the rate rises.")] = None,
    evaluations: Annotated[Number, typer.Option(help="Measurements during the run.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share of the rows held out without --eval.")] = None,
    token_dropout: Annotated[
        float | None, typer.Option(help="Tokens left out while training (static); 0.3 for lone texts, else 0.")
    ] = None,
    weight_learning_rate: Annotated[float | None, typer.Option(help="Of the token weights (static).")] = None,
    sif: Annotated[float | None, typer.Option(help="Smaller makes frequent tokens start shorter (static).")] = None,
    width: Annotated[Number, typer.Option(help="Numbers a vector (static).")] = None,
    vocabulary: Annotated[Number, typer.Option(help="Most subwords (static).")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="wordpiece, bpe or unigram (static).")] = None,
    seed: Annotated[Number, typer.Option(help="Of everything random.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings from TOML, JSON or an earlier nearfar.json.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Train an encoder so that near texts lie near each other.

    The columns say what the data is: anchor, positive (negative, or negative_1 ...): pairs; text, label: equal
    labels are near; text alone: a text and another view of it. Options given here win over --config.

    Example: nearfar train pairs.tsv -o my-model --eval dev.tsv

    Example: nearfar train faq.csv -o faq --column anchor=question --column positive=answer --epochs 5
    """
    given = locals()
    from nearfar.training.settings import Settings

    named = {name: given[name] for name in Settings.model_fields if given[name] is not None}
    from_file = Settings.read(config) if config else {}
    Settings.build(from_file, str(config))  # by itself first, so that a fault is named after where it stands
    settings = Settings.build(from_file | named)
    settings.build_objective()
    run(
        data,
        output,
        settings,
        columns=column,
        where=where,
        evaluate_on=evaluate_on or (),
        overwrite=overwrite,
    )


def run(
    data: Sequence[str],
    output: Path,
    settings: Any,
    *,
    columns: Sequence[str] | None,
    where: Sequence[str] | None,
    evaluate_on: Sequence[str],
    overwrite: bool,
) -> None:
    """Read, train, save, print."""
    from nearfar.training.output import check_free

    check_free(output, overwrite, inputs=[*data, *evaluate_on])
    tables = open_tables(data, columns, where, known=evaluate_on)
    evaluation = [table for source in evaluate_on for table in _open_evaluation(source, data, columns, where)]
    with console.status("importing"):
        from nearfar.training import train as train_model
        from nearfar.training.output import save, whole_folder
    with whole_folder(output, overwrite) as folder:
        with watching() as watch:
            outcome = train_model(tables, settings=settings, evaluate_on=evaluation, watch=watch)
        save(folder, outcome, tables, title=output.name)
    summarise(outcome, output)


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
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:,.0f} rows/s  {task.fields[latest]}"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, loss=float("nan"), rate=0.0, latest="")

        def watch(step: Step) -> None:
            fields: dict[str, Any] = {"loss": step.loss, "rate": step.rows_per_second}
            if step.measurements:
                fields["latest"] = "  ".join(_brief(m) for m in step.measurements)
                console.print(
                    f"step {step.number} ({step.progress:.0%})  loss {step.loss:.4f}"
                    f"  {step.rows_per_second:,.0f} rows/s  {fields['latest']}",
                    markup=False,
                )
            bar.update(task, completed=step.progress, **fields)

        yield watch


def summarise(outcome: Outcome, output: Path) -> None:
    """Say what came of the run and where it is."""
    if outcome.interrupted:
        console.print(f"interrupted; the best model so far (step {outcome.best_step}) is in {output}", markup=False)
    else:
        console.print(
            f"trained in {outcome.seconds:.1f} s; the best model (step {outcome.best_step}) is in {output}",
            markup=False,
        )
    if outcome.measurements:
        show_measurements(outcome.measurements)


def _brief(measurement: Measurement) -> str:
    return f"{Path(measurement.source).name} {measurement.main} {measurement.figures[measurement.main]:.4f}"
