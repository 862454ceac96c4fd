"""Which negatives carry the gradient? What a softmax objective makes of a batch, at one temperature or several.

InfoNCE weighs the negatives of an anchor by r_ij = exp(s_ij / tau) / sum over negatives (Wang & Liu 2021: the
relative penalty), whatever the positive. Rows are put at random into batches of one size, as in training; in a batch
each anchor sees the positives of the others. Exact for the batches drawn; float32 scores, O(n b d) time, `(b, b)`
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nearfar.analysis.vectors import checked, paired, unit32
from nearfar.errors import InputError

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
BATCH = 512


@dataclass(frozen=True)
class Hardness:
    """Of each anchor at each temperature, NaN for an anchor without negatives.

    Attributes:
        temperatures: `(t,)`.
        negatives: `(n,)`, how many an anchor has.
        effective: `(t, n)`, 1 / sum of r^2: so many equally hard ones would weigh alike; from 1 to `negatives`.
        fractions: `(f,)`.
        shares: `(t, f, n)`, what the hardest fraction of the negatives (one at least) has of the gradient.
    """

    temperatures: tuple[float, ...]
    negatives: Ids
    effective: Floats
    fractions: tuple[float, ...]
    shares: Floats


def hardness(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    batch_size: int = BATCH,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Hardness:
    """Effective number of negatives and share of the gradient by hardness.

    Args:
        x: anchors `(n, d)`.
        y: `(n, d)`, row i the positive of row i; without it the rows of `x` are each other's negatives.
        temperatures: each above 0.
        batch_size: rows of a batch, 2 or more; fewer where they do not come out even.
        groups: `(n,)`, rows of one group are never each other's negatives; every row alone by default.
        seed: of the batches.

    Raises:
        InputError: shapes that do not fit, NaN, a temperature that is not above 0.
    """
    if not all(0 < t < np.inf for t in temperatures):
        raise InputError(f"temperatures: found {list(temperatures)}, wanted numbers above 0")
    rows = checked(x)
    effective = np.full((len(temperatures), len(rows)), np.nan)
    shares = np.full((len(temperatures), len(FRACTIONS), len(rows)), np.nan)
    negatives = np.zeros(len(rows), dtype=np.int64)
    for batch in _batches(rows, y, batch_size, groups, seed):
        ordered = batch.scores.masked_fill(~batch.far, -torch.inf).sort(dim=1, descending=True).values
        counts = batch.far.sum(dim=1)
        wanted = counts[:, None] * torch.tensor(FRACTIONS, dtype=torch.float64) - 1e-9
        last = wanted.ceil().long().clamp(min=1) - 1
        told = (counts > 0).numpy()
        negatives[batch.rows] = counts
        for number, temperature in enumerate(temperatures):
            weight = torch.softmax(ordered / temperature, dim=1)
            effective[number, batch.rows[told]] = 1 / weight.square().sum(dim=1)[counts > 0]
            carried = weight.cumsum(dim=1).gather(1, last.clamp(max=weight.shape[1] - 1))
            shares[number][:, batch.rows[told]] = carried[counts > 0].T.clamp(max=1)
    return Hardness(tuple(temperatures), negatives, effective, FRACTIONS, shares)


def gradient_norms(
    x: ArrayLike,
    y: ArrayLike,
    *,
    temperature: float = 0.05,
    batch_size: int = BATCH,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Floats:
    """Length of each anchor's gradient under InfoNCE, times the temperature: `(n,)`, from 0 (nothing to learn) to 2.

    The gradient of the anchor's own loss with respect to its unit vector, along the sphere: sum_j P_ij (c_j - c_p) /
    tau, less its part along the anchor. ANCE (Xiong et al. 2021) explains uninformative negatives by it. Arguments as
    `hardness`; an anchor without negatives has 0.
    """
    if temperature <= 0:
        raise InputError(f"temperature: found {temperature}, wanted a number above 0")
    found = np.zeros(len(checked(x)))
    for batch in _batches(checked(x), y, batch_size, groups, seed):
        seen = (batch.far | torch.eye(len(batch.rows), dtype=torch.bool)).logical_not()
        weight = torch.softmax((batch.scores / temperature).masked_fill(seen, -torch.inf), dim=1)
        weight.fill_diagonal_(0)  # the positive's own term is 0, and 1 - p is never formed
        pull = weight @ batch.others - weight.sum(dim=1, keepdim=True) * batch.others
        pull -= (pull * batch.own).sum(dim=1, keepdim=True) * batch.own
        found[batch.rows] = pull.norm(dim=1)
    return found


@dataclass(frozen=True)
class _Batch:
    """Numbers of the rows `(b,)`, their unit vectors, scores and which are far, both `(b, b)`."""

    rows: Ids
    own: Tensor
    others: Tensor
    scores: Tensor
    far: Tensor


def _batches(
    rows: NDArray[np.floating], y: ArrayLike | None, batch_size: int, groups: ArrayLike | None, seed: int
) -> Iterator[_Batch]:
    if batch_size < 2:
        raise InputError(f"batch_size: found {batch_size}, wanted at least 2")
    first = unit32(rows)
    second = first if y is None else unit32(paired(rows, y)[1])
    group = torch.from_numpy(group_numbers(groups, len(rows)))
    order = np.random.default_rng(seed).permutation(len(rows))
    for part in np.array_split(order, -(-len(rows) // batch_size)):
        own, others, of = first[part], second[part], group[part]
        yield _Batch(part, own, others, own @ others.T, of[:, None] != of[None, :])


def group_numbers(groups: ArrayLike | None, count: int) -> Ids:
    """`(count,)` numbers, equal for equal groups; each row its own without any."""
    if groups is None:
        return np.arange(count)
    names = np.asarray(groups)
    if names.shape != (count,):
        raise InputError(f"groups: found shape {names.shape}, wanted ({count},)")
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)
