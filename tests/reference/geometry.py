"""Equations of the unit sphere as a whole: how close the near are, how evenly the far are spread, class centres."""

from __future__ import annotations

from cmath import exp, log, sqrt
from dataclasses import replace

from tests.reference.distances import squared
from tests.reference.relations import Plain, Row
from tests.reference.softmax import Rows, dot, infonce


def unit(row: Row) -> Row:
    length = sqrt(dot(row, row))
    return [value / length for value in row]


def align_uniform(problem: Plain, alpha: float, t: float, uniformity: float) -> complex:
    """Wang & Isola 2020, section 4.1: means over near and far entries of unit vectors, one number in all."""
    align, uniform = [0.0, 0.0], [0.0, 0.0]
    for i, w in enumerate(problem.weights):
        x = unit(problem.anchors[i])
        for p in problem.near[i]:
            align[0] += w * squared(x, unit(problem.candidates[p])) ** (alpha / 2)
            align[1] += w
        for j in problem.far[i]:
            uniform[0] += w * exp(-t * squared(x, unit(problem.candidates[j])))
            uniform[1] += w
    loss = align[0] / align[1] if align[1] else 0.0
    return loss + (uniformity * log(uniform[0] / uniform[1]) if uniform[1] else 0.0)


def prototype(problem: Plain, temperature: float) -> Rows:
    """Li et al. 2021 (PCL), eq. 11 with one temperature; Caron et al. 2020 (SwAV), eq. 2 with a hard assignment.

    Of labelled items the centres are the means of each class's unit vectors, the item itself among them.
    """
    return infonce(class_means(problem) if problem.labels is not None else problem, temperature)


def class_means(problem: Plain) -> Plain:
    classes = sorted(set(problem.labels))
    units = [unit(row) for row in problem.anchors]
    centres = []
    for name in classes:
        members = [row for row, label in zip(units, problem.labels, strict=True) if label == name]
        centres.append([sum(column) / len(members) for column in zip(*members, strict=True)])
    own = [classes.index(label) for label in problem.labels]
    far = [[k for k in range(len(classes)) if k != mine] for mine in own]
    return replace(problem, candidates=centres, near=[[mine] for mine in own], far=far)
