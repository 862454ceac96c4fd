"""Neighbours: near candidates as a set, by distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast
from nearfar.execution import LogSums, Terms, log_sums
from nearfar.objectives.base import EMBEDDED, Reduction, RowLoss, check_choice, check_positive, reduced
from nearfar.objectives.family import Far, SoftmaxLoss
from nearfar.objectives.near import Near, softplus
from nearfar.objectives.spaces import Space, distance, squared_distance


@dataclass(frozen=True, kw_only=True)
class SoftNearestNeighborsLoss(SoftmaxLoss):
    """Soft nearest neighbours: one close near candidate is enough.

        loss_i = -log( sum_{j in P(i)} exp(-D_ij^2 / T) / sum_{k in P(i) or F(i)} exp(-D_ik^2 / T) )

    (Salakhutdinov & Hinton 2007, eq. 2; with a temperature Frosst, Papernot & Hinton 2019, eq. 1.) Minimise it to part
    the classes; Frosst et al. also maximise it.

    Args:
        temperature: divides the squared Euclidean distances.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    temperature: float = 1.0
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log( sum_near exp(-D^2/T) / sum_{near or far} exp(-D^2/T) )"
    source: ClassVar[str] = "Frosst et al. 2019"

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return squared_distance(contrast, 1 / self.temperature)

    def head(self, near: Near, far: Far) -> Terms:
        return Terms(softplus(far.log_sum - near.log_sum(near.scores)) * near.any, near.any)


@dataclass(frozen=True, kw_only=True)
class LiftedStructuredLoss(RowLoss):
    """Lifted structured: each near pair against all that is far from either of its two.

        J_ij = D_ij + log( sum_{k in F(i)} exp(m - D_ik) + sum_{l in F(j)} exp(m - D_jl) )
        loss = mean over near pairs of max(0, J)^2 / 2

    (Oh Song et al. 2016, "Deep Metric Learning via Lifted Structured Feature Embedding", eq. 4.) F(j) are the rows that
    see candidate j as far; a candidate that only its anchor sees has none.

    Args:
        margin: m, in the space's own unit.
        reduction: "mean" over near pairs, "sum", or "none": each anchor's sum.

    Raises:
        ValueError: an argument is out of range.
    """

    margin: float = 1.0
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "max(0, D_ij + log( sum_F(i) exp(m - D_ik) + sum_F(j) exp(m - D_jl) ))^2 / 2"
    source: ClassVar[str] = "Oh Song et al. 2016"
    contrasts: ClassVar[tuple[str, ...]] = EMBEDDED

    def __post_init__(self) -> None:
        check_positive(self, margin=self.margin)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return distance(contrast)

    def of_whole(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        space = self.space(contrast)
        sums = log_sums(contrast, space.tensors, space.make_scores, strip_rows)
        return reduced(self._terms(sums, contrast), contrast, self.reduction)

    def _terms(self, sums: LogSums, contrast: Contrast) -> Terms:
        near = Near(sums.near, sums.places)
        shared = near.places.columns.clamp(min=0) - contrast.own_count
        from_column = torch.cat([sums.columns, sums.columns.new_full((1,), -torch.inf)])
        from_column = from_column[shared.masked_fill(shared < 0, len(sums.columns))]
        none = torch.maximum(sums.rows[:, None], from_column).detach() == -torch.inf
        pushed = torch.logaddexp(sums.rows[:, None].masked_fill(none, 0), from_column.masked_fill(none, 0))
        lifted = (self.margin - near.scores + pushed).masked_fill(none, 0)
        some = near.only((~none).to(lifted.dtype), 0.0).sum(1)
        return Terms(near.sum(lifted.clamp(min=0).square() / 2), some)
