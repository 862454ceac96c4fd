"""A teacher: a second model's scores of each anchor with its candidates, for objectives of graded nearness."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nearfar.data.groups import Ids
from nearfar.errors import InputError
from nearfar.mining.judges import open_judge
from nearfar.settings import Settings
from nearfar.training.sharing import shared_out

Grades = NDArray[np.float32]
Teach = Callable[[Sequence[str], Sequence[Sequence[str]]], Grades]
"""(n anchors, k columns of their candidates) -> ``(n, k)`` scores."""


def open_teacher(settings: Settings) -> Teach | None:
    """The teacher that the settings name: a cross-encoder's scores, or an encoder's cosines, times the scale.

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
            return np.asarray(judge(left, right), np.float32) * np.float32(settings.teacher_scale)

        scores = shared_out(scored, np.arange(len(distinct)))
        if not np.isfinite(scores).all():
            raise InputError(f"teacher: {settings.teacher}: found NaN or infinity in its scores, wanted numbers")
        return scores[[number[pair] for pair in pairs]].reshape(len(columns), len(anchors)).T

    return teach
