"""Near candidates: a list of entries, some for each row, and the sums over them that equations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus as torch_softplus

from nearfar.contrasts import Contrast, Index
from nearfar.execution import rows_per_strip


@dataclass(frozen=True)
class Near:
    """The near candidates of some rows.

    Attributes:
        scores: ``(P,)``.
        row: ``(P,)`` their rows.
        rows: how many rows there are.
    """

    scores: Tensor
    row: Tensor
    rows: int

    @cached_property
    def count(self) -> Tensor:
        """``(rows,)``: near candidates of each row."""
        return torch.bincount(self.row, minlength=self.rows)

    @property
    def any(self) -> Tensor:
        """``(rows,)``: 1 where a row has a near candidate, else 0."""
        return (self.count > 0).to(self.scores.dtype)

    def sum(self, values: Tensor) -> Tensor:
        """``(rows,)``: sums of the entries' values ``(P,)``."""
        return values.new_zeros(self.rows).index_add(0, self.row, values)

    def mean(self, values: Tensor) -> Tensor:
        """``(rows,)``: their means, 0 where there is none."""
        return self.sum(values) / self.count.clamp(min=1)

    def max(self, values: Tensor) -> Tensor:
        """``(rows,)``: the largest, -inf where there is none; without a gradient."""
        largest = values.new_full((self.rows,), -torch.inf)
        return largest.scatter_reduce(0, self.row, values.detach(), "amax")

    def log_sum(self, values: Tensor) -> Tensor:
        """``(rows,)``: log of the sums of exp, 0 where there is none."""
        return self.log_sum_and_spread(values)[0]

    def log_sum_and_spread(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """``(rows,)`` both: log of the sums of exp, and how far it is above the means, 0 where there is none."""
        log_sum, spread = _LogSum.apply(values, self)  # type: ignore[no-untyped-call]
        return log_sum, spread


class _LogSum(torch.autograd.Function):
    """The spread's gradient, shares less 1 / count, is exactly 0 for a lone value: autograd's sum of parts is not."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, near: Near) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.near = near
        top = near.max(values).nan_to_num(neginf=0.0)
        shares = (values - top[near.row]).exp_()
        total = near.sum(shares).masked_fill(near.count == 0, 1)
        log_sum = total.log() + top * near.any
        ctx.save_for_backward(shares.div_(total[near.row]))
        return log_sum, log_sum - near.mean(values)

    @staticmethod
    def backward(ctx: Any, for_log_sum: Tensor | None, for_spread: Tensor | None) -> tuple[Tensor | None, None]:
        (shares,) = ctx.saved_tensors
        parts = []
        if for_log_sum is not None:
            parts.append(shares * for_log_sum[ctx.near.row])
        if for_spread is not None:
            even = 1 / ctx.near.count.clamp(min=1).to(shares)
            parts.append((shares - even[ctx.near.row]) * for_spread[ctx.near.row])
        return sum(parts[1:], parts[0]) if parts else None, None


def softplus(gap: Tensor) -> Tensor:
    """log(1 + exp(gap)), exact everywhere: linear from 40 on, where exp(-40) is below what float64 can tell."""
    # Not by logsigmoid, which sets all threads to work on however few numbers.
    return torch_softplus(gap, threshold=40)


def near_entries(contrast: Contrast) -> Index:
    """Rows and columns of all near candidates of a contrast, looked for in as many rows at a time as a strip has."""
    step = rows_per_strip(None, contrast.columns, 4)
    rows = (slice(start, min(start + step, len(contrast))) for start in range(0, len(contrast), step))
    parts = [(row + here.start, column) for here in rows for row, column in [contrast.relation(here).near]]
    return torch.cat([row for row, _ in parts]), torch.cat([column for _, column in parts])
