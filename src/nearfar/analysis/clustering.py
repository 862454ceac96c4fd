"""Do labels show in the space without being told? Clusters against labels, and how compact labels are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.labels import codes_of
from nearfar.analysis.vectors import checked, unit

Ids = NDArray[np.int64]


def clusters(x: ArrayLike, count: int, *, seed: int = 0) -> Ids:
    """Numbers of k-means clusters of unit rows, `(n,)`; as the clustering tasks of MTEB, by mini-batches."""
    from sklearn.cluster import MiniBatchKMeans

    rows = unit(checked(x)).astype(np.float32)
    found = MiniBatchKMeans(min(count, len(rows)), random_state=seed, n_init=1, batch_size=2048).fit_predict(rows)
    return np.asarray(found, dtype=np.int64)


def v_measure(x: ArrayLike, labels: Sequence[Hashable], *, seed: int = 0) -> float:
    """Agreement of k-means clusters, as many as labels, with the labels: 0 to 1.

    Harmonic mean of homogeneity and completeness (Rosenberg & Hirschberg 2007). `x` `(n, d)`, n labels. Depends on the
    start of k-means, hence on `seed`; k-means by mini-batches finds a little less than in full.
    """
    codes = codes_of(labels)
    return float(agreement_by_row(codes, clusters(x, int(codes.max()) + 1, seed=seed)).mean())


def agreement_by_row(labels: Ids, found: Ids) -> NDArray[np.float64]:
    """Each row's share in the V-measure of labels and clusters, both `(n,)` numbers from 0: `(n,)`, whose mean it is.

    V = 2 I / (H_1 + H_2), mutual information over entropies, to first order in the share of a row. A bootstrap of the
    rows themselves would be off: copies of rows lower the entropies, and V rises.
    """
    joint = np.unique(np.stack([labels, found]), axis=1, return_inverse=True)[1].ravel()
    first, second, together = (-np.log(np.bincount(of)[of] / len(of)) for of in (labels, found, joint))
    both = first + second
    total, mutual = both.mean(), both.mean() - together.mean()
    if total == 0:
        return np.ones(len(labels))
    value = 2 * mutual / total
    return np.asarray(value + 2 * (both - together - mutual) / total - value * (both - total) / total)


def silhouette(x: ArrayLike, labels: Sequence[Hashable]) -> float:
    """Mean of (b - a) / max(a, b), a the mean cosine distance to the own label, b to the next: -1 to 1.

    Rousseeuw 1987. `x` `(n, d)`, n labels, two different ones at least. Exact, float64.
    """
    return float(silhouette_by_row(x, labels).mean())


def silhouette_by_row(x: ArrayLike, labels: Sequence[Hashable]) -> NDArray[np.float64]:
    """The silhouette of each row, `(n,)`; 0 where it is the only one of its label.

    The mean distance to all rows of a label is one minus the cosine with their mean, so no row meets another: O(n l d).
    """
    rows, codes = unit(checked(x)), codes_of(labels)
    counts = np.bincount(codes)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, codes, rows)
    similar, place = rows @ sums.T, np.arange(len(rows))
    own = np.einsum("nd,nd->n", rows, rows)
    inside = 1 - (similar[place, codes] - own) / np.maximum(counts[codes] - 1, 1)
    outside = 1 - similar / counts
    outside[place, codes] = np.inf
    nearest = outside.min(axis=1)
    largest = np.maximum(np.maximum(inside, nearest), np.finfo(np.float64).tiny)
    return np.where(counts[codes] > 1, (nearest - inside) / largest, 0.0)
