"""`nearfar train`: tables in, a measured model folder out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
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
    brief,
    console,
    open_streams,
    open_tables,
    rank,
    say,
    several,
    show_measurements,
)
from nearfar.commands.watch import open_beside
from nearfar.commands.words import check_words, run_words
from nearfar.config import Config, read_config
from nearfar.errors import InputError, RunError
from nearfar.settings import Inputs, Settings

if TYPE_CHECKING:
    from nearfar.data import Table
    from nearfar.training import Outcome
    from nearfar.training.outcome import Reading, Step


@with_settings
def train(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the model.")],
    settings: dict[str, Any],
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Tables: files, folders, hub names; - with --stream. May stand in --config."),
    ] = None,
    column: Columns = None,
    where: Where = None,
    evaluate_on: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="FILE", help="Table to measure on; else a part is held out. Repeatable."),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Let the rows pass by without a copy on disk; wants --steps or --minutes.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="Settings from TOML, YAML, JSON; an earlier nearfar.json repeats its run.")
    ] = None,
    overwrite: Overwrite = False,
    page: Annotated[bool, typer.Option("--open", help="Open a page that follows the run, as nearfar watch.")] = False,
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
    labels are near; text alone: a text and another view of it. Options given here win over --config, whose table run
    may hold data, column, where, eval and stream.

    Example: nearfar train pairs.tsv -o my-model --eval dev.tsv

    Example: nearfar train faq.csv -o faq --column anchor=question --column positive=answer --epochs 5

    Example: nearfar train notes.txt -o notes --view crop:keep=0.7 --view typo:probability=0.3

    Example: nearfar train corpus.txt.gz -o my-words --encoder words --eval wordsim.tsv

    Example: nearfar train pairs.tsv -o my-model --eval dev.tsv --resume

    Example: nearfar train --config my-model/nearfar.json -o again

    Example: zcat huge.jsonl.gz | nearfar train - -o huge --stream --steps 10000 --eval dev.tsv
    """
    named = {"data": data, "column": column, "where": where, "eval": evaluate_on, "stream": stream}
    inputs, chosen, repeats = _told(config, settings, {name: value for name, value in named.items() if value})
    resuming = Resuming(resume or resume_changed, resume_from, resume_changed)
    run(inputs, output, chosen, overwrite=overwrite, repeats=repeats, resuming=resuming, page=page)


def _told(
    config: Path | None, settings: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Inputs, Settings, Repeated]:
    """Inputs and settings of the file and of the command line, which wins."""
    file = read_config(config) if config else Config()
    Settings.build(file.settings, str(config))  # by itself first, so that a fault is named after where it stands
    recorded = Inputs.build(file.run, f"{config}: run")
    chosen = Settings.build(_without_end(file, settings) | dict(settings))
    check_settings(chosen)
    inputs = Inputs.build(recorded.model_dump() | dict(given))
    if not inputs.data:
        raise InputError("DATA: found none, wanted a table to train on, or a --config whose table run names one")
    return inputs, chosen, Repeated(str(config), file.record, given.keys())


@dataclass(frozen=True)
class Repeated:
    """An earlier run that this one repeats.

    Attributes:
        file: its nearfar.json.
        record: what that holds; empty where there is no earlier run.
        anew: which inputs were named for this run.
    """

    file: str
    record: Mapping[str, Any]
    anew: Collection[str]

    def check(self, data: Sequence[Mapping[str, Any]], evaluate_on: Sequence[Table]) -> None:
        """Raise an InputError where the data, as it is described, has changed, and print what else differs."""
        if not self.record:
            return
        from nearfar.training.recorded import check_unchanged, described, notes_of

        columns = {"column", "where", "stream"} & set(self.anew)
        anew = bool(columns) or "data" in self.anew
        if not anew:
            check_unchanged(self.record["data"], data, self.file)
        if evaluate_on and not columns and "eval" not in self.anew:
            check_unchanged(self.record["evaluate_on"], [described(table) for table in evaluate_on], self.file)
        for note in notes_of(self.record, data, anew):
            say(f"{self.file}: {note}")


def _without_end(file: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """The file's settings; of an earlier run, whose end is filled in, without it where a new one is given."""
    ends = ("epochs", "steps", "minutes")
    if not file.record or not any(name in given for name in ends):
        return file.settings
    return {name: value for name, value in file.settings.items() if name not in ends}


def check_settings(settings: Settings) -> None:
    """Raise an InputError where a name is unknown, before any data is read."""
    if settings.encoder == "words":
        check_words(settings)
        return
    from nearfar.data.views import Views

    Views.parse(settings.view)
    from nearfar.objectives import build_objective, parse_objective

    build_objective(settings.objective, temperature=settings.temperature)
    for word in settings.objective_for:
        _, named, text = word.partition("=")
        if named:  # else training says what is missing
            parse_objective(text)


def run(
    inputs: Inputs,
    output: Path,
    settings: Settings,
    *,
    overwrite: bool,
    repeats: Repeated,
    resuming: Resuming,
    page: bool = False,
) -> None:
    """Read, train, save, print; with a page that follows the run where one is asked for."""
    from nearfar.training.output import check_free

    if resuming.has_nothing_left(output, overwrite):
        return
    check_free(output, overwrite, inputs=[*inputs.data, *inputs.eval])
    if settings.encoder == "words":
        if page:
            raise InputError("--open: found it with words, wanted it without: no page follows a run on words")
        run_words(inputs, output, settings, overwrite=overwrite, resuming=resuming, check=repeats.check)
        return
    with resuming.ready(output) as checkpoints, one_of_ranks(settings, inputs.data) as reading:
        with reading:
            open_data = open_streams if inputs.stream else open_tables
            opened = open_data(inputs.data, inputs.column, inputs.where, known=inputs.eval)
            evaluation = [_open_evaluation(source, inputs) for source in inputs.eval]
        with console.status("importing"):
            from nearfar.training import train as train_model
            from nearfar.training.output import save, whole_folder
            from nearfar.training.recorded import described
        repeats.check([described(one) for one in opened], evaluation)
        with nullcontext() if rank() else whole_folder(output, overwrite) as folder:
            if folder and page:
                say(f"the run can be followed at {open_beside(output)}")
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
                save(folder, outcome, opened, title=output.name, inputs=inputs)
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
    if not several():
        yield nullcontext()
        return
    if "-" in data:
        raise InputError("-: found standard input for several ranks, wanted a file: each of them reads all rows")
    from nearfar.training.ranks import first_rank_first, together

    with together(settings.rank_timeout):
        yield first_rank_first()


def _open_evaluation(source: str, inputs: Inputs) -> Table:
    """By the file's own roles where it has them, else as a training table, by --column and --where."""
    from nearfar.data import columns_of
    from nearfar.data.roles import find_roles

    try:
        find_roles(columns_of(source), None, source)
    except InputError:
        return open_tables([source], inputs.column, inputs.where, known=inputs.data)[0]
    return open_tables([source])[0]


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
            fields: dict[str, Any] = {"loss": step.loss, "rate": step.rows_per_second}
            if step.reading is not None:
                inside = fields["inside"] = _inside(step.reading)
            for warning in step.warnings:
                say(f"step {step.number}: warning: {warning}", style="yellow")
            if step.note:
                say(f"step {step.number}: {step.note}")
            if step.measurements:
                fields["latest"] = "  ".join(brief(m) for m in step.measurements)
                done = f"step {step.number} ({step.progress:.0%})"
                figures = (f"loss {step.loss:.4f}", f"{step.rows_per_second:,.0f} rows/s", inside, fields["latest"])
                say("  ".join((done, *filter(None, figures))))
                inside = ""  # of an earlier step by the next line
            bar.update(task, completed=step.progress, **fields)

        yield watch


def summarise(outcome: Outcome, output: Path) -> None:
    """Say what came of the run and where it is."""
    if outcome.interrupted:
        say(f"interrupted; the best model so far (step {outcome.best_step}) is in {output}")
    else:
        early = ", stopped early as no measurement was better" if outcome.stopped_early else ""
        which = "best" if outcome.measurements else "last"
        say(f"trained in {outcome.seconds:.1f} s{early}; the {which} model (step {outcome.best_step}) is in {output}")
    for view, count in outcome.unchanged.items():
        if count:
            say(f"view {view}: {count:,} texts left as they were, with nothing to change")
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
