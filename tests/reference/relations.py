"""Who is near and who is far, as lists: design.md section 3 word for word, one anchor after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Row = Sequence[complex]


@dataclass(frozen=True)
class Plain:
    """Anchors and candidates, with the candidates near to and far from each anchor listed by number."""

    anchors: Sequence[Row]
    candidates: Sequence[Row]
    near: list[list[int]]
    far: list[list[int]]
    weights: Sequence[float]


def pairs(
    anchors: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray | None = None,
    groups: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
) -> Plain:
    """Row i's positive near; other positives far unless of anchor i's group; every negative far."""
    rows = [list(row) for row in positives]
    n = len(rows)
    if negatives is not None:
        rows += [list(row) for row in negatives.reshape(-1, positives.shape[1])]
    near = [[i] for i in range(n)]
    far = [[] for _ in range(n)]
    for i in range(n):
        for j in range(len(rows)):
            if j == i:
                continue
            if groups is not None and j < n and groups[j] == groups[i]:
                continue
            far[i].append(j)
    return Plain([list(row) for row in anchors], rows, near, far, weights or [1.0] * n)


def views(
    first: np.ndarray,
    second: np.ndarray,
    groups: Sequence[int] | None = None,
    weights: Sequence[float] | None = None,
) -> Plain:
    """2N items; the other view near; itself in neither list; an item of the same group in neither."""
    items = [list(row) for row in first] + [list(row) for row in second]
    n = len(first)
    near, far = [], []
    for i in range(2 * n):
        other = i + n if i < n else i - n
        near.append([other])
        far.append([])
        for j in range(2 * n):
            if j in (i, other):
                continue
            if groups is not None and groups[j % n] == groups[i % n]:
                continue
            far[i].append(j)
    return Plain(items, items, near, far, [*weights, *weights] if weights else [1.0] * 2 * n)


def labelled(embeddings: np.ndarray, labels: Sequence[int], weights: Sequence[float] | None = None) -> Plain:
    """Same label near, another label far, itself in neither."""
    items = [list(row) for row in embeddings]
    n = len(items)
    near = [[j for j in range(n) if j != i and labels[j] == labels[i]] for i in range(n)]
    far = [[j for j in range(n) if labels[j] != labels[i]] for i in range(n)]
    return Plain(items, items, near, far, weights or [1.0] * n)
