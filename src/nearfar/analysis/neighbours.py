"""Who is near whom: nearest rows, hubs that are near everybody, and how far two models agree on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.vectors import Vectors, checked, paired, unit32
from nearfar.errors import InputError

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Neighbours:
    """The k nearest other rows of each row, nearest first: `places` and `cosines`, both `(n, k)`."""

    places: Ids
    cosines: NDArray[np.float32]


def nearest(x: ArrayLike, *, k: int = 10) -> Neighbours:
    """The k nearest other rows of `x` `(n, d)` by cosine, n above k; exact, equally near ones by their place."""
    return _nearest(checked(x), k)


def _nearest(x: Vectors, k: int) -> Neighbours:
    from nearfar.data.negatives import VectorSearch

    if not 0 < k < len(x):
        raise InputError(f"k: found {k} with {len(x)} embeddings, wanted 1 to one less than there are")
    rows = unit32(x)
    hits = VectorSearch(rows, rows).top(slice(None), k + 1)
    # A row is among its own nearest, unless k others equal it; then the last of those makes way.
    others = hits.places != np.arange(len(x))[:, None]
    others[others.all(axis=1), -1] = False
    return Neighbours(hits.places[others].reshape(-1, k), hits.scores[others].reshape(-1, k))


@dataclass(frozen=True)
class Hubness:
    """How unequally the rows occur among the nearest of others.

    Attributes:
        counts: `(n,)`, N_k: how many rows have this one among their k nearest; k on average.
        skewness: of `counts`; near 0 without hubs.
        antihubs: share of the rows that are among nobody's nearest.
        hubs: rows whose count is more than two standard deviations above k, the largest first.
    """

    counts: Ids
    skewness: float
    antihubs: float
    hubs: Ids


def hubness(x: ArrayLike, *, k: int = 10) -> Hubness:
    """Hubs of `x` `(n, d)`, n above k: skewness of the k-occurrence, and who they are.

    Radovanović et al. 2010: skewness E[(N_k - k)^3] / sd^3; hubs as there. Exact: every row is compared with every
    other.
    """
    return hubness_of(nearest(x, k=k).places)


def hubness_of(places: Ids) -> Hubness:
    """`hubness` from the places `(n, k)` of nearest rows."""
    from scipy.stats import skew

    counts = np.bincount(places.ravel(), minlength=len(places))
    unequal = counts.std() > 0
    order = np.argsort(-counts, kind="stable")
    hubs = order[counts[order] > places.shape[1] + 2 * counts.std()]
    return Hubness(counts, float(skew(counts)) if unequal else 0.0, float(np.mean(counts == 0)), hubs)


def neighbour_overlap(x: ArrayLike, y: ArrayLike, *, k: int = 10) -> float:
    """Mean share of their k nearest rows that two embeddings of one set have in common: 1 alike, k/(n-1) by chance.

    Hamilton et al. 2016 compare neighbourhoods over time like this. `x` `(n, d)`, `y` `(n, e)`, n above k. Exact.
    """
    return float(overlap_by_row(x, y, k=k).mean())


def overlap_by_row(x: ArrayLike, y: ArrayLike, *, k: int = 10) -> NDArray[np.float64]:
    """The share of each row, `(n,)`."""
    first, second = paired(x, y)
    return common(_nearest(first, k).places, _nearest(second, k).places)


def common(first: Ids, second: Ids) -> NDArray[np.float64]:
    """`(n,)`: the share of the places of a row of `first` `(n, k)` that are in that of `second` too."""
    merged = np.sort(np.concatenate([first, second], axis=1), axis=1)
    return np.asarray((merged[:, 1:] == merged[:, :-1]).sum(axis=1) / first.shape[1])
