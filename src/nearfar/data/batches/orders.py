"""Orders: ways to cut the rows of a source into batches; the plain ones, and what the others share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.data.limits import check_least
from nearfar.errors import InputError

Rows = NDArray[np.int64]
"""``(n,)``: row numbers of a source, counted from 0."""

Order = Callable[[Rows, np.random.Generator, int], list[Rows]]
"""(rows, generator, batch size) -> batches of these rows. Pure: nothing but the arguments decides. A batch has at
most so many rows, but three where the size is 2 and the rows are odd, so that none is alone."""


def shuffled(rows: Rows, generator: np.random.Generator, batch_size: int) -> list[Rows]:
    """Every row once, at random, shared out evenly: sizes differ by one at most."""
    return cut(generator.permutation(rows), batch_size)


def by_length(lengths: ArrayLike, *, pool: int = 50) -> Order:
    """Rows of like length together, so that little padding is computed; every row once.

    Rows are shuffled and sorted within pools of some batches: sorted as a whole, they would meet the same others
    every epoch.

    Args:
        lengths: ``(n,)``: of each row of the source, such as its tokens.
        pool: batches that are sorted together; more pad less and mix less.

    Raises:
        InputError: `lengths` is no list of numbers, or `pool` is below 1.
    """
    known = column(lengths, "lengths")
    check_least("pool", pool, 1)

    def order(rows: Rows, generator: np.random.Generator, batch_size: int) -> list[Rows]:
        check_rows("lengths", len(known), rows)
        pools = cut(generator.permutation(rows), pool * batch_size)
        return [batch for drawn in pools for batch in cut(drawn[np.argsort(known[drawn], kind="stable")], batch_size)]

    return order


def cut(rows: Rows, batch_size: int) -> list[Rows]:
    """Runs of the rows, shared out evenly."""
    return np.array_split(rows, batch_count(len(rows), batch_size)) if len(rows) else []


def deal(rows: Rows, keys: NDArray[Any], generator: np.random.Generator, hands: int) -> NDArray[np.int64]:
    """``(n,)``: a hand for each row, at random, sizes differing by one at most, equal keys in as many as there can be.

    Rows sorted by key are dealt like cards, so those of one key go to hands that follow each other.

    Args:
        rows: which only their number counts of.
        keys: ``(n,)`` integers from 0.
        generator: of the order of keys and of the rows of a key.
        hands: how many.
    """
    shuffled = generator.permutation(len(rows))
    priority = generator.permutation(int(keys.max()) + 1) if len(keys) else keys
    places = shuffled[np.argsort(priority[keys[shuffled]], kind="stable")]
    hand = np.empty(len(rows), np.int64)
    hand[places] = np.arange(len(rows)) % hands
    return hand


def gathered(rows: Rows, hand: NDArray[np.int64]) -> list[Rows]:
    """The rows of each hand that has any."""
    order = np.argsort(hand, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(hand[order])) + 1) if len(rows) else []


def batch_count(rows: int, batch_size: int) -> int:
    """Batches that so many rows make: as few as the size allows, and none of a lone row where that can be."""
    return max(min(-(-rows // batch_size), rows // 2), 1)


def column(values: ArrayLike | Sequence[Any], name: str) -> NDArray[Any]:
    """One value a row, as an array.

    Raises:
        InputError: it has another shape, or no row.
    """
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{name}: found shape {array.shape}, wanted (rows,)")
    return array


def check_rows(name: str, known: int, rows: Rows) -> None:
    """Raise an InputError where an order knows too few rows of its source."""
    if len(rows) and rows.max() >= known:
        raise InputError(f"{name}: found {known} rows, wanted those of a source of {rows.max() + 1} or more")
