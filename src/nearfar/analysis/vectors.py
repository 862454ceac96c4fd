"""Rows of embeddings as the measurements take them: finite, of unit length, compared by their cosine.

Cosines are worked out in float64 and rounded to float32. A matrix product rounds one and the same row
differently in another tile, so without the rounding two texts with equal embeddings would be told apart by
noise, and a rank would depend on the size of a strip.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.errors import InputError

Vectors = NDArray[np.floating[Any]]


def finite(vectors: ArrayLike, *, source: str, what: str = "embeddings") -> Vectors:
    """`vectors` as an array, once it is known to be `(n, d)` and free of NaN and infinity.

    Raises `InputError`, which names `source`, `what`, the shape or how many rows are spoilt.
    """
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise InputError(f"{source}: {what} of shape {rows.shape}, wanted (rows, width)")
    spoilt = int(np.count_nonzero(~np.isfinite(rows).all(axis=1)))
    if spoilt:
        raise InputError(f"{source}: {spoilt} of {len(rows)} {what} hold NaN or infinity")
    return rows


def unit(vectors: Vectors) -> NDArray[np.float64]:
    """Each row of `(n, d)` divided by its length; a row of zeros stays one, at cosine 0 to everything."""
    rows = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def cosines(first: Vectors, second: Vectors) -> NDArray[np.float32]:
    """The cosine of row i of `first` `(n, d)` with row i of `second` `(n, d)`: `(n,)`."""
    return np.asarray(np.einsum("nd,nd->n", unit(first), unit(second)), dtype=np.float32)
