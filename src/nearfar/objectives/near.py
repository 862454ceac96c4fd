"""Near candidates: a table of scores, some for each row, and the sums over them that equations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus as torch_softplus

from nearfar.contrasts import Contrast, Places, Strip
from nearfar.execution import once, rows_per_strip


@dataclass(frozen=True)
class Near:
    """The near candidates of some rows.

    Attributes:
        scores: ``(r, k)``, 0 where none is.
        places: where they are, and which of them are real; sums are over these.
    """

    scores: Tensor
    places: Places

    @classmethod
    def of_(cls, scores: Tensor, strip: Strip) -> Near:
        """Those of a strip of scores, which has -inf in their place from now on."""
        return cls(strip.near.take_(scores), strip.near)

    @property
    def count(self) -> Tensor:
        """``(r,)``: near candidates of each row."""
        return self.places.count

    @property
    def share(self) -> Tensor | float:
        """What each counts in its row's mean: 1 / count, 0 where there is none; a number where that is all rows'."""
        if self.places.real is None:
            return 1.0 / max(1, self.scores.shape[1])
        return self.any / self.count.clamp(min=1)

    @property
    def any(self) -> Tensor:
        """``(r,)``: 1 where a row has a near candidate, else 0."""
        if self.places.real is None:
            return self.scores.new_ones(len(self.scores))
        return self.places.real.any(1).to(self.scores.dtype)

    def sum(self, values: Tensor) -> Tensor:
        """``(r,)``: sums of values ``(r, k)``."""
        values = self.only(values, 0.0)
        return values.squeeze(1) if values.shape[1] == 1 else values.sum(1)

    def mean(self, values: Tensor) -> Tensor:
        """``(r,)``: their means, 0 where there is none."""
        return self.averaged(self.sum(values))

    def averaged(self, sums: Tensor) -> Tensor:
        """``(r,)``: means of such sums."""
        share = self.share
        return sums if isinstance(share, float) and share == 1.0 else sums * share

    def max(self, values: Tensor) -> Tensor:
        """``(r,)``: the largest, -inf where there is none; without a gradient."""
        return self.only(values.detach(), -torch.inf).amax(1)

    def log_sum(self, values: Tensor) -> Tensor:
        """``(r,)``: log of the sums of exp, 0 where there is none."""
        return self.log_sum_and_spread(values)[0]

    def log_sum_and_spread(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """``(r,)`` both: log of the sums of exp, and how far it is above the means, 0 where there is none."""
        log_sum, spread = _LogSum.apply(values, self)  # type: ignore[no-untyped-call]
        return log_sum, spread

    def only(self, values: Tensor, otherwise: float) -> Tensor:
        """Values ``(r, k)``, or what they are otherwise where no near candidate is."""
        return values if self.places.real is None else values.masked_fill(self.places.unreal, otherwise)


class _LogSum(torch.autograd.Function):
    """The spread's gradient, shares less 1 / count, is exactly 0 for a lone value: autograd's sum of parts is not."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, near: Near) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.near = near
        top = near.max(values).nan_to_num_(neginf=0.0)
        shares = near.only((values - top[:, None]).exp_(), 0.0)
        total = shares.sum(1).masked_fill_(near.count == 0, 1)
        log_sum = total.log().add_(top)
        ctx.save_for_backward(shares.div_(total[:, None]))
        return log_sum, log_sum - near.mean(values)

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, for_log_sum: Tensor | None, for_spread: Tensor | None) -> tuple[Tensor | None, None]:
        (shares,) = ctx.saved_tensors
        parts = []
        if for_log_sum is not None:
            parts.append(shares * for_log_sum[:, None])
        if for_spread is not None:
            even = 1 / ctx.near.count.clamp(min=1).to(shares)
            parts.append(ctx.near.only((shares - even[:, None]).mul_(for_spread[:, None]), 0.0))
        return sum(parts[1:], parts[0]) if parts else None, None


def softplus(gap: Tensor) -> Tensor:
    """log(1 + exp(gap)), exact everywhere: linear from 40 on, where exp(-40) is below what float64 can tell."""
    # Not by logsigmoid, which sets all threads to work on however few numbers.
    return torch_softplus(gap, threshold=40)


def near_places(contrast: Contrast) -> Places:
    """All near candidates of a contrast, looked for in as many rows at a time as a strip has."""
    step = rows_per_strip(None, contrast.columns, 4)
    parts = [
        contrast.relation(slice(start, min(start + step, len(contrast)))).near
        for start in range(0, len(contrast), step)
    ]
    real = [part.real for part in parts if part.real is not None]
    return Places(torch.cat([part.columns for part in parts]), torch.cat(real) if real else None)
