"""Equations by distance as the papers print them: loops over Python numbers, slow, without a stable form."""

from __future__ import annotations

from cmath import exp, log, sqrt

from tests.reference.relations import Plain, Row
from tests.reference.softmax import Rows, dot


def squared(x: Row, y: Row) -> complex:
    gap = [a - b for a, b in zip(x, y, strict=True)]
    return dot(gap, gap)


def euclidean(x: Row, y: Row) -> complex:
    return sqrt(squared(x, y))


DISTANCES = {"squared": squared, "euclidean": euclidean}


def hinge(value: complex) -> complex:
    return value if value.real > 0 else 0.0


def contrastive(problem: Plain, margin: float) -> Rows:
    """Hadsell et al. 2006, eq. 4, over all near and far pairs."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        value = sum(squared(x, problem.candidates[p]) / 2 for p in near)
        value += sum(hinge(margin - euclidean(x, problem.candidates[j])) ** 2 / 2 for j in far)
        rows.append((value, float(len(near) + len(far))))
    return rows


def triplet(problem: Plain, margin: float, distance: str, mining: str, average: str) -> Rows:
    """Schroff et al. 2015, eq. 2; the triplets of `mining`, and how many count by `average`."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        d = {j: DISTANCES[distance](x, problem.candidates[j]) for j in [*near, *far]}
        terms = [hinge(d[p] - d[n] + margin) for p, n in TRIPLETS[mining](near, far, d)]
        active = sum(term.real > 0 for term in terms)
        rows.append((sum(terms), float(len(terms) if average == "all" else active)))
    return rows


def every(near: list[int], far: list[int], d: dict[int, complex]) -> list[tuple[int, int]]:
    return [(p, n) for p in near for n in far]


def hard(near: list[int], far: list[int], d: dict[int, complex]) -> list[tuple[int, int]]:
    """Hermans et al. 2017, eq. 5: furthest near, nearest far."""
    if not near or not far:
        return []
    return [(max(near, key=lambda j: d[j].real), min(far, key=lambda j: d[j].real))]


def semihard(near: list[int], far: list[int], d: dict[int, complex]) -> list[tuple[int, int]]:
    """Schroff et al. 2015, eq. 4: the nearest far that is further than the near one; else the furthest far."""
    chosen = []
    for p in near:
        further = [n for n in far if d[n].real > d[p].real]
        if further:
            chosen.append((p, min(further, key=lambda j: d[j].real)))
        elif far:
            chosen.append((p, max(far, key=lambda j: d[j].real)))
    return chosen


TRIPLETS = {"all": every, "hard": hard, "semihard": semihard}


def soft_nearest_neighbours(problem: Plain, temperature: float) -> Rows:
    """Frosst et al. 2019, eq. 1."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        mass = {j: exp(-squared(x, problem.candidates[j]) / temperature) for j in [*near, *far]}
        close, whole = sum(mass[p] for p in near), sum(mass.values())
        rows.append((-log(close / whole), 1.0) if near else (0.0, 0.0))
    return rows


def lifted(problem: Plain, margin: float) -> Rows:
    """Oh Song et al. 2016, eq. 4, over ordered near pairs: half their sum over unordered ones, twice as many pairs."""
    rows: Rows = []
    for i, x in enumerate(problem.anchors):
        value, count = 0.0, 0.0
        for p in problem.near[i]:
            pushes = [exp(margin - euclidean(x, problem.candidates[k])) for k in problem.far[i]]
            for other, far in zip(problem.anchors, problem.far, strict=True):
                if p in far:
                    pushes.append(exp(margin - euclidean(other, problem.candidates[p])))
            if pushes:
                value += hinge(euclidean(x, problem.candidates[p]) + log(sum(pushes))) ** 2 / 2
                count += 1
        rows.append((value, count))
    return rows
