"""Watching a run: which steps are looked into, and where what is seen there goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nearfar.analysis import Measurement
from nearfar.data.groups import shares_of
from nearfar.training.alarms import Alarms, slow_measuring
from nearfar.training.journal import Journal, entry_of, figures_of, plain
from nearfar.training.outcome import Outcome, Reading
from nearfar.training.schedule import Budget
from nearfar.training.sources import Batch
from nearfar.training.space import space_of
from nearfar.training.stepping import Seen
from nearfar.training.trackers import Trackers

READINGS = 200
"""Readings of a run whose settings do not say how many."""

SPACING = 60
"""Steps between two of them at the least, so that they cost less than 2 % of the time; at the beginning, when the space
changes most, steps 1, 2, 4, 8 and so on are looked into as well."""


class Watching:
    """Takes down readings, measurements and warnings: in the outcome, the journal and the trackers.

    Args:
        outcome: of the run.
        budget: of the run.
        journal: of the run.
        trackers: of the run.
    """

    def __init__(self, outcome: Outcome, budget: Budget, journal: Journal, trackers: Trackers) -> None:
        self.outcome, self.budget, self.journal, self.trackers = outcome, budget, journal, trackers
        self.alarms = Alarms()
        self.read_at: tuple[int, float] | None = None
        self.measuring, self.began = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Of the run, what came before the first step and before a checkpoint included."""
        return time.monotonic() - self.began

    def state(self) -> dict[str, Any]:
        """All that was taken down, for `load`."""
        return {
            "seconds": self.seconds,
            "measuring": self.measuring,
            "read_at": self.read_at,
            "history": self.outcome.history,
            "readings": self.outcome.readings,
            "followed": self.outcome.followed,
            "warnings": self.outcome.warnings,
            "alarms": self.alarms.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave; the journal begins anew with it."""
        self.began, self.measuring = time.monotonic() - state["seconds"], state["measuring"]
        self.read_at = None if state["read_at"] is None else tuple(state["read_at"])
        outcome = self.outcome
        outcome.history, outcome.readings, outcome.warnings = state["history"], state["readings"], state["warnings"]
        outcome.followed = state.get("followed", [])  # which older checkpoints do not hold
        noted = {
            "measurement": outcome.history,
            "reading": outcome.readings,
            "followed": outcome.followed,
            "warning": outcome.warnings,
        }
        self.alarms.load(state["alarms"])
        entries = [(kind, entry) for kind, those in noted.items() for entry in those]
        for kind, entry in sorted(entries, key=lambda one: one[1]["step"]):
            self.journal.write(kind, entry)

    def due(self, step: int, progress: float) -> bool:
        """Whether the step that comes is looked into, `step` steps being done."""
        every = self.outcome.settings.watch_every
        if every is not None:
            return every > 0 and (step + 1) % every == 0
        if self.read_at is None or (step < SPACING and (step + 1).bit_count() == 1):
            return True
        last, then = self.read_at
        return step - last >= SPACING and progress - then >= 1 / READINGS

    def read(self, step: int, progress: float, loss: float, batch: Batch, seen: Seen) -> tuple[Reading, Sequence[str]]:
        """What was seen of a step, and the warnings that follow from it.

        Args:
            step: its number.
            progress: share of the run that is over.
            loss: smoothed.
            batch: that was learnt from.
            seen: of it.
        """
        shared, crossed = shares_of(batch.kind, batch.ids, batch.marks)
        space = space_of(seen.contrast, seen.objective) if len(seen.contrast) > 1 else dict.fromkeys(_SPACE)
        reading = Reading(seen.learning_rate, seen.gradient_norm, **space, shared=shared, crossed=crossed)
        self.read_at = (step - 1, progress)
        entry = self._entry(step, progress, loss) | {"batch_loss": seen.loss} | asdict(reading)
        self._note("reading", entry, self.outcome.readings)
        self.trackers.write(step, entry)
        found = self.alarms.check(reading, batch.kind, len(batch.tokens[0]), progress)
        return reading, [self.warn(step, cause, message) for cause, message in found.items()]

    def measured(self, step: int, loss: float, measurements: Sequence[Measurement], seconds: float) -> Sequence[str]:
        """Take measurements down that took so many seconds; the warnings that follow from them."""
        entry = self._entry(step, self.budget.progress(step), loss)
        entry["measurements"] = figures_of(measurements)
        self._note("measurement", entry, self.outcome.history)
        self.trackers.write_measurements(step, measurements)
        if step == 0 or not self.budget.seconds:
            return []
        self.measuring += seconds
        message = slow_measuring(self.measuring, self.budget.spent())
        return [self.warn(step, "measuring", message)] if message and self.alarms.first("measuring") else []

    def followed(self, step: int, loss: float, found: dict[str, Any]) -> None:
        """Take down what follows some texts."""
        self._note("followed", self._entry(step, self.budget.progress(step), loss) | found, self.outcome.followed)

    def result(self, step: int, measurements: Sequence[Measurement]) -> None:
        """Take down the measurements of the model that was kept."""
        self.journal.write("result", {"step": step, "measurements": [m.to_dict() for m in measurements]})

    def warn(self, step: int, cause: str, message: str) -> str:
        """Take a warning down; its message."""
        self._note("warning", {"step": step, "cause": cause, "message": message}, self.outcome.warnings)
        return message

    def _entry(self, step: int, progress: float, loss: float) -> dict[str, Any]:
        return entry_of(step, progress, self.seconds, loss)

    def _note(self, kind: str, entry: dict[str, Any], entries: list[dict[str, Any]]) -> None:
        entries.append(plain(entry))
        self.journal.write(kind, entry)


_SPACE = ("alignment", "uniformity", "mean_cosine", "effective_rank", "rank_bound", "effective_negatives")
