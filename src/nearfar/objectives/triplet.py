"""Triplets: near candidates nearer than far ones by a margin, all triplets or the hard ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.execution import Terms, blocks
from nearfar.objectives.base import Reduction, RowLoss, check_choice, check_from_zero
from nearfar.objectives.near import Near
from nearfar.objectives.spaces import Space, distance, squared_distance

Distance = Literal["squared", "euclidean"]
Mining = Literal["all", "hard", "semihard"]
Average = Literal["all", "active"]


@dataclass(frozen=True, kw_only=True)
class TripletLoss(RowLoss):
    """Triplet: a near candidate should be nearer than a far one by a margin.

        max(0, D_ap^2 - D_an^2 + m)

    (Schroff, Kalenichenko & Philbin 2015, "FaceNet", eq. 2; mining "hard" and the mean over active triplets: Hermans,
    Beyer & Leibe 2017.) All triplets of the batch are worked out without listing them: near scores of a row are sorted,
    and each far score finds by bisection how many of them it violates, O(N^2 log N) instead of O(N^3).

    Args:
        margin: m, in units of the distance.
        distance: "squared", or "euclidean" for D in place of D^2.
        mining: "all" triplets of an anchor with its near and far candidates; "hard": its furthest near and nearest far
            one; "semihard": for each near one the nearest far that is further than it, else the furthest far.
        average: over "all" of these, or over the "active" ones above 0.
        reduction: "mean", "sum" or "none": each anchor's sum.

    Raises:
        ValueError: an argument is out of range.
    """

    margin: float = 0.2
    distance: Distance = "squared"
    mining: Mining = "all"
    average: Average = "all"
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "max(0, D_ap^2 - D_an^2 + m)"
    source: ClassVar[str] = "Schroff et al. 2015"

    def __post_init__(self) -> None:
        check_from_zero(self, margin=self.margin)
        check_choice(
            self,
            distance=(self.distance, get_args(Distance)),
            mining=(self.mining, get_args(Mining)),
            average=(self.average, get_args(Average)),
            reduction=(self.reduction, get_args(Reduction)),
        )

    def space(self, contrast: Contrast) -> Space:
        return (squared_distance if self.distance == "squared" else distance)(contrast)

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        near, count = Near.of_(scores, strip), strip.far_count(scores.shape[1])
        found = _MINERS[self.mining](scores, near, count, self.margin)
        strip.near.put_(scores, found.near_slopes)
        weight = found.triplets if self.average == "all" else found.active
        return Terms(found.total, weight.to(scores.dtype)), None


@dataclass(frozen=True)
class Mined:
    """The triplets of some rows, whose far scores are now their own slopes.

    Attributes:
        total: ``(r,)`` sums over a row's triplets.
        triplets: ``(r,)`` how many there are.
        active: ``(r,)`` how many are above 0.
        near_slopes: ``(r, k)`` slopes of the near scores.
    """

    total: Tensor
    triplets: Tensor
    active: Tensor
    near_slopes: Tensor


def _all(scores: Tensor, near: Near, count: Tensor, margin: float) -> Mined:
    """A far score s violates a near one p where s > p - margin, by s - (p - margin)."""
    if near.scores.shape[1] == 1:
        return _all_of_one(scores, near, count, margin)
    bounds, order = near.only(near.scores - margin, torch.inf).sort(1)
    sums = torch.cat([bounds.new_zeros(len(bounds), 1), bounds.nan_to_num(posinf=0.0).cumsum(1)], dim=1)
    totals, hits = [], []
    parts = blocks(scores)
    for part, bound, below in zip(parts, bounds.split(len(parts[0])), sums.split(len(parts[0])), strict=True):
        violated = torch.searchsorted(bound, part.contiguous())  # near ones below each far score
        slopes = violated.to(part.dtype)
        total = torch.linalg.vecdot(part.masked_fill(part == -torch.inf, 0), slopes) - below.gather(1, violated).sum(1)
        histogram = torch.zeros_like(below).scatter_add_(1, violated, torch.ones_like(part))
        # How many far scores lie above each bound.
        hits.append(histogram.flip(1).cumsum(1).flip(1)[:, 1:])
        totals.append(total)
        part.copy_(slopes)
    above = torch.empty_like(bounds).scatter_(1, order, torch.cat(hits))
    return Mined(torch.cat(totals), near.count * count, near.sum(above), -above)


def _all_of_one(scores: Tensor, near: Near, count: Tensor, margin: float) -> Mined:
    """The same where a row has one near score at most."""
    bounds = near.only(near.scores - margin, torch.inf)
    totals, actives = [], []
    parts = blocks(scores)
    for part, bound in zip(parts, bounds.split(len(parts[0])), strict=True):
        totals.append(part.sub_(bound).clamp_(min=0).sum(1))
        actives.append(part.sign_().sum(1))  # 1 where it is violated
    active = torch.cat(actives)
    return Mined(torch.cat(totals), near.count * count, active, -active[:, None])


def _hard(scores: Tensor, near: Near, count: Tensor, margin: float) -> Mined:
    far, column = scores.max(1)
    furthest, place = near.only(near.scores, torch.inf).min(1)
    both = (near.count > 0) & (count > 0)
    gap = torch.where(both, margin - furthest + far, 0).clamp(min=0)
    active = (gap > 0).to(scores.dtype)
    scores.zero_().scatter_(1, column[:, None], active[:, None])
    slopes = torch.zeros_like(near.scores).scatter_(1, place[:, None], -active[:, None])
    return Mined(gap, both, active, slopes)


def _semihard(scores: Tensor, near: Near, count: Tensor, margin: float) -> Mined:
    ordered, columns = scores.sort(1)
    hidden = (scores.shape[1] - count)[:, None]  # -inf come first
    further = torch.searchsorted(ordered, near.scores)
    # The nearest of the far that are further than the near one; where there is none, the furthest of all.
    pick = torch.maximum(further - 1, hidden).clamp(max=scores.shape[1] - 1)
    gap = near.only(margin - near.scores + ordered.gather(1, pick), 0.0).clamp(min=0) * (count > 0)[:, None]
    active = (gap > 0).to(scores.dtype)
    scores.zero_().scatter_add_(1, columns.gather(1, pick), active)
    return Mined(near.sum(gap), near.count * (count > 0), near.sum(active), -active)


_MINERS: dict[str, Callable[[Tensor, Near, Tensor, float], Mined]] = {
    "all": _all,
    "hard": _hard,
    "semihard": _semihard,
}
