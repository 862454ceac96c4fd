"""Along how many directions do embeddings vary? Spectrum, effective rank, participation ratio, single dimensions.

All from first and second moments of unit rows, summed in float64 over blocks of rows, so that no float64 copy of the
embeddings is made. The centre is taken off first: a direction that all rows share is no variation (`mean_cosine` has
it). The moments add up over groups of rows, which gives intervals: delete-a-group jackknife (Kott 2001), each row of
`*_by_row` one group's pseudo-value. A bootstrap would not do here: a third of the rows drawn again are duplicates,
which lowers a rank.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.vectors import Vectors, checked, paired, unit

Floats = NDArray[np.float64]

GROUPS = 40
"""Groups of the jackknife; fewer where there are fewer rows."""

BLOCK = 8192
"""Rows that are held in float64 at a time."""


@dataclass(frozen=True)
class Moments:
    """Number, sum `(d,)` and sum of outer products `(d, d)` of rows; these of a part can be taken off."""

    count: int
    total: Floats
    outer: Floats

    def __sub__(self, part: Moments) -> Moments:
        return Moments(self.count - part.count, self.total - part.total, self.outer - part.outer)

    @property
    def covariance(self) -> Floats:
        """`(d, d)`, divided by the number of rows."""
        mean = self.total / self.count
        return np.asarray(self.outer / self.count - np.outer(mean, mean))


def moments_of(*sides: Vectors) -> Moments:
    """The moments of the unit rows of one or more sets `(n, d)`, side by side."""
    width = sum(side.shape[1] for side in sides)
    total, outer = np.zeros(width), np.zeros((width, width))
    for start in range(0, len(sides[0]), BLOCK):
        rows = np.concatenate([unit(side[start : start + BLOCK]) for side in sides], axis=1)
        total += rows.sum(axis=0)
        outer += rows.T @ rows
    return Moments(len(sides[0]), total, outer)


def jackknife(
    sides: tuple[Vectors, ...], statistic: Callable[[Moments], Floats], *, seed: int, groups: int = GROUPS
) -> Floats:
    """Pseudo-values `(f, g)` of the figures `(f,)` that `statistic` makes of moments, one a group of rows.

    Their means are the figures of all rows (the usual correction for bias is left out, so that a figure is what its
    function gives).
    """
    whole = moments_of(*sides)
    figures = statistic(whole)
    parts = np.array_split(np.random.default_rng(seed).permutation(whole.count), min(groups, whole.count))
    without = np.stack([statistic(whole - moments_of(*(side[part] for side in sides))) for part in parts], axis=1)
    return np.asarray(figures[:, None] + (len(parts) - 1) * (without.mean(axis=1, keepdims=True) - without))


def spectrum(x: ArrayLike) -> Floats:
    """The variances of unit rows along their principal axes, falling, `(d,)`; their log is the picture of collapse.

    Jing et al. 2022: singular values of the covariance. `x` `(n, d)`, n of 2 or more. Exact, float64, by the
    covariance: what is below 1e-12 of the whole is rounding. At most n - 1 of them can be above 0.
    """
    return spectrum_of(moments_of(checked(x)))


def spectrum_of(moments: Moments) -> Floats:
    """`spectrum` of moments; what rounding leaves is 0."""
    found = np.linalg.eigvalsh(moments.covariance)[::-1]
    rounding = len(found) * np.finfo(np.float64).eps * np.trace(moments.outer) / moments.count
    return np.where(found > rounding, found, 0.0)


def effective_rank(x: ArrayLike) -> float:
    """exp(H(p)), p the singular values of the centred unit rows over their sum: from 0 (a point) to d (all axes alike).

    Roy & Vetterli 2007; RankMe (Garrido et al. 2023) takes it of embeddings that are not centred. `x` `(n, d)`. Exact.
    """
    return _effective_rank(spectrum(x))


def participation_ratio(x: ArrayLike) -> float:
    """(sum of variances)^2 / sum of squared variances along the principal axes: from 0 (a point) to d.

    Gao et al. 2017. Weighs the large axes more than `effective_rank` does, so it is the smaller one. `x` `(n, d)`.
    Exact.
    """
    return _participation_ratio(spectrum(x))


def ranks_by_group(x: ArrayLike, *, seed: int = 0) -> Floats:
    """Pseudo-values `(2, g)` of effective rank and participation ratio."""
    return jackknife((checked(x),), _both, seed=seed)


def _both(moments: Moments) -> Floats:
    found = spectrum_of(moments)
    return np.array([_effective_rank(found), _participation_ratio(found)])


def _effective_rank(variances: Floats) -> float:
    from scipy.stats import entropy

    values = np.sqrt(variances)
    return float(np.exp(entropy(values))) if values.any() else 0.0


def _participation_ratio(variances: Floats) -> float:
    return float(variances.sum() ** 2 / np.square(variances).sum()) if variances.any() else 0.0


@dataclass(frozen=True)
class Dimensions:
    """What single dimensions contribute, each `(d,)`.

    Attributes:
        length: share of the squared length of a unit row; sums to 1.
        shared: share in the mean cosine of different rows; sums to `mean_cosine`.
        gap: share in how much nearer near pairs are than others, or None without near pairs; sums to that difference.
    """

    length: Floats
    shared: Floats
    gap: Floats | None


def dimension_importance(x: ArrayLike, y: ArrayLike | None = None) -> Dimensions:
    """How much each dimension makes up of a length, of the cosine of random rows, and of what sets near ones apart.

    A cosine is a sum over dimensions; a few "rogue" ones can make up most of it (Timkey & van Schijndel 2021). `x`
    `(n, d)`; `y` `(n, d)`, row i near row i of `x`, for the gap against all other rows. Exact, float64, O(n d).
    """
    rows = unit(checked(x))
    pairs = len(rows) * (len(rows) - 1)
    squares = np.square(rows).sum(axis=0)
    length, shared = squares / len(rows), (rows.sum(axis=0) ** 2 - squares) / pairs
    if y is None:
        return Dimensions(length, shared, None)
    others = unit(paired(x, y)[1])
    near = (rows * others).sum(axis=0)
    far = (rows.sum(axis=0) * others.sum(axis=0) - near) / pairs
    return Dimensions(length, shared, near / len(rows) - far)


def length_shares(x: ArrayLike, dimension: int) -> Floats:
    """What one dimension has of each row's squared length, `(n,)`."""
    return np.asarray(np.square(unit(checked(x))[:, dimension]))
