"""When a run ends, which batch comes next, and how the learning rate moves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Budget:
    """How far a run has come: the first limit that is reached ends it.

    Attributes:
        steps: optimiser steps, or None.
        seconds: wall time from `start`, or None. At least one of the two is given.
    """

    steps: int | None
    seconds: float | None
    started: float = field(default_factory=time.monotonic)

    def progress(self, step: int) -> float:
        """Share of the run that is over after `step` steps, from 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = (time.monotonic() - self.started) / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


def warm_up_and_decay(progress: float, warmup: float) -> float:
    """Factor of the learning rate: up linearly over the first `warmup`, then down linearly to 0."""
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)


def steps_in_epoch(lengths: Sequence[int], batch_size: int) -> int:
    """Batches that cover tables of these lengths once."""
    return sum(_batches(length, batch_size) for length in lengths)


def plan(lengths: Sequence[int], batch_size: int, seed: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Endless batches: (table number, rows), each from one table, every row once an epoch, shuffled.

    The order depends on nothing but the arguments.

    Args:
        lengths: rows of each table, at least 2.
        batch_size: rows a batch; an epoch's rows are shared out evenly, so that no batch is a lone row.
        seed: of the order.
    """
    epoch = 0
    while True:
        generator = np.random.default_rng((seed, epoch))
        batches = [
            (number, rows)
            for number, length in enumerate(lengths)
            for rows in np.array_split(generator.permutation(length), _batches(length, batch_size))
        ]
        for place in generator.permutation(len(batches)):
            yield batches[place]
        epoch += 1


def _batches(length: int, batch_size: int) -> int:
    return min(-(-length // batch_size), length // 2)
