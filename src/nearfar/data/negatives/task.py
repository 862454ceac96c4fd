"""What is to be mined: anchors and candidates by number, and which candidates are an anchor's positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nearfar.data.negatives.hits import Ids


@dataclass(frozen=True)
class Task:
    """Anchors and candidates by number; see `of`.

    Attributes:
        anchors: n distinct texts.
        candidates: m distinct texts.
        rows: ``(rows, 2)`` the anchor of each row of the table, and the place of its positive.
    """

    anchors: list[str]
    candidates: list[str]
    rows: Ids

    @classmethod
    def of(cls, anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str] = ()) -> Task:
        """The task of rows of pairs. Equal texts are one anchor or one candidate, whatever rows they stand in.

        Args:
            anchors: a text for each row; rows of one anchor share their positives.
            positives: the same.
            corpus: further candidates; they come first, then the positives.
        """
        number = {text: i for i, text in enumerate(dict.fromkeys(anchors))}
        place = {text: i for i, text in enumerate(dict.fromkeys([*corpus, *positives]))}
        rows = np.array(
            [(number[a], place[p]) for a, p in zip(anchors, positives, strict=True)], dtype=np.int64
        ).reshape(-1, 2)
        return cls(list(number), list(place), rows)

    @cached_property
    def pairs(self) -> Ids:
        """``(p, 2)`` distinct anchors and positives, by anchor and then by place; every anchor has one at least."""
        distinct: Ids = np.unique(self.rows, axis=0)
        return distinct

    @cached_property
    def row_pairs(self) -> Ids:
        """``(rows,)`` which of `pairs` each row of the table is."""
        return np.searchsorted(self._keys, self._key(self.rows[:, 0], self.rows[:, 1]))

    @cached_property
    def starts(self) -> Ids:
        """``(n + 1,)`` where the `pairs` of each anchor start, and the end."""
        return np.searchsorted(self.pairs[:, 0], np.arange(len(self.anchors) + 1))

    @cached_property
    def most_positives(self) -> int:
        """Of one anchor."""
        return int(np.diff(self.starts).max(initial=0))

    @cached_property
    def own(self) -> Ids:
        """``(n,)`` the place of the candidate that is the anchor's own text; -1 where there is none."""
        place = {text: i for i, text in enumerate(self.candidates)}
        return np.array([place.get(anchor, -1) for anchor in self.anchors], dtype=np.int64)

    def is_positive(self, anchors: Ids, places: Ids) -> NDArray[np.bool_]:
        """``(r, c)``: whether the candidates at `places` ``(r, c)`` are positives of `anchors` ``(r,)``."""
        wanted = self._key(anchors[:, None], places)
        at = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
        return np.asarray((self._keys[at] == wanted) & (places >= 0))

    @cached_property
    def _keys(self) -> Ids:
        return self._key(self.pairs[:, 0], self.pairs[:, 1])

    def _key(self, anchors: Ids, places: Ids) -> Ids:
        """One number for an anchor and a place, in the order of both."""
        return anchors * len(self.candidates) + places
