"""What is to be mined: anchors and candidates by number, and which candidates are no negatives of an anchor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nearfar.data.negatives.hits import Ids
from nearfar.data.roles import GROUP
from nearfar.data.tables import Table


@dataclass(frozen=True)
class Task:
    """Anchors and candidates by number; see `of`.

    Attributes:
        anchors: n distinct texts.
        candidates: m distinct texts.
        rows: ``(rows, 2)`` the anchor of each row of the table, and the place of its positive.
        groups: of each row, what the user named; or None. Rows that share an anchor or a positive join their groups.
    """

    anchors: list[str]
    candidates: list[str]
    rows: Ids
    groups: Sequence[str] | None = None

    @classmethod
    def of_table(cls, table: Table, corpus: Sequence[str] = ()) -> Task:
        """The task of a table of pairs, by its groups where it has some; see `of`."""
        groups = table.column(GROUP) if GROUP in table.roles else None
        return cls.of(table.column("anchor"), table.column("positive"), corpus, groups=groups)

    @classmethod
    def of(
        cls,
        anchors: Sequence[str],
        positives: Sequence[str],
        corpus: Sequence[str] = (),
        *,
        groups: Sequence[str] | None = None,
    ) -> Task:
        """The task of rows of pairs. Equal texts are one anchor or one candidate, whatever rows they stand in.

        Args:
            anchors: a text for each row; rows of one anchor share their positives.
            positives: the same.
            corpus: further candidates; they come first, then the positives.
            groups: a name for each row; rows of one are not negatives of each other.
        """
        number = {text: i for i, text in enumerate(dict.fromkeys(anchors))}
        place = {text: i for i, text in enumerate(dict.fromkeys([*corpus, *positives]))}
        rows = np.array(
            [(number[a], place[p]) for a, p in zip(anchors, positives, strict=True)], dtype=np.int64
        ).reshape(-1, 2)
        return cls(list(number), list(place), rows, groups)

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
    def parts(self) -> tuple[Ids, Ids] | None:
        """``(n,)``, ``(m,)``: the joined group of each anchor and candidate; None where there are no groups."""
        if self.groups is None:
            return None
        anchors, candidates = len(self.anchors), len(self.candidates)
        _, named = np.unique(np.asarray(self.groups, dtype=object), return_inverse=True)
        there = np.flatnonzero(self.own >= 0)
        one = np.concatenate([self.rows[:, 0], anchors + self.rows[:, 1], there])
        other = anchors + np.concatenate([np.tile(candidates + named, 2), self.own[there]])
        size = anchors + candidates + int(named.max()) + 1
        part: Ids = connected_components(coo_array((np.ones(len(one), bool), (one, other)), shape=(size, size)))[1]
        return part[:anchors], part[anchors : anchors + candidates]

    @cached_property
    def most_near(self) -> int:
        """Candidates of one anchor that are its positives or of its group."""
        if self.parts is None:
            return self.most_positives
        return int(np.bincount(self.parts[1]).max(initial=0))

    def of_group(self, anchors: Ids, places: Ids) -> NDArray[np.bool_]:
        """``(r, c)``: whether the candidates at `places` ``(r, c)`` are of a group of `anchors` ``(r,)``."""
        if self.parts is None:
            return np.zeros(places.shape, bool)
        return np.asarray((self.parts[0][anchors][:, None] == self.parts[1][places]) & (places >= 0))

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
