"""The loop: draw a batch, contrast it, pull and push, measure now and then, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.data.batches import Position
from nearfar.data.streams import Stream
from nearfar.encoders import open_encoder
from nearfar.errors import InputError, NotFiniteError
from nearfar.execution import execution
from nearfar.objectives import Objective, build_objective
from nearfar.settings import Settings
from nearfar.training.alarms import diverged
from nearfar.training.feeds import Feed, TableFeed
from nearfar.training.fitting import Data, check_suited, check_usable
from nearfar.training.held_out import hold_out
from nearfar.training.journal import Journal
from nearfar.training.measuring import Measuring
from nearfar.training.mining import Miner
from nearfar.training.outcome import DivergedError, Outcome, Reading, Step
from nearfar.training.ready import make_feed, make_model, parse_views, resolved, token_dropout, with_end
from nearfar.training.schedule import Budget
from nearfar.training.sources import Batch
from nearfar.training.stepping import Stepper
from nearfar.training.trackers import Trackers, check_trackers, tracked
from nearfar.training.watching import Watching

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def train(
    data: Data | Sequence[Data],
    *,
    objective: Objective | None = None,
    model: SentenceTransformer | None = None,
    settings: Settings | None = None,
    evaluate_on: Sequence[Table] = (),
    watch: Callable[[Step], None] = lambda step: None,
    folder: Path | None = None,
) -> Outcome:
    """Train an encoder so that near texts of the data lie near each other.

    Args:
        data: tables, or streams, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes; None builds the one that the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.
        folder: where ``history.jsonl``, each measurement as it is made, and the files of trackers are written.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: data, settings and objective do not fit each other.
        DivergedError: the loss became NaN or infinite; the error holds the outcome up to there.
    """
    data = [data] if isinstance(data, Table | Stream) else list(data)
    settings = settings or Settings()
    objective = objective or build_objective(settings.objective, temperature=settings.temperature)
    if not data:
        raise InputError("data: found none, wanted at least one table to train on")
    for one in data:
        check_usable(one, objective)
    views = parse_views(settings, data)
    check_suited(data, objective, settings, views.views)
    check_trackers(settings.track)
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise InputError(
            f"found {accelerator.num_processes} processes, wanted 1: training across ranks is not built yet"
        )
    set_seed(settings.seed)
    model = model or make_model(data, settings)
    evaluate_on = list(evaluate_on)
    if not evaluate_on:
        data, evaluate_on = _held_out_parts(data, settings)
    settings = settings.model_copy(update={"token_dropout": token_dropout(settings, views, data)})
    encoder = open_encoder(
        accelerator.prepare_model(model),
        settings.encoder,
        token_dropout=settings.token_dropout or 0.0,
        weight_learning_rate=settings.weight_learning_rate,
    )
    settings = resolved(settings, encoder, views, data)
    feed = make_feed(data, encoder, objective, settings, views)
    settings = with_end(settings, encoder, feed)
    measuring = Measuring(encoder, evaluate_on, settings)
    stepper = Stepper(accelerator, encoder, objective, settings, views)
    miner = Miner(encoder, settings, feed.sources) if isinstance(feed, TableFeed) else None
    with (
        execution(strip_rows=settings.strip_rows, max_bytes=settings.max_bytes),
        tracked(accelerator, settings, folder) as trackers,
    ):
        run = _Run(
            settings,
            feed,
            stepper,
            measuring,
            miner,
            watch,
            Journal(folder if accelerator.is_main_process else None),
            trackers,
        )
        try:
            return run.run()
        finally:
            run.outcome.unchanged = dict(views.unchanged)


def _held_out_parts(data: Sequence[Data], settings: Settings) -> tuple[list[Data], list[Table]]:
    kept: list[Data] = []
    held: list[Table] = []
    for one in data:
        rest, part = hold_out(one, settings.held_out, settings.seed) if isinstance(one, Table) else (one, None)
        kept.append(rest)
        held += [] if part is None else [part]
    return kept, held


class _Run:
    """The state of one run."""

    SMOOTHING = 0.95

    def __init__(
        self,
        settings: Settings,
        feed: Feed,
        stepper: Stepper,
        measuring: Measuring,
        miner: Miner | None,
        watch: Callable[[Step], None],
        journal: Journal,
        trackers: Trackers,
    ) -> None:
        self.settings, self.feed, self.watch = settings, feed, watch
        self.stepper, self.measuring, self.miner = stepper, measuring, miner
        self.outcome = Outcome(stepper.encoder.model, settings, evaluate_on=tuple(measuring.tables))
        self.budget = Budget(settings.steps, 60 * settings.minutes if settings.minutes else None)
        self.watching = Watching(self.outcome, self.budget, journal, trackers)
        self.loss = float("nan")
        self.done = 0
        self.last: tuple[Position, Batch] | None = None

    def run(self) -> Outcome:
        started = time.monotonic()
        try:
            self._measure()
            self._compare("before")
            self.budget.start()
            self._train()
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        except NotFiniteError as error:
            step = self.done + 1
            message = diverged(str(error), step, self.stepper.learning_rate, self.loss, self.last)
            self.watching.warn(step, "diverged", message)
            if self.measuring.best_state:
                self._finish(started)
            raise DivergedError(message, self.outcome) from error
        self._finish(started)
        return self.outcome

    def _train(self) -> None:
        batches = self.feed.batches()
        rows_done, due, busy = 0, 1, 0.0
        measured_at = 0
        while (progress := self.budget.progress(self.done)) < 1 and not self.measuring.settled:
            started = time.monotonic()
            note = self.miner.refresh(self.done) if self.miner else ""
            self.last = _, batch = next(batches)
            reading, warnings = self._step(batch, progress)
            rows_done, busy = rows_done + len(batch.tokens[0]), busy + time.monotonic() - started
            progress = self.budget.progress(self.done)
            measurements: tuple[Measurement, ...] = ()
            if progress >= due / self.settings.evaluations:
                measurements, found = self._measure()
                warnings, measured_at = (*warnings, *found), self.done
                due = int(self.budget.progress(self.done) * self.settings.evaluations) + 1
            self.watch(Step(self.done, progress, self.loss, rows_done / busy, measurements, note, reading, warnings))
        self.outcome.stopped_early = self.measuring.settled
        if measured_at < self.done:  # time ran out between a step and the next
            self._measure()

    def _step(self, batch: Batch, progress: float) -> tuple[Reading | None, tuple[str, ...]]:
        """Learn from the batch; what was seen of it, where it was looked into."""
        look = self.watching.due(self.done, progress)
        self._smooth(self.stepper.step(batch, progress, look=look))
        self.done += 1
        if not look or self.stepper.seen is None:
            return None, ()
        reading, warnings = self.watching.read(self.done, progress, self.loss, batch, self.stepper.seen)
        return reading, tuple(warnings)

    def _finish(self, started: float) -> None:
        """Take the best model and measure it well."""
        self.outcome.seconds = time.monotonic() - started
        self.measuring.take_best(self.done)
        self.outcome.best_step = self.measuring.best_step
        try:
            self.outcome.measurements = self.measuring.measured(resamples=1000)
            self._compare("after")
        except KeyboardInterrupt:  # a second one: the model is worth more than its last measurement
            self.outcome.interrupted = True
        self.watching.result(self.outcome.best_step, self.outcome.measurements)

    def _smooth(self, loss: float) -> None:
        self.loss = loss if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * loss

    def _measure(self) -> tuple[tuple[Measurement, ...], Sequence[str]]:
        started = time.monotonic()
        measurements = self.measuring.measure(self.done)
        if not measurements:
            return (), ()
        return measurements, self.watching.measured(self.done, self.loss, measurements, time.monotonic() - started)

    def _compare(self, when: str) -> None:
        found = self.measuring.similarities()
        if found is not None:
            self.outcome.similarities[when] = found
