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


def infonce_options(
    problem: Plain, temperature: float, decoupled: bool = False, debias: float = 0.0, hardness: float = 0.0
) -> Rows:
    """By cosine, with the options of the family.

    The near candidate left out of the denominator (Yeh et al. 2021, eq. 6), the far mass corrected for near ones in it
    (Chuang et al. 2020, eq. 8) and weighted by exp(hardness s) (Robinson et al. 2021, eq. 4).
    """
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        if not near or (decoupled and not far):
            rows.append((0.0, 0.0))
            continue
        score = {j: cosine(x, problem.candidates[j]) / temperature for j in [*near, *far]}
        value = 0.0
        for p in near:
            mass = 0.0
            if far:
                weights = {j: exp(hardness * score[j]) for j in far}
                mean_weight = sum(weights.values()) / len(far)
                mass = sum(weights[j] / mean_weight * exp(score[j]) for j in far)
                if debias:
                    corrected = (mass - debias * len(far) * exp(score[p])) / (1 - debias)
                    floor = len(far) * exp(-1 / temperature)
                    mass = corrected if corrected.real > floor.real else floor
            value -= log(exp(score[p]) / ((0.0 if decoupled else exp(score[p])) + mass))
        rows.append((value / len(near), 1.0))
    return rows


def n_pair(problem: Plain, l2: float = 0.0) -> Rows:
    """Sohn 2016, eq. 7, and the penalty on the norms of section 3.2.2."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        if not near:
            rows.append((0.0, 0.0))
            continue
        value = 0.0
        for p in near:
            gaps = [dot(x, problem.candidates[j]) - dot(x, problem.candidates[p]) for j in far]
            value += log(1 + sum(exp(gap) for gap in gaps))
            value += l2 * (dot(x, x) + dot(problem.candidates[p], problem.candidates[p])) / 2
        rows.append((value / len(near), 1.0))
    return rows


def sup_con(problem: Plain, temperature: float) -> Rows:
    """Khosla et al. 2020, eq. 2: the sum over near candidates outside the logarithm."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        score = {j: cosine(x, problem.candidates[j]) / temperature for j in [*near, *far]}
        whole = sum(exp(value) for value in score.values())
        value = sum(-log(exp(score[p]) / whole) for p in near)
        rows.append((value / len(near), 1.0) if near else (0.0, 0.0))
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
