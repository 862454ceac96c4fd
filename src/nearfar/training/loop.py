"""The loop: draw a batch, contrast it, pull and push, measure now and then, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.data.streams import Stream
from nearfar.encoders import open_encoder
from nearfar.errors import InputError
from nearfar.objectives import Objective, build_objective
from nearfar.settings import Settings
from nearfar.training.feeds import Feed, TableFeed
from nearfar.training.fitting import Data, check_suited, check_usable
from nearfar.training.held_out import hold_out
from nearfar.training.measuring import Measuring
from nearfar.training.mining import Miner
from nearfar.training.outcome import Outcome, Step
from nearfar.training.ready import make_feed, make_model, parse_views, resolved, token_dropout, with_end
from nearfar.training.schedule import Budget
from nearfar.training.stepping import Stepper

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
) -> Outcome:
    """Train an encoder so that near texts of the data lie near each other.

    Args:
        data: tables, or streams, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes; None builds the one that the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: data, settings and objective do not fit each other.
        RunError: the loss became NaN or infinite.
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
    stepper = Stepper(accelerator, encoder, objective, settings, views)
    miner = Miner(encoder, settings, feed.sources) if isinstance(feed, TableFeed) else None
    outcome = _Run(settings, feed, stepper, Measuring(encoder, evaluate_on), miner, watch).run()
    outcome.unchanged = dict(views.unchanged)
    return outcome


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
    ) -> None:
        self.settings, self.feed, self.watch = settings, feed, watch
        self.stepper, self.measuring, self.miner = stepper, measuring, miner
        self.outcome = Outcome(stepper.encoder.model, settings, evaluate_on=tuple(measuring.tables))
        self.loss = float("nan")

    def run(self) -> Outcome:
        budget = Budget(self.settings.steps, 60 * self.settings.minutes if self.settings.minutes else None)
        batches = self.feed.batches()
        step, rows_done, due, busy = 0, 0, 1, 0.0
        try:
            self._measure(0, budget)
            self._compare("before")
            while (progress := budget.progress(step)) < 1:
                started = time.monotonic()
                note = self.miner.refresh(step) if self.miner else ""
                _, batch = next(batches)
                self._smooth(self.stepper.step(batch, progress))
                rows_done, busy = rows_done + len(batch.tokens[0]), busy + time.monotonic() - started
                step, progress = step + 1, budget.progress(step + 1)
                measurements: tuple[Measurement, ...] = ()
                if progress >= due / self.settings.evaluations:
                    due = int(progress * self.settings.evaluations) + 1
                    measurements = self._measure(step, budget)
                self.watch(Step(step, progress, self.loss, rows_done / busy, measurements, note))
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        self.outcome.seconds = time.monotonic() - budget.started
        self._finish(step)
        return self.outcome

    def _finish(self, step: int) -> None:
        """Take the best model and measure it well."""
        self.measuring.take_best(step)
        self.outcome.best_step = self.measuring.best_step
        try:
            self.outcome.measurements = self.measuring.measured(resamples=1000)
            self._compare("after")
        except KeyboardInterrupt:  # a second one: the model is worth more than its last measurement
            self.outcome.interrupted = True

    def _smooth(self, loss: float) -> None:
        self.loss = loss if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * loss

    def _measure(self, step: int, budget: Budget) -> tuple[Measurement, ...]:
        measurements = self.measuring.measure(step)
        if measurements:
            self.outcome.history.append(
                {
                    "step": step,
                    "progress": round(budget.progress(step), 4),
                    "seconds": round(time.monotonic() - budget.started, 2),
                    "loss": None if np.isnan(self.loss) else self.loss,
                    "measurements": [{"source": m.source, "task": m.task, **m.figures} for m in measurements],
                }
            )
        return measurements

    def _compare(self, when: str) -> None:
        found = self.measuring.similarities()
        if found is not None:
            self.outcome.similarities[when] = found
