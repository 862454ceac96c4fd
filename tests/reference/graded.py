"""Equations of graded similarity: pairs in the order of their scores, differences of a teacher's scores."""

from __future__ import annotations

from cmath import exp, log
from collections.abc import Callable

from tests.reference.relations import Plain, Row
from tests.reference.softmax import Rows, cosine, dot


def cosent(problem: Plain, temperature: float) -> complex:
    """Huang et al. 2024 (Su 2022), the loss of the whole batch: the higher score should have the higher cosine."""
    return _ranked(problem, temperature, cosine)


def angle(problem: Plain, temperature: float) -> complex:
    """Li & Li 2023, eq. 6 to 8, with the sign of their code and of sentence-transformers.

    The paper calls the absolute sum a difference of angles, which should fall with the score; the code makes it rise.
    """
    return _ranked(problem, temperature, angle_similarity)


def angle_similarity(x: Row, y: Row) -> complex:
    """|Re + Im| of z / w summed over complex coordinates z, w, which are brought to one length before."""
    z, w = _complex_coordinates(x), _complex_coordinates(y)
    real = sum(a * c + b * d for (a, b), (c, d) in zip(z, w, strict=True))
    imaginary = sum(b * c - a * d for (a, b), (c, d) in zip(z, w, strict=True))
    lengths = (dot(x, x) * dot(y, y)) ** 0.5
    value = (real + imaginary) / lengths
    return value if value.real >= 0 else -value


def _complex_coordinates(row: Row) -> list[tuple[complex, complex]]:
    """The first half of a row is real, the second imaginary; an odd row gets a 0 at its end."""
    even = [*row, 0.0] if len(row) % 2 else list(row)
    half = len(even) // 2
    return list(zip(even[:half], even[half:], strict=True))


def _ranked(problem: Plain, temperature: float, similarity: Callable[[Row, Row], complex]) -> complex:
    """log(1 + sum over (i, j), i scored above j, of w_i w_j exp((s_j - s_i) / t))."""
    s = [
        similarity(x, problem.candidates[own]) / temperature
        for x, (own,) in zip(problem.anchors, problem.own, strict=True)
    ]
    total = 0.0
    for i, (high,) in enumerate(problem.scores):
        for j, (low,) in enumerate(problem.scores):
            if high > low:
                total += problem.weights[i] * problem.weights[j] * exp(s[j] - s[i])
    return log(1 + total)


def margin_mse(problem: Plain) -> Rows:
    """Hofstätter et al. 2020, eq. 6: the margin of the first candidate over each other, ours against the teacher's."""
    rows: Rows = []
    for x, own, scores in zip(problem.anchors, problem.own, problem.scores, strict=True):
        first, *others = (dot(x, problem.candidates[j]) for j in own)
        teacher_first, *teacher_others = scores
        gaps = [
            (first - other) - (teacher_first - teacher) for other, teacher in zip(others, teacher_others, strict=True)
        ]
        rows.append((sum(gap * gap for gap in gaps), float(len(gaps))))
    return rows
