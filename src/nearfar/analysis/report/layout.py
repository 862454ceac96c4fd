"""Where the points lie on a map: t-SNE from exact neighbours, and how true the map is to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.neighbours import Neighbours, common, nearest
from nearfar.analysis.vectors import Vectors, unit

SHOWN = 10
"""Neighbours that the page shows of a text."""

SEARCHED = 45
"""Neighbours that draw each other on the map; a perplexity of a third of them."""

INTERPOLATED = 2000
"""Points from which forces are interpolated on a grid; below, a tree is faster."""

FEWEST = 10
"""Points below which the map is the two principal axes."""


@dataclass(frozen=True)
class Layout:
    """Points of a map.

    Attributes:
        places: `(n, 2)`.
        neighbours: `(n, k)`, the true nearest in the full space, nearest first; k is `SHOWN` or one less than n.
        kept: share of these that are among the k nearest on the map; NaN for one point.
    """

    places: NDArray[np.float64]
    neighbours: Neighbours
    kept: float


def layout(points: Vectors, *, seed: int = 0) -> Layout:
    """The map of `points` `(n, d)`, by cosine.

    t-SNE (van der Maaten & Hinton 2008) from principal axes, the forces of many points by interpolation (FIt-SNE,
    Linderman et al. 2019), so that time grows with n; openTSNE's. The neighbours are exact. One thread: on so few
    points a second one costs more than it brings.
    """
    count = len(points)
    if count < 2:
        none = np.empty((count, 0))
        return Layout(np.zeros((count, 2)), Neighbours(none.astype(np.int64), none.astype(np.float32)), float("nan"))
    found = nearest(points, k=min(SEARCHED, count - 1))
    shown = Neighbours(found.places[:, :SHOWN], found.cosines[:, :SHOWN])
    places = _principal(unit(points))
    if count >= FEWEST and np.ptp(places) > 0:
        places = _t_sne(places, found, seed)
    on_map = _nearest_on_map(places, shown.places.shape[1])
    return Layout(places, shown, float(common(shown.places, on_map).mean()))


def _principal(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the two principal axes, `(n, 2)`, scaled to the spread that t-SNE starts from."""
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    places = np.zeros((len(rows), 2))
    places[:, : axes.shape[1]] = centred @ axes
    widest = places.std(axis=0).max()
    return places / widest * 1e-4 if widest > 1e-6 else np.zeros_like(places)


def _t_sne(start: NDArray[np.float64], found: Neighbours, seed: int) -> NDArray[np.float64]:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    distances = np.sqrt(np.maximum(2 - 2 * found.cosines.astype(np.float64), 0))
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(found.places, distances), perplexity=max(found.places.shape[1] / 3, 1), n_jobs=1
    )
    forces = "bh" if len(start) < INTERPOLATED else "fft"
    map_ = TSNEEmbedding(start, affinities, negative_gradient_method=forces, n_jobs=1, random_state=seed)
    map_ = map_.optimize(200, exaggeration=12, momentum=0.5).optimize(400, momentum=0.8)
    return np.asarray(map_, dtype=np.float64)


def _nearest_on_map(places: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    from scipy.spatial import KDTree

    found = KDTree(places).query(places, k=k + 1)[1]
    others = found != np.arange(len(places))[:, None]
    others[others.all(axis=1), -1] = False
    return np.asarray(found[others].reshape(-1, k), dtype=np.int64)
