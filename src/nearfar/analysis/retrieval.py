"""Does a query find what belongs to it among everything else? Ranks by cosine, and the usual figures.

A relevant candidate's rank is one more than the number of candidates ahead of it: those that are nearer to
the query, and among equally near ones those that come earlier. Ranks are counted, not sorted out, a strip of
queries at a time, so that memory does not grow with queries times candidates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.vectors import Vectors, unit
from nearfar.errors import InputError

CUTOFF = 10
SCORES_AT_ONCE = 1 << 22
"""Scores held in memory at a time; with what is worked out of them, about 20 bytes each: 80 MB."""


@dataclass(frozen=True)
class Search:
    """A retrieval task: `relevant[i]` holds the places in `candidates` of what `queries[i]` should find."""

    queries: list[str]
    candidates: list[str]
    relevant: list[list[int]]


def search_of(anchors: Sequence[str], positives: Sequence[str], others: Sequence[str] = ()) -> Search:
    """The task within rows of pairs.

    Queries are the distinct anchors; candidates the distinct positives and then `others` (the negatives);
    relevant to a query is every positive that stands beside its anchor in some row. A candidate whose text
    is the query's own stays in, as it does in sentence-transformers.
    """
    place = {text: i for i, text in enumerate(dict.fromkeys([*positives, *others]))}
    # Dicts in the place of sets: the same rows always give the same order.
    near: dict[str, dict[int, None]] = {anchor: {} for anchor in anchors}
    for anchor, positive in zip(anchors, positives, strict=True):
        near[anchor][place[positive]] = None
    return Search(list(near), list(place), [list(found) for found in near.values()])


def check_relevant(relevant: Sequence[Sequence[int]], candidates: int, *, source: str) -> None:
    """Raises `InputError` where there is no choice to make, or a query has nothing to find."""
    if candidates < 2:
        raise InputError(
            f"{source}: {candidates} distinct candidate text, wanted at least 2 for a query to choose from"
        )
    empty = sum(not found for found in relevant)
    if empty or not relevant:
        raise InputError(f"{source}: {empty} of {len(relevant)} queries have no relevant candidate")


def relevant_ranks(
    queries: Vectors,
    candidates: Vectors,
    relevant: Sequence[Sequence[int]],
    *,
    strip: int | None = None,
) -> list[NDArray[np.int64]]:
    """The ranks, from 1 and in ascending order, of each query's relevant candidates.

    `queries` `(n, d)`, `candidates` `(m, d)`, `relevant` n lists of distinct places in `candidates`; entry i
    of the result has the length of `relevant[i]`. `strip` queries are scored at a time, by default as many
    as `SCORES_AT_ONCE` allows; the result does not depend on it.
    """
    rows = strip or max(1, SCORES_AT_ONCE // len(candidates))
    places = [np.asarray(found, dtype=np.int64) for found in relevant]
    queries, columns = unit(queries), unit(candidates).T
    ranks: list[NDArray[np.int64]] = []
    for start in range(0, len(queries), rows):
        scores = (queries[start : start + rows] @ columns).astype(np.float32)
        ranks += _ranks_within(scores, places[start : start + rows])
    return ranks


def _ranks_within(scores: NDArray[np.float32], places: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    """Row by row: a row of scores fits the cache, and one is compared with itself in no further memory."""
    for row, found in zip(scores, places, strict=True):
        yield np.sort([1 + _ahead(row, place) for place in found])


def _ahead(row: NDArray[np.float32], place: int) -> int:
    """How many candidates of `row` `(m,)` come before the one at `place`."""
    nearer = np.count_nonzero(row > row[place])
    equal_and_earlier = np.count_nonzero(row[:place] == row[place])
    return int(nearer + equal_and_earlier)


def figures_by_query(ranks: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
    """The figures of each query from its `relevant_ranks`: four arrays `(n,)`, whose means are the result.

    `mrr@10` is the inverse of the first rank, 0 beyond 10; `recall@k` the share of the relevant with a rank
    of at most k; `ndcg@10` the sum of 1 / log2(1 + rank) over ranks of at most 10, divided by the largest
    that so many relevant candidates could reach (Järvelin & Kekäläinen 2002, with binary gains).
    """
    return {
        f"mrr@{CUTOFF}": np.array([(1.0 / r[0]) if r[0] <= CUTOFF else 0.0 for r in ranks]),
        "recall@1": np.array([np.mean(r <= 1) for r in ranks]),
        f"recall@{CUTOFF}": np.array([np.mean(r <= CUTOFF) for r in ranks]),
        f"ndcg@{CUTOFF}": np.array([_gain(r) / _gain(np.arange(1, len(r) + 1)) for r in ranks]),
    }


def _gain(ranks: NDArray[np.int64]) -> float:
    """The discounted gain of relevant candidates at `ranks`, as far as the cut-off."""
    return float(np.sum(1.0 / np.log2(1.0 + ranks[ranks <= CUTOFF])))
