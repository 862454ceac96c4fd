"""How high the one right answer stands in each ranking."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

DEPTH = 10


def retrieval_figures(rankings: ArrayLike, relevant: ArrayLike) -> dict[str, float]:
    """Mean figures of rankings with one right answer each: mrr@10, recall@1, recall@10, ndcg@10.

    rankings: (n, k) indices of candidates, best first; only the first 10 columns count.
    relevant: (n,) index of the right answer of each query.

    With the right answer in place r, counted from 1, a query's reciprocal rank is 1/r and its nDCG
    is 1/log2(1 + r); both are 0 if r is above 10 or the answer is not there. Raises ValueError on
    shapes that do not fit and on no query at all.

    >>> retrieval_figures([[2, 0, 1]], [0])["mrr@10"]
    0.5
    """
    ranked, right = np.asarray(rankings), np.asarray(relevant)
    if ranked.ndim != 2 or right.shape != ranked.shape[:1] or not right.size:
        raise ValueError(f"rankings: found shape {ranked.shape} for relevant {right.shape}, wanted (n, k) for (n,)")
    places = _places(ranked[:, :DEPTH], right)
    return {
        "mrr@10": float(np.mean(1 / places)),
        "recall@1": float(np.mean(places == 1)),
        "recall@10": float(np.mean(np.isfinite(places))),
        "ndcg@10": float(np.mean(1 / np.log2(1 + places))),
    }


def _places(ranked: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """The place of each right answer, counted from 1; infinite if it is not there."""
    hits = ranked == right[:, None]
    if not ranked.shape[1]:
        return np.full(len(right), np.inf)
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)
