"""What a search returns: for each query its nearest candidates, and how near they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Hits:
    """The candidates found for n queries, best first.

    Attributes:
        places: ``(n, depth)`` positions among the candidates; -1 where a query has fewer than `depth`.
        scores: ``(n, depth)`` larger is nearer; -inf where the place is -1.
    """

    places: Ids
    scores: Scores


class Searcher(Protocol):
    """Queries and candidates, numbered from 0, that can be searched and compared."""

    def top(self, rows: slice, depth: int) -> Hits:
        """The `depth` best candidates of a run of queries."""

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """``(p,)``: the score of query ``queries[i]``, rising, with the candidate at ``places[i]``, in `top`'s unit."""


def in_order(places: Ids, scores: Scores) -> Hits:
    """Hits by falling score, equal scores by rising place, missing ones (-inf) last; both ``(n, depth)``."""
    order = np.lexsort((places, -scores))
    return Hits(np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1))
