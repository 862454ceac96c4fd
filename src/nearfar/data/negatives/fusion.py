"""Two searches as one: a candidate that either finds early comes early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nearfar.data.negatives.hits import Hits, Ids, Scores, Searcher

CONSTANT = 60
"""Of reciprocal rank fusion, as in the paper: how little the first few ranks differ."""


@dataclass(frozen=True)
class FusedSearch:
    """Reciprocal rank fusion of two searches (Cormack, Clarke & Büttcher 2009).

    A candidate's place in the ranking is that of the sum of ``1 / (60 + rank)`` over the searches that found it. The
    scores that go with it are those of `first` alone, so that limits and margins have one unit; by ranks, because
    cosines and BM25 have no common one.

    Attributes:
        first: gives the scores as well.
        second: gives ranks only.
    """

    first: Searcher
    second: Searcher

    def top(self, rows: slice, depth: int) -> Hits:
        """The `depth` best of both, in the order of the fusion, with the scores of `first`."""
        found = [search.top(rows, depth).places for search in (self.first, self.second)]
        places = np.concatenate(found, axis=1)
        gains = np.tile(1 / (CONSTANT + 1 + np.arange(depth)), 2)
        chosen = np.stack([_fused(row, gains, depth) for row in places])
        scores = np.full(chosen.shape, -np.inf, np.float32)
        row, column = np.nonzero(chosen >= 0)
        scores[row, column] = self.pair_scores(row + (rows.start or 0), chosen[row, column])
        return Hits(chosen, scores)

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """Those of `first`."""
        return self.first.pair_scores(queries, places)


def _fused(places: Ids, gains: np.ndarray, depth: int) -> Ids:
    """The distinct places of two rankings ``(2 depth,)`` by their summed gains, `depth` of them; -1 where fewer."""
    distinct, number = np.unique(places, return_inverse=True)
    total = np.bincount(number, gains)
    total[distinct < 0] = -np.inf
    order = np.argsort(-total, kind="stable")[:depth]
    chosen = np.full(depth, -1, np.int64)
    chosen[: len(order)] = distinct[order]
    return chosen
