"""Which neighbours may be negatives: window, limits, margins, judge, draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nearfar.data.limits import check_least
from nearfar.data.negatives.hits import Scores
from nearfar.errors import InputError

Judge = Callable[[Sequence[str], Sequence[str]], Any]
"""p anchors and p candidates to p scores, larger being nearer."""

Draw = Literal["top", "random"]

POOL = 10
"""Negatives looked at for each one wanted where limits may refuse some, or to draw from."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a candidate's score must keep to.

    An anchor with several positives has its lowest one counted, the strictest (as in sentence-transformers).

    Args:
        max_score: candidates above it are left out.
        min_score: candidates below it are left out.
        absolute_margin: only candidates whose score is below the positive's minus this are kept.
        relative_margin: only candidates whose score is below the positive's minus this share of its size are kept:
            0.05 keeps what is below 95 % of the positive's score (TopK-PercPos, de Souza et al. 2024, NV-Retriever).

    Raises:
        InputError: a number is not finite, or no score can pass.
    """

    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                raise InputError(f"{name}: found {value!r}, wanted a finite number")
        if self.max_score is not None and self.min_score is not None and self.max_score < self.min_score:
            raise InputError(f"max_score: found {self.max_score}, wanted at least the lowest, {self.min_score}")

    @property
    def upper(self) -> bool:
        """Whether one of them refuses near candidates, of which there may be many."""
        return any(value is not None for value in (self.max_score, self.absolute_margin, self.relative_margin))

    @property
    def any(self) -> bool:
        """Whether there is any."""
        return self.upper or self.min_score is not None

    def refusals(self, scores: Scores, positive: Scores) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Each limit that is set and what it refuses of `scores` ``(r, c)``; `positive` ``(r,)``."""
        bar = positive[:, None]
        if self.absolute_margin is not None:
            yield "absolute_margin", scores >= bar - np.float32(self.absolute_margin)
        if self.relative_margin is not None:
            yield "relative_margin", scores >= bar - np.abs(bar) * np.float32(self.relative_margin)
        if self.max_score is not None:
            yield "max_score", scores > np.float32(self.max_score)
        if self.min_score is not None:
            yield "min_score", scores < np.float32(self.min_score)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How negatives are chosen among an anchor's neighbours.

    Neighbours that are positives, or are refused by a limit, are struck off; the ranks of the window count what is
    left.

    Args:
        count: negatives of an anchor.
        skip: the nearest of what is left that are passed over.
        window: the rank, skipped ones included, at which the window ends; None: `skip` + `count` + the most positives
            of an anchor, and ten times `count` where a limit may refuse some or they are drawn at random.
        draw: "top" takes the nearest of the window, "random" draws from it.
        limits: of the search's scores.
        judge: a second opinion, asked about what the limits leave.
        judge_limits: of the judge's scores; without any, a negative must score below the positive.
        rank_by_judge: whether the judge's scores also decide the ranks.
        include_positives: leaves the positives among the candidates, for ranked lists to evaluate rerankers on.
        seed: of the random draw.

    Raises:
        InputError: a number is out of range, or the window does not hold `count`.
    """

    count: int = 3
    skip: int = 0
    window: int | None = None
    draw: Draw = "top"
    limits: Limits = field(default_factory=Limits)
    judge: Judge | None = None
    judge_limits: Limits = field(default_factory=Limits)
    rank_by_judge: bool = False
    include_positives: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("skip", 0), ("seed", 0)):
            check_least(name, getattr(self, name), least)
        if self.window is not None:
            check_least("window", self.window, 1)
        if self.window is not None and self.window - self.skip < self.count:
            size = max(0, self.window - self.skip)
            raise InputError(
                f"window: found an end at {self.window}, which leaves {size} after the first {self.skip};"
                f" wanted room for {self.count} negatives"
            )
        if self.draw not in get_args(Draw):
            raise InputError(f"draw: found {self.draw!r}, wanted {' or '.join(get_args(Draw))}")
        if self.judge is None and (self.judge_limits.any or self.rank_by_judge):
            raise InputError("judge: found none, wanted one beside its limits or its ranks")

    @property
    def judging(self) -> Limits:
        """The judge's limits, or what is meant without any."""
        return self.judge_limits if self.judge_limits.any else Limits(absolute_margin=0.0)

    def end(self, most_positives: int) -> int:
        """The rank at which the window ends."""
        if self.window is not None:
            return self.window
        pool = POOL if self.limits.upper or self.judge is not None or self.draw == "random" else 1
        return self.skip + pool * self.count + most_positives
