"""A teacher: scores of each anchor with its candidates, for objectives of graded nearness.

They come from a second model, or stand in columns of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.groups import Ids
from nearfar.data.roles import is_margin, is_mark, is_taught
from nearfar.errors import InputError
from nearfar.mining.judges import open_judge
from nearfar.settings import Settings
from nearfar.training.sharing import shared_out

Grades = NDArray[np.float32]
Teach = Callable[[Sequence[str], Sequence[Sequence[str]]], Grades]
"""(n anchors, k columns of their candidates) -> ``(n, k)`` scores."""


@dataclass(frozen=True)
class Teacher:
    """Grades pairs.

    Attributes:
        teach: the second model; None takes the scores, or the margins, that the rows bring.
        scale: times the scores.
    """

    teach: Teach | None
    scale: float

    def grades(self, roles: Sequence[str], column: Callable[[str], Sequence[Any]]) -> Grades | None:
        """``(n, 1 + k)`` scores of anchors with their positives and their k negatives; None where no one grades them.

        Args:
            roles: of a table or stream.
            column: the values of a role.

        Raises:
            InputError: a score, times the scale, is not finite.
        """
        given: NDArray[Any]
        if self.teach is None:
            taught = [role for role in roles if is_taught(role)]
            given = np.array([column(role) for role in taught], np.float64).T
            if any(map(is_margin, taught)):  # as scores above that of the positive, since only differences count
                given = np.concatenate([np.zeros((len(given), 1)), -given], axis=1)
        elif "anchor" in roles:
            anchors, *candidates = (column(role) for role in roles if not is_mark(role))
            given = self.teach(anchors, candidates)
        else:
            return None
        with np.errstate(over="ignore"):
            grades = (given * self.scale).astype(np.float32)
        if not np.isfinite(grades).all():
            raise InputError(f"teacher_scale: found {self.scale:g}, which makes a score infinite, wanted a smaller one")
        return grades if grades.size else None


def open_teacher(settings: Settings) -> Teach | None:
    """The teacher that the settings name: a cross-encoder's scores, or an encoder's cosines.

    Each distinct pair of a call is scored once, and by one rank.

    Raises:
        InputError: it cannot be opened; when called, a score is not finite.
    """
    if settings.teacher is None:
        return None
    judge = open_judge(settings.teacher)

    def teach(anchors: Sequence[str], columns: Sequence[Sequence[str]]) -> Grades:
        pairs = [(anchor, text) for column in columns for anchor, text in zip(anchors, column, strict=True)]
        number = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
        distinct = list(number)

        def scored(chosen: Ids) -> Grades:
            left, right = zip(*(distinct[place] for place in chosen), strict=True)
            return np.asarray(judge(left, right), np.float32)

        scores = shared_out(scored, np.arange(len(distinct)))
        if not np.isfinite(scores).all():
            raise InputError(f"teacher: {settings.teacher}: found NaN or infinity in its scores, wanted numbers")
        return scores[[number[pair] for pair in pairs]].reshape(len(columns), len(anchors)).T

    return teach
