"""Graded pairs: sentence1, sentence2 and score to anchor, positive and negative by thresholds."""

from __future__ import annotations

import math
from collections import Counter

from nearfar.data.convert.base import Converted, converted
from nearfar.data.convert.judged import Judgement, combine
from nearfar.data.limits import check_least
from nearfar.data.tables import Table
from nearfar.errors import InputError


def convert_scores(table: Table, *, near: float, far: float | None = None, negatives: int | None = None) -> Converted:
    """Pairs of a score of at least `near`; as negatives, texts that either has at most `far` with.

    Of a near pair the first sentence is the anchor, unless only the second has negatives enough.

    Args:
        table: sentence1, sentence2, score.
        near: the least score of a positive.
        far: the largest of a negative.
        negatives: of a row; None takes 1 where `far` is given, else 0. Pairs with fewer are left out.

    Raises:
        InputError: the table has other roles, thresholds are missing or cross, or no row can be made.
    """
    if table.kind != "scored":
        raise InputError(f"{table.source}: found {', '.join(table.roles)}, wanted sentence1, sentence2, score")
    negatives = int(far is not None) if negatives is None else negatives
    check_least("negatives", negatives, 0)
    _check_thresholds(near, far, negatives)
    first, second, scores = (table.column(role) for role in ("sentence1", "sentence2", "score"))
    limit = -math.inf if far is None else far
    opposed = Counter(text for pair in zip(first, second, scores, strict=True) if pair[2] <= limit for text in pair[:2])
    judgements, reasons = [], {}
    for row, (a, b, score) in enumerate(zip(first, second, scores, strict=True)):
        if score >= near:
            turned = opposed[a] < negatives <= opposed[b]
            judgements.append(Judgement(row, b, a, True) if turned else Judgement(row, a, b, True))
        elif score <= limit:
            judgements += [Judgement(row, a, b, False), Judgement(row, b, a, False)]
        else:
            reasons[row] = f"scored below {near:g}" + ("" if far is None else f" and above {far:g}")
    made = combine(judgements, negatives=negatives, need="far texts")
    made.reasons |= reasons
    noted = [("texts with several positives or negatives, each in a row at least once", made.several)]
    return converted(
        made.rows, negatives=negatives, source=table.source, read=len(table), left_out=made.left_out(), noted=noted
    )


def _check_thresholds(near: float, far: float | None, negatives: int) -> None:
    if not math.isfinite(near):
        raise InputError(f"near: found {near}, wanted a finite number")
    if far is not None and not far < near:
        raise InputError(f"far: found {far:g}, wanted a number below near, {near:g}")
    if negatives and far is None:
        raise InputError("far: found none, wanted the largest score of a negative")
