"""`nearfar train --encoder words`: a corpus in, a folder of word vectors out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nearfar.commands.resuming import Resuming, settle
from nearfar.commands.shared import console, open_tables, pairs_of, show_measurements
from nearfar.settings import Settings

if TYPE_CHECKING:
    from nearfar.words import Moment, WordOutcome


def run_words(
    data: Sequence[str],
    output: Path,
    settings: Settings,
    *,
    columns: Sequence[str] | None,
    where: Sequence[str] | None,
    evaluate_on: Sequence[str],
    overwrite: bool,
    resuming: Resuming,
) -> None:
    """Read, train, save, print."""
    with console.status("importing"):
        from nearfar.training.output import check_free, whole_folder
        from nearfar.words import train_words
        from nearfar.words.output import save_words
        from nearfar.words.plan import resolved
        from nearfar.words.training import forget_corpus
    resolved(settings)  # so that a fault is told before anything is read
    if resuming.has_nothing_left(output, overwrite):
        return
    check_free(output, overwrite, inputs=[*data, *evaluate_on])
    tables = [table for source in evaluate_on for table in open_tables([source])]
    with resuming.ready(output) as checkpoints:
        with whole_folder(output, overwrite) as folder:
            with _watching() as watch:
                outcome = train_words(
                    data,
                    settings=settings,
                    columns=pairs_of("column", columns),
                    where=pairs_of("where", where),
                    evaluate_on=tables,
                    watch=watch,
                    checkpoints=checkpoints,
                )
            save_words(folder, outcome, title=output.name)
        forget_corpus(checkpoints)
        settle(checkpoints, output, settings.keep_after)
        _summarise(outcome, output)


@contextmanager
def _watching() -> Iterator[Callable[[Moment], None]]:
    """A progress bar; a line an epoch."""
    columns = (
        TextColumn("training"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  {task.fields[speed]:,.0f} words/s"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0, loss=float("nan"), speed=0.0)

        def watch(moment: Moment) -> None:
            if moment.note:
                console.print(moment.note, markup=False, soft_wrap=True)
            if moment.epoch:
                figures = "".join(
                    f"  {Path(m.source).name} {m.main} {m.figures[m.main]:.4f}" for m in moment.measurements
                )
                console.print(
                    f"epoch {moment.epoch}  loss {moment.loss:.4f}  {moment.words_per_second:,.0f} words/s{figures}",
                    markup=False,
                    soft_wrap=True,
                )
            bar.update(task, completed=moment.progress, loss=moment.loss, speed=moment.words_per_second)

        yield watch


def _summarise(outcome: WordOutcome, output: Path) -> None:
    ended = "interrupted after" if outcome.interrupted else "trained in"
    console.print(
        f"{ended} {outcome.seconds:.1f} s at {outcome.words_per_second:,.0f} words a second:"
        f" {len(outcome.vectors):,} word vectors of {outcome.words:,} words are in {output}",
        markup=False,
    )
    if outcome.measurements:
        show_measurements(outcome.measurements)
