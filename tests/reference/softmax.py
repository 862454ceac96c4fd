"""The softmax family as the papers print it: loops over Python numbers, slow, without a stable form.

Numbers may be complex, so that a complex step gives the gradient (tests/reference/gradient.py).
"""

from __future__ import annotations

from cmath import exp, log, sqrt
from collections.abc import Sequence

import numpy as np

from tests.reference.relations import Plain, Row

Rows = list[tuple[complex, float]]
"""For each anchor its loss and 1.0, or (0, 0.0) where it is left out."""


def dot(x: Row, y: Row) -> complex:
    return sum(a * b for a, b in zip(x, y, strict=True))


def cosine(x: Row, y: Row) -> complex:
    return dot(x, y) / (sqrt(dot(x, x)) * sqrt(dot(y, y)))


SIMILARITIES = {"cosine": cosine, "dot": dot}


def infonce(problem: Plain, temperature: float, similarity: str = "cosine") -> Rows:
    """van den Oord et al. 2018, eq. 4, one near candidate and the far ones at a time; the mean over the near."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        if not near:
            rows.append((0.0, 0.0))
            continue
        score = {j: SIMILARITIES[similarity](x, problem.candidates[j]) / temperature for j in [*near, *far]}
        value = 0.0
        for p in near:
            value -= log(exp(score[p]) / (exp(score[p]) + sum(exp(score[j]) for j in far)))
        rows.append((value / len(near), 1.0))
    return rows


def nt_xent_rows(problem: Plain, temperature: float) -> Rows:
    """Chen et al. 2020, eq. 1, for each of the 2N items: the denominator has every item but i (and i's group)."""
    rows: Rows = []
    for i, z in enumerate(problem.anchors):
        (j,) = problem.near[i]
        denominator = 0.0
        for k in sorted([j, *problem.far[i]]):
            assert k != i
            denominator += exp(cosine(z, problem.candidates[k]) / temperature)
        rows.append((-log(exp(cosine(z, problem.candidates[j]) / temperature) / denominator), 1.0))
    return rows


def nt_xent(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Chen et al. 2020, algorithm 1: the views interleaved, both orders of each pair, over 2N."""
    z = [row for pair in zip(first.tolist(), second.tolist(), strict=True) for row in pair]

    def loss(i: int, j: int) -> complex:
        denominator = sum(exp(cosine(z[i], z[k]) / temperature) for k in range(len(z)) if k != i)
        return -log(exp(cosine(z[i], z[j]) / temperature) / denominator)

    return sum(loss(k, k + 1) + loss(k + 1, k) for k in range(0, len(z), 2)).real / len(z)


def mean(rows: Rows, weights: Sequence[float]) -> complex:
    """The weighted mean over the anchors that are not left out; 0 without any."""
    counted = sum(w * counts for (_, counts), w in zip(rows, weights, strict=True))
    return total(rows, weights) / counted if counted else 0.0


def total(rows: Rows, weights: Sequence[float]) -> complex:
    return sum(w * value for (value, _), w in zip(rows, weights, strict=True))
