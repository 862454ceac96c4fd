"""Equations of separate decisions, and those that weigh pairs, as the papers print them."""

from __future__ import annotations

from cmath import exp, log

from tests.reference.relations import Plain
from tests.reference.softmax import Rows, cosine, dot


def log_sigma(score: complex) -> complex:
    return log(1 / (1 + exp(-score)))


def neg(problem: Plain) -> Rows:
    """Mikolov et al. 2013, eq. 4."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        value = -sum(log_sigma(dot(x, problem.candidates[p])) for p in near) / max(1, len(near))
        value -= sum(log_sigma(-dot(x, problem.candidates[j])) for j in far)
        rows.append((value, 1.0) if near else (0.0, 0.0))
    return rows


def nce(problem: Plain) -> Rows:
    """Mnih & Teh 2012, eq. 8, by the ratio p / (p + k p_n) and no log-sigmoid."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        data = {j: exp(dot(x, problem.candidates[j])) for j in [*near, *far]}
        noise = {j: len(far) * exp(problem.log_noise[j]) for j in [*near, *far]}
        value = -sum(log(data[p] / (data[p] + noise[p])) for p in near)
        value -= sum(log(noise[j] / (data[j] + noise[j])) for j in far)
        rows.append((value, 1.0))
    return rows


def sigmoid(problem: Plain, scale: float, bias: float) -> Rows:
    """Zhai et al. 2023, eq. 1."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        value = 0.0
        for sign, candidates in ((1, near), (-1, far)):
            value -= sum(log_sigma(sign * (scale * cosine(x, problem.candidates[j]) + bias)) for j in candidates)
        rows.append((value, 1.0) if near or far else (0.0, 0.0))
    return rows


def spectral(problem: Plain) -> Rows:
    """HaoChen et al. 2021, eq. 6, the expectations as means over a row's near and far candidates."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        pull = sum(dot(x, problem.candidates[p]) for p in near) / max(1, len(near))
        push = sum(dot(x, problem.candidates[j]) ** 2 for j in far) / max(1, len(far))
        rows.append((-2 * pull + push, 1.0) if near else (0.0, 0.0))
    return rows


def circle(problem: Plain, margin: float, scale: float) -> Rows:
    """Sun et al. 2020, eq. 6 to 8; the weights are numbers, not functions."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        s = {j: cosine(x, problem.candidates[j]) for j in [*near, *far]}
        pull = sum(exp(-scale * max(0.0, 1 + margin - s[p].real) * (s[p] - (1 - margin))) for p in near)
        push = sum(exp(scale * max(0.0, s[j].real + margin) * (s[j] - margin)) for j in far)
        rows.append((log(1 + pull * push), 1.0) if near and far else (0.0, 0.0))
    return rows


def multi_similarity(problem: Plain, alpha: float, beta: float, base: float, epsilon: float | None) -> Rows:
    """Wang et al. 2019: pairs chosen by eq. 7 and 8, weighed by eq. 15."""
    rows: Rows = []
    for x, near, far in zip(problem.anchors, problem.near, problem.far, strict=True):
        if not near or not far:
            rows.append((0.0, 0.0))
            continue
        s = {j: cosine(x, problem.candidates[j]) for j in [*near, *far]}
        wide = float("inf") if epsilon is None else epsilon
        least, most = min(s[p].real for p in near) - wide, max(s[j].real for j in far) + wide
        pull = sum(exp(-alpha * (s[p] - base)) for p in near if s[p].real < most)
        push = sum(exp(beta * (s[j] - base)) for j in far if s[j].real > least)
        rows.append((log(1 + pull) / alpha + log(1 + push) / beta, 1.0))
    return rows
