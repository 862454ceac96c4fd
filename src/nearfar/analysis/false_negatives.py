"""Far pairs that look near: candidates for false negatives, as a list that a person can read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from nearfar.analysis.hardness import group_numbers
from nearfar.analysis.vectors import checked, cosines, paired, unit32

Ids = NDArray[np.int64]

BLOCK = 2048
"""Rows whose scores with as many candidates are held at a time: 16 MiB."""


@dataclass(frozen=True)
class FalseNegatives:
    """The nearest far pairs, the nearest first: row `rows[r]` of x with row `others[r]` of y, at `cosines[r]`."""

    rows: Ids
    others: Ids
    cosines: NDArray[np.float32]


def false_negatives(
    x: ArrayLike, y: ArrayLike | None = None, *, groups: ArrayLike | None = None, count: int = 100
) -> FalseNegatives:
    """The `count` pairs of different groups with the highest cosines; fewer where there are no more.

    What a guide or a false-negative filter would strike (Huynh et al. 2022), shown instead. `x` `(n, d)` anchors; `y`
    `(n, d)` their positives, so that row i with row j of y, i other than j, is far; without `y` two rows of `x`, each
    pair once. `groups` `(n,)`: equal ones are not far (labels; rows that share a text). Exact: every pair is
    compared, cosines of the list in float64; equally near ones by row. O(n^2 d) time, no `(n, n)` matrix.
    """
    rows = checked(x)
    others = rows if y is None else paired(rows, y)[1]
    first = unit32(rows)
    second = first if y is None else unit32(others)
    group = torch.from_numpy(group_numbers(groups, len(rows)))
    left, right = (side.numpy() for side in _highest(first, second, group, min(2 * count, len(rows) ** 2)))
    found = cosines(rows[left], others[right])
    order = np.lexsort((right, left, -found))[:count]
    return FalseNegatives(left[order], right[order], found[order])


def _highest(first: Tensor, second: Tensor, group: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows and candidates `(c,)` of the `count` highest scores between different groups, by rough scores."""
    mirrored = first is second
    scores, places = torch.empty(0), torch.empty(0, dtype=torch.int64)
    for i in range(0, len(first), BLOCK):
        for j in range(i if mirrored else 0, len(second), BLOCK):
            tile = first[i : i + BLOCK] @ second[j : j + BLOCK].T
            tile.masked_fill_(group[i : i + BLOCK, None] == group[None, j : j + BLOCK], -torch.inf)
            if mirrored and i == j:
                tile.masked_fill_(torch.ones_like(tile, dtype=torch.bool).tril_(), -torch.inf)
            best, at = tile.flatten().topk(min(count, tile.numel()))
            at = (i + at // tile.shape[1]) * len(second) + j + at % tile.shape[1]
            scores, chosen = torch.cat([scores, best]).topk(min(count, len(scores) + len(best)))
            places = torch.cat([places, at])[chosen]
    places = places[scores > -torch.inf]
    return places // len(second), places % len(second)
