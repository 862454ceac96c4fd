"""By cluster: rows whose embeddings are near each other in one batch, so that in-batch negatives are hard."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.data.batches.orders import Order, Rows, batch_count, check_rows, cut
from nearfar.data.limits import check_least
from nearfar.errors import InputError

MOST_CLUSTERS = 1024


def by_cluster(vectors: ArrayLike, *, clusters: int | None = None) -> Order:
    """Rows of a cluster of k-means, or of neighbouring clusters, fill a batch; every row once.

    Clusters follow each other along a chain, each time to the nearest that is left, and the chain is cut into
    batches. Other clusters and another start come with each epoch; fresh `vectors`, which the embedding is moving
    under, come from the caller.

    Args:
        vectors: ``(n, d)``: the current embedding of each row of the source; near means a large cosine.
        clusters: of k-means; None takes one a batch, and at most 1,024.

    Raises:
        InputError: `vectors` is no finite matrix, or `clusters` is below 1.
    """
    unit = _unit(vectors)
    check_least("clusters", 1 if clusters is None else clusters, 1)

    def order(rows: Rows, generator: np.random.Generator, batch_size: int) -> list[Rows]:
        check_rows("vectors", len(unit), rows)
        rows = generator.permutation(rows)
        wanted = clusters or min(batch_count(len(rows), batch_size), MOST_CLUSTERS)
        member, centres = _k_means(unit[rows], min(wanted, len(rows)), int(generator.integers(2**31)))
        place = np.empty(len(centres), np.int64)
        place[_chain(centres, int(generator.integers(len(centres))))] = np.arange(len(centres))
        chained = rows[np.argsort(place[member], kind="stable")]
        return cut(chained, batch_size)

    return order


def _unit(vectors: ArrayLike) -> NDArray[np.float32]:
    matrix = np.asarray(vectors, np.float32)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise InputError(f"vectors: found shape {matrix.shape}, wanted (rows, width) of finite numbers")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float32] = matrix / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _k_means(vectors: NDArray[np.float32], clusters: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``(n,)``, ``(k, d)``: the cluster of each row, and the centres."""
    import warnings

    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    means = MiniBatchKMeans(clusters, random_state=seed, n_init=1, batch_size=max(1024, 4 * clusters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct vectors than clusters
        member = means.fit_predict(vectors)
    return member.astype(np.int64), means.cluster_centers_


def _chain(centres: NDArray[np.float32], start: int) -> list[int]:
    """Every centre once, each time the nearest that is left."""
    left = np.ones(len(centres), bool)
    chain = [start]
    for _ in range(len(centres) - 1):
        left[chain[-1]] = False
        distances = ((centres - centres[chain[-1]]) ** 2).sum(1)
        chain.append(int(np.where(left, distances, np.inf).argmin()))
    return chain
