"""`nearfar train --encoder words`: a corpus in, a folder of word vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nearfar.commands.resuming import Resuming, settle
from nearfar.commands.shared import brief, console, open_tables, pairs_of, say, show_measurements
from nearfar.settings import Inputs, Settings

if TYPE_CHECKING:
    from nearfar.data import Table
    from nearfar.words import Moment, WordOutcome


def check_words(settings: Settings) -> None:
    """Raise an InputError where a setting does not suit words, before anything is read."""
    from nearfar.words.plan import resolved

    resolved(settings)


def run_words(
    inputs: Inputs,
    output: Path,
    settings: Settings,
    *,
    overwrite: bool,
    resuming: Resuming,
    check: Callable[[Sequence[Mapping[str, Any]], Sequence[Table]], None],
) -> None:
    """Read, train, save, print; `check` is shown what is said of corpus and tables, and may refuse them."""
    with console.status("importing"):
        from nearfar.training.output import whole_folder
        from nearfar.words import train_words
        from nearfar.words.output import save_words
        from nearfar.words.training import forget_corpus
    with resuming.ready(output) as checkpoints:
        tables = open_tables(inputs.eval)
        with whole_folder(output, overwrite) as folder:
            with _watching() as watch:
                outcome = train_words(
                    inputs.data,
                    settings=settings,
                    columns=pairs_of("column", inputs.column),
                    where=pairs_of("where", inputs.where),
                    evaluate_on=tables,
                    watch=watch,
                    check=lambda corpus: check([corpus], tables),
                    checkpoints=checkpoints,
                )
            save_words(folder, outcome, title=output.name, inputs=inputs)
        forget_corpus(checkpoints)
        settle(checkpoints, output, settings.keep_after)
        _summarise(outcome, output)


@contextmanager
def _watching() -> Iterator[Callable[[Moment], None]]:
    """A progress bar; a line an epoch."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} words/s"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, loss=float("nan"), speed=0.0)

        def watch(moment: Moment) -> None:
            if moment.note:
                say(moment.note)
            if moment.epoch:
                figures = "".join(f"  {brief(m)}" for m in moment.measurements)
                say(f"epoch {moment.epoch}  loss {moment.loss:.4f}  {moment.words_per_second:,.0f} words/s{figures}")
            bar.update(
                task,
                description=moment.stage,
                completed=moment.progress,
                loss=moment.loss,
                speed=moment.words_per_second,
            )

        yield watch


def _summarise(outcome: WordOutcome, output: Path) -> None:
    ended = "interrupted after" if outcome.interrupted else "trained in"
    say(
        f"{ended} {outcome.seconds:.1f} s at {outcome.words_per_second:,.0f} words a second:"
        f" {len(outcome.vectors):,} word vectors of {outcome.words:,} words are in {output}"
    )
    if outcome.measurements:
        show_measurements(outcome.measurements)
