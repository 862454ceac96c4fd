"""Is one model better than another on the same rows? Paired differences: bootstrap intervals, permutation tests.

Both go through scipy. The bootstrap draws rows, each with the values of both models (Efron & Tibshirani 1993); the
permutation test swaps the models' values of each row by the toss of a coin (Fisher's; Noreen 1989), so that it asks
whether the two can be told apart at all. Where many figures are tested at once, mind that one in twenty is below 0.05
by chance (`scipy.stats.false_discovery_control`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.correlation import pearson, spearman
from nearfar.analysis.intervals import Statistic, bootstrap
from nearfar.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The first model's figure less the second's.

    Attributes:
        difference: above 0 where the first is higher.
        interval: 95 %, from the 2.5th to the 97.5th percentile of the bootstrap.
        p_value: of the two-sided permutation test; at least 1 / (resamples + 1).
        rows: that the test goes over.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    rows: int

    @property
    def told_apart(self) -> bool:
        """The test rejects at 5 %."""
        return self.p_value < 0.05


def paired_means(first: ArrayLike, second: ArrayLike, *, resamples: int = 1000, seed: int = 0) -> Paired:
    """The difference of two means over the same rows, `(n,)` each, n of 2 or more: hits, ranks, any `*_by_row`."""
    return _paired(first, second, (), lambda columns: np.asarray(columns[0].mean(axis=-1)), resamples, seed)


def paired_correlations(
    scores: ArrayLike, first: ArrayLike, second: ArrayLike, *, rank: bool = True, resamples: int = 1000, seed: int = 0
) -> Paired:
    """The difference of Spearman's correlations (Pearson's without `rank`) of two models' cosines with `scores`.

    All `(n,)`, n of 2 or more. The permutation swaps ranks (without `rank`: standard scores), since the cosines of two
    models are of different scales.
    """
    from scipy.stats import rankdata

    alike = rankdata if rank else _standard
    correlation = spearman if rank else pearson
    values = alike(np.asarray(first)), alike(np.asarray(second))
    return _paired(*values, (np.asarray(scores),), lambda c: correlation(c[0], c[1]), resamples, seed)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() or 1.0))


def _paired(
    first: ArrayLike, second: ArrayLike, shared: tuple[ArrayLike, ...], statistic: Statistic, resamples: int, seed: int
) -> Paired:
    """`statistic` takes a model's values and the shared columns, `(1 + s, ..., n)`, to its figure `(...)`."""
    from scipy.stats import permutation_test

    columns = [np.asarray(values, dtype=np.float64) for values in (first, second, *shared)]
    count = len(columns[0])
    if any(values.shape != (count,) for values in columns) or count < 2:
        raise InputError(
            f"found values of shapes {[v.shape for v in columns]}, wanted as many rows of both, at least 2"
        )

    def difference(draws: Floats) -> Floats:
        return np.asarray(statistic(draws[[0, *range(2, len(draws))]]) - statistic(draws[1:]))[None]

    def swapped(one: Floats, other: Floats, axis: int) -> Floats:
        rest = [np.broadcast_to(values, one.shape) for values in columns[2:]]
        return np.asarray(difference(np.stack([one, other, *rest]))[0])

    rows = np.stack(columns)
    (ends,) = bootstrap(rows, difference, resamples=resamples, seed=seed)
    test = permutation_test(
        (columns[0], columns[1]), swapped, permutation_type="samples", vectorized=True, n_resamples=resamples,
        batch=max(1, (1 << 22) // count), axis=-1, rng=np.random.default_rng(seed),
    )  # fmt: skip
    return Paired(float(difference(rows)[0]), ends, float(test.pvalue), count)
