"""When a run ends, and how the learning rate moves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from nearfar.training.ranks import as_first


@dataclass
class Budget:
    """How far a run has come: the first limit that is reached ends it.

    Attributes:
        steps: optimiser steps, or None.
        seconds: wall time from `started`, or None. At least one of the two is given.
        started: by the monotonic clock.
    """

    steps: int | None
    seconds: float | None
    started: float = field(default_factory=time.monotonic)

    def spent(self) -> float:
        """Seconds since `started`."""
        return time.monotonic() - self.started

    def go_on_after(self, seconds: float) -> None:
        """Count on as if so many seconds had been spent already."""
        self.started = time.monotonic() - seconds

    def progress(self, step: int) -> float:
        """Share of the run that is over after `step` steps, from 0 to 1, by the clock of rank 0."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = as_first(self.spent() / self.seconds) if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


def warm_up_and_decay(progress: float, warmup: float) -> float:
    """Factor of the learning rate: up linearly over the first `warmup`, then down linearly to 0."""
    if warmup and progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)
