"""Near candidates: a list of entries, some for each row, and the sums over them that equations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

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
        top = self.max(values).nan_to_num(neginf=0.0)
        total = self.sum((values - top[self.row]).exp())
        return total.masked_fill(self.count == 0, 1).log() + top * self.any

    def spread(self, values: Tensor) -> Tensor:
        """``(rows,)``: log of the sums of exp less the means, 0 where there is none."""
        value: Tensor = _Spread.apply(values, self)  # type: ignore[no-untyped-call]
        return value


class _Spread(torch.autograd.Function):
    """Its gradient, shares less 1 / count, is exactly 0 for a lone value, which autograd's sum of parts is not."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, near: Near) -> Tensor:
        log_sum = near.log_sum(values)
        ctx.row, ctx.count = near.row, near.count
        ctx.save_for_backward(values, log_sum)
        return log_sum - near.mean(values)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        values, log_sum = ctx.saved_tensors
        shares = (values - log_sum[ctx.row]).exp()
        return (shares - 1 / ctx.count.to(values)[ctx.row]) * upstream[ctx.row], None


def softplus(gap: Tensor) -> Tensor:
    """log(1 + exp(gap)), exact everywhere; torch's own softplus turns linear at 20."""
    return -logsigmoid(-gap)


def near_entries(contrast: Contrast) -> Index:
    """Rows and columns of all near candidates of a contrast, looked for in as many rows at a time as a strip has."""
    step = rows_per_strip(None, contrast.columns, 4)
    rows = (slice(start, min(start + step, len(contrast))) for start in range(0, len(contrast), step))
    parts = [(row + here.start, column) for here in rows for row, column in [contrast.relation(here).near]]
    return torch.cat([row for row, _ in parts]), torch.cat([column for _, column in parts])
