"""Texts known by number: which rows of a batch must not push each other since they share one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nearfar.data.tables import Table

Ids = NDArray[np.int64]


def number_texts(table: Table, role: str) -> Ids:
    """``(n,)``: a 64-bit hash of each row's text."""
    return np.concatenate([numbers_of(batch[role]) for batch in table.batches()])


def numbers_of(values: Sequence[Any]) -> Ids:
    """``(n,)``: a 64-bit hash of each value, equal for equal values."""
    numbers: Ids = pd.util.hash_array(np.asarray(values, dtype=object)).view(np.int64)
    return numbers


def among(numbers: Ids, known: Ids) -> NDArray[np.bool_]:
    """``(n,)``: which of the numbers are among sorted ones; if sorted too, in a third of the time of numpy's isin."""
    if not len(known):
        return np.zeros(len(numbers), bool)
    found: NDArray[np.bool_] = known.take(np.searchsorted(known, numbers), mode="clip") == numbers
    return found


def duplicate_groups(columns: Sequence[Ids]) -> Ids:
    """``(n,)``: rows that share a text in any of the columns, directly or through others, get one number.

    Two rows with one anchor, or with one positive, must not push each other's texts away.
    """
    first = np.arange(len(columns[0]))
    doubled = np.flatnonzero(np.logical_or.reduce([_occurs_again(values) for values in columns]))
    if len(doubled):  # most batches hold few: only those make a graph
        first[doubled] = doubled[_first_connected([values[doubled] for values in columns])]
    numbers: Ids = np.cumsum(first == np.arange(len(first))) - 1  # counted in the order of first rows
    return numbers[first]


def groups_of_negatives(negatives: Ids, columns: Sequence[Ids], groups: Ids) -> Ids:
    """``(K,)``: the group of the row whose text a negative is, or a number of its own.

    Args:
        negatives: ``(K,)`` numbers of texts.
        columns: ``(n,)`` each: the numbers of the rows' texts.
        groups: ``(n,)`` of the rows.
    """
    texts, owners = np.concatenate(columns), np.tile(groups, len(columns))
    order = np.argsort(texts, kind="stable")
    place = np.searchsorted(texts, negatives, sorter=order)
    found = order[np.minimum(place, len(order) - 1)]
    alone: Ids = len(groups) + np.arange(len(negatives))
    return np.where(texts[found] == negatives, owners[found], alone)


def shares_of(kind: str, ids: Sequence[Ids], marks: NDArray[Any] | None) -> tuple[float, float]:
    """What share of a batch's rows shares a text with another row, and what share has a text of two labels.

    Texts whose nearness is graded push no other row.

    Args:
        kind: of the contrast.
        ids: of the columns.
        marks: labels, or groups, or None.
    """
    if kind == "graded":
        return 0.0, 0.0
    shared = np.logical_or.reduce([_occurs_again(values) for values in ids[:2]])
    if kind != "labelled":
        return float(shared.mean()), 0.0
    assert marks is not None
    _, texts = np.unique(ids[0], return_inverse=True)
    kinds = np.unique(np.stack([texts, marks]), axis=1)[0]
    return float(shared.mean()), float((np.bincount(kinds)[texts] > 1).mean())


def _occurs_again(values: Ids) -> NDArray[np.bool_]:
    """``(n,)``: another row has the same value."""
    order = np.argsort(values)
    equal = np.concatenate([[False], np.diff(values[order]) == 0, [False]])
    found = np.empty(len(values), bool)
    found[order] = equal[1:] | equal[:-1]
    return found


def _first_connected(columns: Sequence[Ids]) -> Ids:
    """``(n,)``: for each row the first one that it shares a value with in any of the columns, also through others."""
    first = np.arange(len(columns[0]))
    values = [np.unique(column, return_inverse=True)[1] for column in columns]
    while True:
        before = first
        for numbers in values:  # every row takes on the least of those of its value
            least = np.full(len(first), len(first))
            np.minimum.at(least, numbers, first)
            first = least[numbers]
        first = first[first]  # so that a chain of n rows takes log n rounds
        if np.array_equal(first, before):
            return first
