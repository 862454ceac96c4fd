"""m per class: each class of a batch with m rows, so that every row meets its like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.data.batches.orders import Order, Rows, check_rows, column, deal, gathered
from nearfar.data.limits import check_least
from nearfar.errors import InputError


def per_class(labels: ArrayLike | Sequence[Any], *, m: int) -> Order:
    """Batches of batch size / m groups, a group being m rows of one class (Hermans et al. 2017, "PK batches").

    The paper draws classes alike; here an epoch holds every row. Each class is cut into groups of m, the last of
    them filled up with rows drawn from the others: fewer than m rows of a class come twice in an epoch. A class of
    fewer than m rows is one small group (`small_classes` names them). A batch has one group of a class, and more
    only of classes that have more groups than there are batches.

    Args:
        labels: ``(n,)``: of each row of the source.
        m: rows of a class in a batch.

    Raises:
        InputError: `m` is below 2. When called: the batch size is below 2 m.
    """
    _, classes = np.unique(column(labels, "labels"), return_inverse=True)
    check_least("m", m, 2)

    def order(rows: Rows, generator: np.random.Generator, batch_size: int) -> list[Rows]:
        check_rows("labels", len(classes), rows)
        if batch_size < 2 * m:
            raise InputError(f"batch_size: found {batch_size}, wanted at least {2 * m}, two classes of {m} rows")
        groups = _groups(generator.permutation(rows), classes, m, generator)
        batches = -(-len(groups) // (batch_size // m))
        hand = deal(np.arange(len(groups)), np.array([classes[group[0]] for group in groups]), generator, batches)
        return [
            np.concatenate([groups[number] for number in numbers]) for numbers in gathered(np.arange(len(groups)), hand)
        ]

    return order


def small_classes(labels: ArrayLike | Sequence[Any], *, m: int) -> NDArray[Any]:
    """The labels of classes of fewer than m rows, sorted.

    Raises:
        InputError: `m` is below 2.
    """
    check_least("m", m, 2)
    names, counts = np.unique(column(labels, "labels"), return_counts=True)
    return names[counts < m]


def _groups(rows: Rows, classes: NDArray[np.int64], m: int, generator: np.random.Generator) -> list[Rows]:
    """The rows of each class in groups of m."""
    found = []
    for members in gathered(rows, classes[rows]):
        lacking = -len(members) % m
        if len(members) > m and lacking:
            filling = generator.choice(members[: len(members) - len(members) % m], lacking, replace=False)
            members = np.concatenate([members, filling])
        found += np.split(members, range(m, len(members), m))
    return found
