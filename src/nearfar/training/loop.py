"""The loop: draw a batch, contrast it, pull and push, measure now and then, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.data.batches import Position
from nearfar.errors import NotFiniteError
from nearfar.execution import execution
from nearfar.settings import Settings
from nearfar.training.alarms import diverged
from nearfar.training.feeds import TableFeed
from nearfar.training.fitting import Data
from nearfar.training.following import Following
from nearfar.training.identity import identity
from nearfar.training.idle import idle_in, unseen_in
from nearfar.training.interrupts import interrupt_together, on_first, patient
from nearfar.training.journal import Journal
from nearfar.training.keeping import Checkpoints, Keeper
from nearfar.training.measuring import Measuring
from nearfar.training.mining import Miner
from nearfar.training.objectives import Given
from nearfar.training.outcome import DivergedError, Outcome, Reading, Step
from nearfar.training.precision import note_on
from nearfar.training.preparing import Asked, Prepared, prepare
from nearfar.training.randomness import random_state, set_random_state
from nearfar.training.ranks import any_rank, from_first, place, together
from nearfar.training.schedule import Budget
from nearfar.training.sources import Batch
from nearfar.training.trackers import Trackers, tracked
from nearfar.training.watching import Watching

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BY_MEMORY = ("chunk_tokens", "max_bytes")
"""Settings that free memory decides where the user does not."""


def train(
    data: Data | Sequence[Data],
    *,
    objective: Given | None = None,
    model: SentenceTransformer | None = None,
    settings: Settings | None = None,
    evaluate_on: Sequence[Table] = (),
    watch: Callable[[Step], None] = lambda step: None,
    checkpoints: Checkpoints | None = None,
    folder: Path | None = None,
) -> Outcome:
    """Train an encoder so that near texts of the data lie near each other.

    Args:
        data: tables, or streams, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes, for all of the data or one for each (in its order, or by source); None
            builds what the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.
        checkpoints: where the run keeps them, and whether it goes on from one; None keeps none. They stay there when
            the run is over: remove them when its model is safe.
        folder: where ``history.jsonl``, each measurement as it is made, and the files of trackers are written.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: data, settings and objective do not fit each other.
        DivergedError: the loss became NaN or infinite; the error holds the outcome up to there.
        Stopped: `checkpoints` asked for it.
    """
    with together((settings or Settings()).rank_timeout), patient():
        ready = prepare(Asked(data, objective, model, settings, evaluate_on))
        return _trained(ready, watch, checkpoints, folder)


def _trained(
    ready: Prepared, watch: Callable[[Step], None], checkpoints: Checkpoints | None, folder: Path | None
) -> Outcome:
    keeper = None
    if checkpoints:
        # chunks and strips that free memory decided are the checkpoint's, whatever is free now
        settings = ready.settings.model_copy(update={name: getattr(ready.asked, name) for name in BY_MEMORY})
        known_by = identity(settings, ready.given, ready.evaluate_on, ready.objectives, ready.encoder)
        keeper = Keeper(checkpoints, ready.settings, known_by)
    with tracked(ready.accelerator, ready.settings, folder) as trackers:
        journal = Journal(None if place()[0] else folder)
        return _Run(ready, watch, keeper, journal, trackers).run()


class _Run:
    """The state of one run."""

    SMOOTHING = 0.95

    def __init__(
        self,
        ready: Prepared,
        watch: Callable[[Step], None],
        keeper: Keeper | None,
        journal: Journal,
        trackers: Trackers,
    ) -> None:
        self.settings, self.feed, self.watch, self.keeper = ready.settings, ready.feed, on_first(watch), keeper
        self.stepper, self.unchanged, self.asked = ready.stepper, ready.views.unchanged, ready.asked
        self.measuring = Measuring(ready.encoder, ready.evaluate_on, ready.settings)
        self.miner = (
            Miner(ready.encoder, ready.settings, self.feed.sources) if isinstance(self.feed, TableFeed) else None
        )
        self.max_bytes = ready.settings.max_bytes
        self.outcome = Outcome(ready.encoder.model, self.settings, evaluate_on=tuple(ready.evaluate_on))
        self.budget = Budget(self.settings.steps, 60 * self.settings.minutes if self.settings.minutes else None)
        self.watching = Watching(self.outcome, self.budget, journal, trackers)
        self.following = (
            Following(ready.encoder, ready.given, ready.evaluate_on, self.settings) if journal.path else None
        )
        self.notes = (
            note_on(self.settings, ready.encoder.model),
            idle_in(ready.asked, ready.given),
            *unseen_in(self.settings, ready.given, ready.evaluate_on),
        )
        self.step, self.position, self.due, self.loss = 0, Position(), 1, float("nan")
        self.rows, self.busy = 0, 0.0
        self.measured_at = 0
        self.making = 0  # the step that is made, or was made last
        self.latest: tuple[Position, Batch] | None = None

    def run(self) -> Outcome:
        try:
            self._begin()
            with execution(strip_rows=self.settings.strip_rows, max_bytes=self.max_bytes):
                self._learn_on()
            self.outcome.stopped_early = self.measuring.settled
            if self.measured_at < self.step:  # time ran out between two measurements
                self._measure()
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        except NotFiniteError as error:
            raise self._diverged(error) from error
        self._finish()
        return self.outcome

    def _learn_on(self) -> None:
        """Step by step to the end."""
        batches = self.feed.batches(self.position)
        # However short the time, one step is made.
        while (not self.step or self.budget.progress(self.step) < 1) and not self.measuring.settled:
            interrupt_together()
            self._step(batches)
            self._keep()

    def _begin(self) -> None:
        """Go on from a checkpoint, or look at the encoder before it learns."""
        if self.keeper and (found := from_first(self.keeper.begin)):
            state, note = found
            self.load(state)
            self._show(note=note)
        else:
            self._measure()
            self._compare("before")
            for note in filter(None, self.notes):
                self._show(note=note)
            self.budget.go_on_after(0.0)  # however long it took, the rate is to rise from 0, and a step to be made

    def _step(self, batches: Iterator[tuple[Position, Batch]]) -> None:
        started, self.making = time.monotonic(), self.step + 1
        note = self.miner.refresh(self.step) if self.miner else ""
        drawn = [*islice(batches, self.settings.accumulate)]
        self.latest = drawn[-1]
        reading, warnings = self._learn([batch for _, batch in drawn])
        self.position = self.latest[0].after
        self.rows += sum(len(batch.tokens[0]) for _, batch in drawn)
        self.busy += time.monotonic() - started
        note = "; ".join(filter(None, (note, self.stepper.note)))
        measurements: tuple[Measurement, ...] = ()
        if self.budget.progress(self.step) >= self.due / self.settings.evaluations:
            measurements, found = self._measure()
            warnings = (*warnings, *found)
            self.due = int(self.budget.progress(self.step) * self.settings.evaluations) + 1
        self._show(measurements, note, reading, warnings)

    def _learn(self, batches: Sequence[Batch]) -> tuple[Reading | None, Sequence[str]]:
        """Learn from the batches of a step; what was seen of the last, where it was looked into."""
        progress = self.budget.progress(self.step)
        look = self.watching.due(self.step, progress)
        self._smooth(self.stepper.step(batches, progress, look=look))
        self.step += 1
        if not look or self.stepper.seen is None:
            return None, ()
        return self.watching.read(self.step, progress, self.loss, batches[-1], self.stepper.seen)

    def _show(
        self,
        measurements: tuple[Measurement, ...] = (),
        note: str = "",
        reading: Reading | None = None,
        warnings: Sequence[str] = (),
    ) -> None:
        rate, progress = self.rows / self.busy if self.busy else 0.0, self.budget.progress(self.step)
        self.watch(Step(self.step, progress, self.loss, rate, measurements, note, reading, tuple(warnings)))

    def _diverged(self, error: NotFiniteError) -> DivergedError:
        """The error with where it happened and what is left; the best model so far is taken, if there is one."""
        step = self.making
        message = diverged(str(error), step, self.stepper.learning_rate, self.loss, self.latest)
        if self.keeper:
            changed = ", and takes a lower --learning-rate with --resume-changed" if self.keeper.latest else ""
            message = f"{message}; {self.keeper.way_back()}{changed}"
        self.watching.warn(step, "diverged", message)
        if self.measuring.best_state:
            self._finish()
        return DivergedError(message, self.outcome)

    def _keep(self) -> None:
        """Write a checkpoint where it is time for one, and stop where that is asked for."""
        if self.keeper is None:
            return
        keeper = self.keeper
        asked = any_rank(keeper.checkpoints.stop())
        if asked or from_first(lambda: keeper.due(self.step)):
            self.measuring.check_finite()  # or the last good one would give way to one of no use
            state = self.state()
            from_first(lambda: keeper.write(self.step, state))
        if asked:
            self.keeper.stop(self.step)

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on, for `load`."""
        return {
            "step": self.step,
            "position": [self.position.epoch, self.position.index],
            "due": self.due,
            "measured_at": self.measured_at,
            "loss": self.loss,
            "rows": self.rows,
            "seconds": {"spent": self.budget.spent(), "busy": self.busy},
            "watching": self.watching.state(),
            "similarities": self.outcome.similarities,
            "unchanged": self.unchanged,
            "feed": self.feed.state(),
            "stepper": self.stepper.state(),
            **self._by_memory(),
            "miner": self.miner.state() if self.miner else [],
            "measuring": self.measuring.state(),
            "random": random_state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.step, self.position, self.loss = state["step"], Position(*state["position"]), state["loss"]
        self.rows, self.busy = state["rows"], state["seconds"]["busy"]
        self.measured_at = state["measured_at"]
        self.budget.go_on_after(state["seconds"]["spent"])
        # with another end, progress is another
        self.due = min(state["due"], int(self.budget.progress(self.step) * self.settings.evaluations) + 1)
        self.watching.load(state["watching"])
        self.outcome.similarities = {when: (near, far) for when, (near, far) in state["similarities"].items()}
        self.unchanged.update(state["unchanged"])
        self.feed.load(state["feed"])
        self.stepper.load(state["stepper"])
        if self.asked.chunk_tokens is None and state["chunk_tokens"]:  # else free memory would decide anew
            self.stepper.encoder.chunk_tokens = state["chunk_tokens"]  # type: ignore[misc]
        if self.asked.max_bytes is None:
            self.max_bytes = state["max_bytes"]
        if self.miner:
            self.miner.load(state["miner"])
        self.measuring.load(state["measuring"])
        set_random_state(state["random"])

    def _by_memory(self) -> dict[str, int | None]:
        """What free memory has decided, as it is in use: a chunk is halved where memory runs out."""
        return {"chunk_tokens": self.stepper.encoder.chunk_tokens, "max_bytes": self.max_bytes}

    def _finish(self) -> None:
        """Take the best model and measure it well."""
        self.outcome.settings = self.settings.model_copy(update=self._by_memory())
        self.outcome.seconds = self.watching.seconds
        self.outcome.unchanged = dict(self.unchanged)
        self.measuring.take_best(self.step)
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
        started, self.measured_at = time.monotonic(), self.step
        measurements = self.measuring.measure(self.step)
        if self.following and (found := self.following.look()):
            self.watching.followed(self.step, self.loss, found)
        if not measurements:
            return (), ()
        return measurements, self.watching.measured(self.step, self.loss, measurements, time.monotonic() - started)

    def _compare(self, when: str) -> None:
        found = self.measuring.similarities()
        if found is not None:
            self.outcome.similarities[when] = found
