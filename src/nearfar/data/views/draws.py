"""Random numbers of a row: the same for one (seed, epoch, row, place), whatever the batch, process or order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

READY = 16
"""Numbers worked out beforehand for each row; a view that wants more gets more, only slower."""

STEP = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Constants of SplitMix64 (Steele, Lea & Flood 2014)."""


class RowRandom(Random):
    """`random.Random` over counted numbers: the k-th of a row is a hash of the row's key and k.

    Seeding a Mersenne twister costs 5 microseconds a row and a NumPy generator 17, more than most views; here a
    batch's numbers are worked out together, and a row costs about one.
    """

    def __init__(self) -> None:
        super().__init__(0)

    def start(self, key: int, ready: list[float]) -> RowRandom:
        """Go to the beginning of a row, whose first numbers are given."""
        # in the instance, where it is found before the method: the call is half of what a number costs
        self.__dict__["random"] = chain(ready, chain.from_iterable(_more(key, len(ready)))).__next__
        return self

    def random(self) -> float:
        """A number from 0 up to but not including 1; `start` puts the row's own in this place."""
        return super().random()


def row_randoms(rows: Sequence[int], *, seed: int, epoch: int, place: int) -> Iterator[RowRandom]:
    """For each row its generator, valid until the next is asked for.

    Args:
        rows: numbers of rows.
        seed: of the run.
        epoch: the pass over the data.
        place: tells apart the views of one row, so that one's use of numbers does not shift another's.
    """
    keys = row_keys(rows, seed=seed, epoch=epoch, place=place)
    random = RowRandom()
    for key, ready in zip(keys.tolist(), uniforms(keys, 0, READY).tolist(), strict=True):
        yield random.start(key, ready)


def row_keys(rows: Sequence[int], *, seed: int, epoch: int, place: int) -> Keys:
    """``(n,)``: a hash of each row with the rest."""
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch, place):
        key = mixed(key + np.uint64(part % 2**64))
    return mixed(key + np.asarray(rows, np.int64).astype(np.uint64))


def uniforms(keys: Keys, start: int, count: int) -> NDArray[np.float64]:
    """``(n, count)``: numbers `start` to `start + count` of each key, from 0 up to but not including 1."""
    counter = np.arange(start, start + count, dtype=np.uint64) * np.uint64(STEP)
    return np.ldexp((mixed(keys[:, None] + counter) >> np.uint64(11)).astype(np.float64), -53)


def mixed(numbers: Keys) -> Keys:
    """A step of SplitMix64: every bit of the result depends on all bits of the number."""
    mix = numbers + np.uint64(STEP)
    mix ^= mix >> np.uint64(30)
    mix *= np.uint64(FACTORS[0])
    mix ^= mix >> np.uint64(27)
    mix *= np.uint64(FACTORS[1])
    mix ^= mix >> np.uint64(31)
    return mix


def _more(key: int, start: int) -> Iterator[list[float]]:
    keys, count = np.asarray([key], np.uint64), 64
    while True:
        yield uniforms(keys, start, count)[0].tolist()
        start += count
        count = min(2 * count, 1 << 16)


def pick(random: Random, size: int) -> int:
    """A number from 0 to size - 1."""
    return int(random.random() * size)


def choose(random: Random, size: int, count: int) -> list[int]:
    """`count` distinct numbers from 0 to size - 1, in order."""
    if count == 1:
        return [int(random.random() * size)]
    if 3 * count > size:
        order = list(range(size))
        for place in range(count):  # the beginning of a Fisher-Yates shuffle
            other = place + int(random.random() * (size - place))
            order[place], order[other] = order[other], order[place]
        return sorted(order[:count])
    chosen: set[int] = set()
    while len(chosen) < count:
        chosen.add(int(random.random() * size))
    return sorted(chosen)
