"""How near the near are, and how evenly everything is spread over the sphere: alignment, uniformity, mean cosine.

All of unit rows, so the length of an embedding does not matter; a row of zeros has cosine 0 to everything. A figure
over pairs of rows is a U-statistic: its `*_by_row` holds each row's share in it (Hoeffding 1948), an array whose mean
is the figure and whose spread is that of the figure, so that intervals and paired tests take it like a mean over
rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.vectors import checked, cosines, paired, unit, unit32
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.analysis.tasks import Embed
    from nearfar.data import Table

Sample = NDArray[np.float32]
ByRow = NDArray[np.float64]
"""`(n,)`: a number a row, whose mean is the figure."""

BLOCK = 2048
"""Rows whose scores with as many others are held at a time: 16 MiB."""

LARGEST_T = 20.0
"""Of uniformity: exp(-4 t), the least term, is still a number in float32."""


def alignment(x: ArrayLike, y: ArrayLike, *, alpha: float = 2.0) -> float:
    """Mean of |u - v|^alpha over near pairs: 0 where all coincide, 2 for random ones (alpha 2).

    Wang & Isola 2020, section 4.1. `x`, `y` `(n, d)`, row i of one near row i of the other. Exact, float64, O(n d).
    It cannot be read alone: a space that has collapsed into a point is perfectly aligned.
    """
    return float(alignment_by_row(x, y, alpha=alpha).mean())


def alignment_by_row(x: ArrayLike, y: ArrayLike, *, alpha: float = 2.0) -> ByRow:
    """The terms of `alignment`, `(n,)`."""
    first, second = paired(x, y)
    squared = 2 - 2 * np.einsum("nd,nd->n", unit(first), unit(second))
    return np.asarray(np.maximum(squared, 0.0) ** (alpha / 2))


def uniformity(x: ArrayLike, *, t: float = 2.0) -> float:
    """log of the mean of exp(-t |u - v|^2) over all pairs of different rows: 0 for one point, about -2t if uniform.

    Wang & Isola 2020, section 4.1. `x` `(n, d)`, n of 2 or more; 0 < t <= 20. Every pair counts, each once; products in
    float32, sums in float64, O(n^2 d) time. No `(n, n)` matrix: beyond the input a float32 copy and 16 MiB.
    Lower is not better without end (papers report better models at worse uniformity).
    """
    return float(uniformity_by_row(x, t=t).mean())


def uniformity_by_row(x: ArrayLike, *, t: float = 2.0) -> ByRow:
    """Each row's share in `uniformity`, `(n,)`."""
    if not 0 < t <= LARGEST_T:
        raise InputError(f"t: found {t}, wanted a number above 0 and at most {LARGEST_T:g}")
    potential = _potentials(checked(x), t)
    mean = float(potential.mean())
    return np.asarray(np.log(mean) + 2 * (potential - mean) / mean)


def _potentials(x: NDArray[np.floating[Any]], t: float) -> ByRow:
    """The mean of exp(-t |u_i - u_j|^2) over j other than i, `(n,)`, from the upper half of all pairs."""
    import torch

    rows = unit32(x)
    sums = torch.zeros(len(rows), dtype=torch.float64)
    buffer = torch.empty(min(BLOCK, len(rows)) ** 2)
    for i in range(0, len(rows), BLOCK):
        own = rows[i : i + BLOCK]
        for j in range(i, len(rows), BLOCK):
            others = rows[j : j + BLOCK]
            tile = buffer[: len(own) * len(others)].view(len(own), len(others))
            torch.mm(own, others.T, out=tile).sub_(1).mul_(2 * t).exp_()
            if i == j:
                tile.fill_diagonal_(0)
            else:
                sums[j : j + BLOCK] += tile.sum(0)
            sums[i : i + BLOCK] += tile.sum(1)
    return np.asarray(sums.numpy() / (len(rows) - 1))


def mean_cosine(x: ArrayLike) -> float:
    """Mean cosine over all pairs of different rows: 0 for directions without a preference, 1 for one point.

    The anisotropy of Ethayarajh 2019. `x` `(n, d)`, n of 2 or more. Exact and O(n d), float64: the sum over all pairs
    is the squared length of the sum of the rows.
    """
    return float(mean_cosine_by_row(x).mean())


def mean_cosine_by_row(x: ArrayLike) -> ByRow:
    """Each row's share in `mean_cosine`, `(n,)`."""
    rows = unit(checked(x))
    own = np.einsum("nd,nd->n", rows, rows)
    with_others = (rows @ rows.sum(axis=0) - own) / (len(rows) - 1)
    return np.asarray(2 * with_others - with_others.mean())


def near_and_far(table: Table, embed: Embed, *, seed: int = 0, most: int = 2000) -> tuple[Sample, Sample]:
    """Cosines of pairs that a table calls near, and of pairs that it does not.

    pairs: each anchor with its positive, against it with the positive of another row. labelled: two texts of
    one label, against two of different labels. scored: the quarter of the rows with the highest scores, against
    the quarter with the lowest.

    Args:
        table: of one of these kinds.
        embed: texts to vectors.
        seed: of the rows that are drawn.
        most: rows that are looked at.

    Returns:
        Two samples of cosines, not necessarily of one length.
    """
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(len(table))[:most])
    table = table.select(rows)
    roles = table.text_roles[:2]
    vectors = [embed([str(text) for text in table.column(role)]) for role in roles]
    first, second = vectors[0], vectors[-1]
    other = (np.arange(len(rows)) + generator.integers(1, max(len(rows), 2), len(rows))) % len(rows)
    if table.kind == "labelled":
        labels = np.asarray(table.column("label"))
        found = cosines(first, second[other])
        return found[labels == labels[other]], found[labels != labels[other]]
    found = cosines(first, second)
    if table.kind in ("scored", "words"):
        low, high = np.quantile(scores := np.asarray(table.column("score"), np.float64), [0.25, 0.75])
        near, far = scores >= high, scores <= low
        if low == high:  # most scores are one: what is left is what can be told from it
            near, far = scores >= scores.mean(), scores < scores.mean()
        return found[near], found[far]
    return found, cosines(first, second[other])
