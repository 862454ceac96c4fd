"""Rows of embeddings as the measurements take them: finite, of unit length, compared by their cosine.

Cosines are worked out in float64 and rounded to float32. A matrix product rounds one and the same row
differently in another tile, so without the rounding two texts with equal embeddings would be told apart by
noise, and a rank would depend on the size of a strip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.floating[Any]]


def finite(vectors: ArrayLike, *, source: str, what: str = "embeddings") -> Vectors:
    """`vectors` as an array, once it is known to be `(n, d)` and free of NaN and infinity.

    Raises `InputError`, which names `source`, `what`, the shape or how many rows are spoilt and the first of them.
    """
    rows = np.asarray(vectors)
    if rows.ndim != 2:
        raise InputError(f"{source}: {what} of shape {rows.shape}, wanted (rows, width)")
    spoilt = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(spoilt):
        first = f"the first in row {spoilt[0] + 1}"
        raise InputError(f"{source}: {len(spoilt)} of {len(rows)} {what} hold NaN or infinity, {first}")
    return rows


def checked(vectors: ArrayLike, *, least: int = 2, source: str = "memory", what: str = "embeddings") -> Vectors:
    """`finite` vectors of which there are at least `least`; raises `InputError` where there are fewer."""
    rows = finite(vectors, source=source, what=what)
    if len(rows) < least:
        raise InputError(f"{source}: found {len(rows)} {what}, wanted at least {least}")
    return rows


def paired(first: ArrayLike, second: ArrayLike, *, least: int = 1, source: str = "memory") -> tuple[Vectors, Vectors]:
    """Two sets of `checked` vectors with as many rows; raises `InputError` where the numbers differ."""
    x, y = checked(first, least=least, source=source), checked(second, least=least, source=source)
    if len(x) != len(y):
        raise InputError(f"{source}: found {len(x)} and {len(y)} embeddings, wanted as many, row beside row")
    return x, y


def unit32(vectors: Vectors) -> Tensor:
    """A float32 copy of `(n, d)` with rows of length 1, or 0 where a row is of zeros, for products of matrices."""
    from nearfar.data.negatives import as_unit

    return as_unit(vectors)


def unit(vectors: Vectors) -> NDArray[np.float64]:
    """Each row of `(n, d)` divided by its length; a row of zeros stays one, at cosine 0 to everything."""
    rows = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def cosines(first: Vectors, second: Vectors) -> NDArray[np.float32]:
    """The cosine of row i of `first` `(n, d)` with row i of `second` `(n, d)`: `(n,)`."""
    return np.asarray(np.einsum("nd,nd->n", unit(first), unit(second)), dtype=np.float32)
