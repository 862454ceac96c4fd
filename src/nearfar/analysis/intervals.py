"""How far a figure would move with other rows: 95 % percentile bootstrap intervals (Efron 1979).

The rows (sentence pairs, queries, labelled texts) are drawn again with replacement, as many as there are,
and the figure is worked out anew on each draw; the interval runs from the 2.5th to the 97.5th percentile of
what comes out. The rows of a draw stay whole, so pairs remain pairs, and all figures share the draws. It
speaks of the choice of rows alone: neither of the model's seed nor of the folds of a cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Columns `(c, ..., n)` to figures `(f, ...)`, whatever stands in the middle."""

LEVEL = 0.95
VALUES_AT_ONCE = 1 << 22
"""Resampled numbers held in memory at a time: 32 MB of float64, and a few times that while ranking."""


def means(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """The statistic of figures that are means of a value per row: `(c, ..., n)` to `(c, ...)`."""
    return np.asarray(columns.mean(axis=-1))


def bootstrap(
    columns: NDArray[np.float64], statistic: Statistic, *, resamples: int, seed: int
) -> list[tuple[float, float]]:
    """An interval for each figure that `statistic` makes of `columns` `(c, n)`.

    Empty where nothing can be said: `resamples` is 0, or there is a single row to draw from.
    """
    if resamples == 0 or columns.shape[-1] < 2:
        return []
    from scipy.stats import bootstrap as scipy_bootstrap

    interval = scipy_bootstrap(
        (columns,),
        lambda draws, axis: statistic(draws),
        axis=-1,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=resamples,
        batch=max(1, VALUES_AT_ONCE // columns.size),
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return [(float(low), float(high)) for low, high in zip(interval.low, interval.high, strict=True)]


def interval(by_row: ArrayLike, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float] | None:
    """The interval of a figure that is the mean of `by_row` `(n,)`; None where nothing can be said."""
    ends = bootstrap(np.asarray(by_row, dtype=np.float64)[None], means, resamples=resamples, seed=seed)
    return ends[0] if ends else None
