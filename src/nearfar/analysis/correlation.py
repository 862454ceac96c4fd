"""Do two gradings of the same rows agree? Pearson's and Spearman's correlation over the last axis.

scipy has both, but not over many resamples at once (Spearman), and with NaN for a constant side. Here a
constant side correlates at 0: it says nothing about the order, and a collapsed encoder, to which every pair
is equally near, must lose a comparison instead of spoiling it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]


def pearson(first: Values, second: Values) -> NDArray[np.float64]:
    """Pearson's r of `(..., n)` with `(..., n)`: `(...)`, in [-1, 1], 0 where a side is constant."""
    a = first - first.mean(axis=-1, keepdims=True)
    b = second - second.mean(axis=-1, keepdims=True)
    # By the spread and not by the variance: a constant's mean is off by one rounding.
    told = (np.ptp(first, axis=-1) > 0) & (np.ptp(second, axis=-1) > 0)
    size = np.sqrt(np.square(a).sum(axis=-1) * np.square(b).sum(axis=-1))
    ratio = np.divide((a * b).sum(axis=-1), size, out=np.zeros_like(size), where=told & (size > 0))
    return np.asarray(np.clip(ratio, -1.0, 1.0))


def spearman(first: Values, second: Values) -> NDArray[np.float64]:
    """Spearman's rho of `(..., n)` with `(..., n)`: Pearson's r of the ranks, equal values sharing theirs."""
    from scipy.stats import rankdata

    return pearson(rankdata(first, axis=-1), rankdata(second, axis=-1))
