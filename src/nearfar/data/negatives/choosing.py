"""From neighbours to negatives, a run of anchors at a time; every neighbour gets the reason why it was left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.data.negatives.hits import Hits, Ids, Scores, Searcher
from nearfar.data.negatives.rules import Limits, Rules
from nearfar.data.negatives.task import Task
from nearfar.errors import InputError

LIMITS = ("absolute_margin", "relative_margin", "max_score", "min_score")
REASONS = (
    "taken", "positive", "anchor", "group", *LIMITS, *(f"judge_{name}" for name in LIMITS), "before_window",
    "after_window", "not_drawn",
)  # fmt: skip
"""What became of a neighbour, in the order in which it is asked."""

OPEN, MISSING = -1, -2


@dataclass
class Neighbours:
    """The neighbours of a run of anchors, and what becomes of each.

    Attributes:
        anchors: ``(r,)`` numbers.
        places: ``(r, c)`` of the candidates, nearest first.
        scores: ``(r, c)``.
        fates: ``(r, c)`` index of a reason; OPEN where undecided, MISSING where there is no candidate.
    """

    anchors: Ids
    places: Ids
    scores: Scores
    fates: NDArray[np.int8]

    @classmethod
    def of(cls, anchors: Ids, hits: Hits) -> Neighbours:
        """All undecided."""
        fates = np.where(hits.places < 0, MISSING, OPEN).astype(np.int8)
        return cls(anchors, hits.places, hits.scores, fates)

    @property
    def open(self) -> NDArray[np.bool_]:
        """Which are undecided."""
        return np.asarray(self.fates == OPEN)

    def mark(self, which: NDArray[np.bool_], reason: str) -> None:
        """Give those of `which` that are undecided a reason."""
        self.fates[which & self.open] = REASONS.index(reason)

    def refuse(self, limits: Limits, positive: Scores, prefix: str = "") -> None:
        """Mark what the limits refuse; `positive` ``(r,)`` is the score to keep below."""
        for name, refused in limits.refusals(self.scores, positive):
            self.mark(refused, prefix + name)

    def reorder(self) -> None:
        """By falling score."""
        order = np.lexsort((self.places, np.where(self.fates == MISSING, np.inf, -self.scores)))
        self.places = np.take_along_axis(self.places, order, 1)
        self.scores = np.take_along_axis(self.scores, order, 1)
        self.fates = np.take_along_axis(self.fates, order, 1)


@dataclass(frozen=True)
class Chooser:
    """Applies rules to what a search finds.

    Attributes:
        task: anchors, candidates, positives.
        search: of the task's anchors among its candidates.
        rules: what may be a negative.
    """

    task: Task
    search: Searcher
    rules: Rules

    @property
    def depth(self) -> int:
        """Neighbours looked at: the window, and room for what is struck off in any case."""
        room = self.task.most_near + bool((self.task.own >= 0).any())
        return min(self.rules.end(self.task.most_positives) + room, len(self.task.candidates))

    def choose(self, start: int, stop: int, generator: np.random.Generator) -> tuple[Neighbours, Scores]:
        """Decide about the neighbours of the anchors from `start` to `stop`.

        Returns:
            The neighbours, none undecided, and the score ``(p,)`` of each of the run's `Task.pairs`.
        """
        task, rules = self.task, self.rules
        anchors = np.arange(start, stop)
        found = Neighbours.of(anchors, self.search.top(slice(start, stop), self.depth))
        pairs = task.pairs[task.starts[start] : task.starts[stop]]
        firsts = task.starts[start:stop] - task.starts[start]
        scores = self.search.pair_scores(pairs[:, 0], pairs[:, 1])
        positive = task.is_positive(anchors, found.places)
        if not rules.include_positives:
            found.mark(positive, "positive")
        found.mark(found.places == task.own[start:stop, None], "anchor")
        found.mark(task.of_group(anchors, found.places) & ~positive, "group")
        found.refuse(rules.limits, np.minimum.reduceat(scores, firsts))
        if rules.judge is not None:
            scores = self._judged(pairs[:, 0], pairs[:, 1])
            found.scores = found.scores.copy()
            row, column = np.nonzero(found.open)
            found.scores[row, column] = self._judged(anchors[row], found.places[row, column])
            found.refuse(rules.judging, np.minimum.reduceat(scores, firsts), "judge_")
            if rules.rank_by_judge:
                found.reorder()
        self._draw(found, generator)
        return found, scores

    def _judged(self, anchors: Ids, places: Ids) -> Scores:
        """The judge's scores ``(p,)``."""
        if not len(anchors) or self.rules.judge is None:
            return np.zeros(0, np.float32)
        texts = [self.task.anchors[i] for i in anchors], [self.task.candidates[i] for i in places]
        scores = np.asarray(self.rules.judge(*texts), dtype=np.float32)
        if scores.shape != anchors.shape or not np.isfinite(scores).all():
            raise InputError(
                f"judge: found scores of shape {scores.shape}, finite or not, wanted {len(anchors)} finite scores"
            )
        return scores

    def _draw(self, found: Neighbours, generator: np.random.Generator) -> None:
        """The window, and what is taken from it."""
        rules = self.rules
        rank = np.cumsum(found.open, axis=1) - 1
        found.mark(rank < rules.skip, "before_window")
        found.mark(rank >= rules.end(self.task.most_positives), "after_window")
        if rules.draw == "random":
            lots = np.where(found.open, generator.random(found.places.shape), 2.0)
            rank = np.argsort(np.argsort(lots, axis=1), axis=1)
        else:
            rank = np.cumsum(found.open, axis=1) - 1
        found.mark(rank < rules.count, "taken")
        found.mark(found.open, "not_drawn")


def taken(found: Neighbours, count: int) -> Iterator[NDArray[np.generic]]:
    """Places and scores ``(r, count)`` of what was taken, in its order; -1 and NaN where there is less."""
    chosen = found.fates == REASONS.index("taken")
    row, column = np.nonzero(chosen)
    at = np.cumsum(chosen, axis=1)[row, column] - 1
    for values, nothing in ((found.places, -1), (found.scores, np.nan)):
        table = np.full((len(chosen), count), nothing, values.dtype)
        table[row, at] = values[row, column]
        yield table
