"""The loop: draw a batch, contrast it, pull and push, measure now and then, keep the best."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.data.batches import Position
from nearfar.data.streams import Stream
from nearfar.encoders import open_encoder
from nearfar.errors import InputError, RunError
from nearfar.objectives import Objective, build_objective
from nearfar.settings import Settings
from nearfar.training.feeds import Feed, TableFeed
from nearfar.training.fitting import Data, check_suited, check_usable
from nearfar.training.held_out import hold_out
from nearfar.training.identity import identity
from nearfar.training.keeping import Checkpoints, Keeper
from nearfar.training.measuring import Measuring
from nearfar.training.mining import Miner
from nearfar.training.outcome import Outcome, Step
from nearfar.training.randomness import random_state, set_random_state
from nearfar.training.ready import make_feed, make_model, parse_views, resolved, token_dropout, with_end
from nearfar.training.schedule import Budget
from nearfar.training.sources import Batch
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
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Train an encoder so that near texts of the data lie near each other.

    Args:
        data: tables, or streams, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes; None builds the one that the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.
        checkpoints: where the run keeps them, and whether it goes on from one; None keeps none. They stay there when
            the run is over: remove them when its model is safe.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: data, settings and objective do not fit each other.
        RunError: the loss became NaN or infinite.
        Stopped: `checkpoints` asked for it.
    """
    data = given = [data] if isinstance(data, Table | Stream) else list(data)
    settings = settings or Settings()
    objective = objective or build_objective(settings.objective, temperature=settings.temperature)
    _check_all(data, objective)
    views = parse_views(settings, data)
    check_suited(data, objective, settings, views.views)
    accelerator = Accelerator()
    _check_alone(accelerator)
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
    keeper = None
    if checkpoints:
        keeper = Keeper(checkpoints, settings, identity(settings, given, evaluate_on, objective, encoder))
    run = _Run(settings, feed, stepper, Measuring(encoder, evaluate_on), miner, watch, keeper, views.unchanged)
    return run.run()


def _check_all(data: Sequence[Data], objective: Objective) -> None:
    if not data:
        raise InputError("data: found none, wanted at least one table to train on")
    for one in data:
        check_usable(one, objective)


def _check_alone(accelerator: Accelerator) -> None:
    if accelerator.num_processes > 1:
        raise InputError(
            f"found {accelerator.num_processes} processes, wanted 1: training across ranks is not built yet"
        )


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
        keeper: Keeper | None,
        unchanged: Counter[str],
    ) -> None:
        self.settings, self.feed, self.watch, self.keeper = settings, feed, watch, keeper
        self.stepper, self.measuring, self.miner, self.unchanged = stepper, measuring, miner, unchanged
        self.outcome = Outcome(stepper.encoder.model, settings, evaluate_on=tuple(measuring.tables))
        self.step, self.position, self.due, self.loss = 0, Position(), 1, float("nan")
        self.rows, self.busy = 0, 0.0

    def run(self) -> Outcome:
        self.budget = Budget(self.settings.steps, 60 * self.settings.minutes if self.settings.minutes else None)
        try:
            self._begin()
            batches = self.feed.batches(self.position)
            while self.budget.progress(self.step) < 1:
                self._step(batches)
                self._keep()
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        self.outcome.seconds = self.budget.spent()
        self._finish()
        self.outcome.unchanged = dict(self.unchanged)
        return self.outcome

    def _begin(self) -> None:
        """Go on from a checkpoint, or look at the encoder before it learns."""
        if self.keeper and (found := self.keeper.begin()):
            state, note = found
            self.load(state)
            self._show(note=note)
        else:
            self._measure()
            self._compare("before")

    def _step(self, batches: Iterator[tuple[Position, Batch]]) -> None:
        started = time.monotonic()
        note = self.miner.refresh(self.step) if self.miner else ""
        position, batch = next(batches)
        try:
            self._smooth(self.stepper.step(batch, self.budget.progress(self.step)))
        except RunError as error:
            raise self._with_place(error, position) from error
        self.step, self.position = self.step + 1, position.after
        self.rows, self.busy = self.rows + len(batch.tokens[0]), self.busy + time.monotonic() - started
        measurements: tuple[Measurement, ...] = ()
        progress = self.budget.progress(self.step)
        if progress >= self.due / self.settings.evaluations:
            self.due = int(progress * self.settings.evaluations) + 1
            measurements = self._measure()
        self._show(measurements, note)

    def _show(self, measurements: tuple[Measurement, ...] = (), note: str = "") -> None:
        rate = self.rows / self.busy if self.busy else 0.0
        self.watch(Step(self.step, self.budget.progress(self.step), self.loss, rate, measurements, note))

    def _with_place(self, error: RunError, position: Position) -> RunError:
        """The error with where it happened and what is left."""
        where = f"step {self.step + 1} (batch {position.index} of epoch {position.epoch}): {error}"
        if self.keeper is None:
            return RunError(where)
        changed = ", and takes a lower --learning-rate with --resume-changed" if self.keeper.latest else ""
        return RunError(f"{where}; {self.keeper.way_back()}{changed}")

    def _keep(self) -> None:
        """Write a checkpoint where it is time for one, and stop where that is asked for."""
        if self.keeper is None:
            return
        asked = self.keeper.checkpoints.stop()
        if asked or self.keeper.due(self.step):
            self.keeper.write(self.step, self.state())
        if asked:
            self.keeper.stop(self.step)

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on, for `load`."""
        return {
            "step": self.step,
            "position": [self.position.epoch, self.position.index],
            "due": self.due,
            "loss": self.loss,
            "rows": self.rows,
            "seconds": {"spent": self.budget.spent(), "busy": self.busy},
            "history": self.outcome.history,
            "similarities": self.outcome.similarities,
            "unchanged": self.unchanged,
            "feed": self.feed.state(),
            "stepper": self.stepper.state(),
            "miner": self.miner.state() if self.miner else [],
            "measuring": self.measuring.state(),
            "random": random_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.step, self.position, self.loss = state["step"], Position(*state["position"]), state["loss"]
        self.rows, self.busy = state["rows"], state["seconds"]["busy"]
        self.budget.go_on_after(state["seconds"]["spent"])
        # with another end, progress is another
        self.due = min(state["due"], int(self.budget.progress(self.step) * self.settings.evaluations) + 1)
        self.outcome.history = state["history"]
        self.outcome.similarities = {when: (near, far) for when, (near, far) in state["similarities"].items()}
        self.unchanged.update(state["unchanged"])
        self.feed.load(state["feed"])
        self.stepper.load(state["stepper"])
        if self.miner:
            self.miner.load(state["miner"])
        self.measuring.load(state["measuring"])
        set_random_state(state["random"])

    def _finish(self) -> None:
        """Take the best model and measure it well."""
        self.measuring.take_best(self.step)
        self.outcome.best_step = self.measuring.best_step
        try:
            self.outcome.measurements = self.measuring.measured(resamples=1000)
            self._compare("after")
        except KeyboardInterrupt:  # a second one: the model is worth more than its last measurement
            self.outcome.interrupted = True

    def _smooth(self, loss: float) -> None:
        self.loss = loss if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * loss

    def _measure(self) -> tuple[Measurement, ...]:
        measurements = self.measuring.measure(self.step)
        if measurements:
            self.outcome.history.append(
                {
                    "step": self.step,
                    "progress": round(self.budget.progress(self.step), 4),
                    "seconds": round(self.budget.spent(), 2),
                    "loss": None if np.isnan(self.loss) else self.loss,
                    "measurements": [{"source": m.source, "task": m.task, **m.figures} for m in measurements],
                }
            )
        return measurements

    def _compare(self, when: str) -> None:
        found = self.measuring.similarities()
        if found is not None:
            self.outcome.similarities[when] = found
