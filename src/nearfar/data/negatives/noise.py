"""Noise: words drawn by their frequency to a power, in constant time a draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor


class NoiseDistribution:
    """p(i) proportional to count_i^alpha, as word2vec draws its negatives.

    With alpha 0.75 (Mikolov et al. 2013, "Distributed Representations of Words and Phrases", section 2.2) frequent
    words come less often than in the text and rare ones more often; 1 is the text's own distribution, 0 the uniform one
    of all that occur. A draw costs two random numbers whatever the size, by the alias method (Walker 1977; the table
    by Vose 1991).

    Args:
        counts: ``(V,)`` how often each id occurs; what never occurs is never drawn.
        alpha: 0 or more.

    Attributes:
        table: what `alias_table` makes of it.

    Raises:
        ValueError: counts are not a row of finite numbers of at least 0 with one above it, or alpha is below 0.
    """

    def __init__(self, counts: Sequence[float] | ArrayLike, *, alpha: float = 0.75) -> None:
        values = np.asarray(counts, dtype=np.float64)
        if values.ndim != 1 or not len(values):
            raise ValueError(f"counts: found shape {values.shape}, wanted (V,) with V of 1 or more")
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError("counts: found negative or infinite numbers or NaN, wanted 0 or more")
        if not values.any():
            raise ValueError("counts: found zeros alone, wanted one above 0")
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha: found {alpha}, wanted 0 or more")
        # Divided first, since a large count to a power may not be a number any more.
        powers = np.where(values > 0, (values / values.max()) ** alpha, 0.0)
        share = powers / powers.sum()
        with np.errstate(divide="ignore"):
            self._log = torch.from_numpy(np.log(share)).float()
        self.table = alias_table(share)
        self._keep, self._alias = map(torch.from_numpy, self.table)

    def __len__(self) -> int:
        """Ids, V."""
        return len(self._log)

    def sample(self, shape: int | tuple[int, ...], *, generator: torch.Generator | None = None) -> Tensor:
        """Ids of this shape, int64, drawn independently with replacement.

        Args:
            shape: ``(N, k)`` for k of each anchor, or ``(k,)`` for all anchors.
            generator: of the draw; None takes torch's own.
        """
        size = (shape,) if isinstance(shape, int) else shape
        column = torch.randint(len(self), size, generator=generator)
        stays = torch.rand(size, dtype=torch.float64, generator=generator) < self._keep[column]
        return torch.where(stays, column, self._alias[column])

    def log_probability(self, ids: Tensor) -> Tensor:
        """log p of ids, in their shape, float32; -inf where an id never occurs.

        What `nearfar.sampled` takes as `log_noise_positive` and `log_noise`.
        """
        return self._log[ids]


def alias_table(share: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vose's table for probabilities ``(V,)`` that sum to 1, in linear time.

    Returns:
        For each column the chance ``(V,)`` to stay in it, and where ``(V,)`` else to go.
    """
    size = len(share)
    scaled = share * size
    keep, alias = np.ones(size), np.arange(size)
    # Small columns are filled from large ones in one sweep over both: a large one gives to a run of small ones until
    # it is small itself. Where a run ends is where the sums of what is lacking and of what is left over meet.
    small, large = np.flatnonzero(scaled < 1), np.flatnonzero(scaled >= 1)
    lacking, surplus = 1 - scaled[small], scaled[large] - 1
    lacking_before = np.concatenate([[0.0], np.cumsum(lacking)])
    surplus_after = np.cumsum(surplus)
    # A small column goes to the first large one whose surplus, with that of those before, is not used up yet.
    giver = np.searchsorted(surplus_after, lacking_before[:-1], side="right").clip(max=len(large) - 1)
    keep[small], alias[small] = scaled[small], large[giver]
    # A large column that gave more than it had is short of it, and the next large one fills it in turn.
    last = np.searchsorted(lacking_before[:-1], surplus_after, side="left")
    overdrawn = lacking_before[last] - surplus_after
    short = np.flatnonzero(overdrawn[:-1] > 0)
    keep[large[short]], alias[large[short]] = 1 - overdrawn[short], large[short + 1]
    return keep.clip(0, 1), alias
