"""Margins: far candidates push until they are far enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.objectives.base import Reduction, check_choice, check_positive
from nearfar.objectives.near import Near
from nearfar.objectives.pairwise import PairwiseLoss, Share
from nearfar.objectives.spaces import Space, squared_distance

TINY = 1e-30
"""Squared distances end here, and at 1 over it, so that roots and their inverses are finite."""


@dataclass(frozen=True, kw_only=True)
class ContrastiveLoss(PairwiseLoss):
    """Contrastive: near pairs are drawn together, far ones pushed apart until they are a margin away.

        near: D^2 / 2,  far: max(0, m - D)^2 / 2,  the mean over all judged pairs; D Euclidean

    (Hadsell, Chopra & LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4; there Y = 0 means
    similar. Chopra, Hadsell & LeCun 2005 has another, exponential, energy.)

    Args:
        margin: distance at which far pairs rest, in the space's own unit.
        reduction: "mean" over near and far pairs, "sum", or "none": each anchor's sum.

    Raises:
        ValueError: an argument is out of range.
    """

    margin: float = 1.0
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "near: D^2/2, far: max(0, m - D)^2/2"
    source: ClassVar[str] = "Hadsell et al. 2006"

    def __post_init__(self) -> None:
        check_positive(self, margin=self.margin)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return squared_distance(contrast)

    def pull_(self, scores: Tensor) -> Tensor:
        terms = scores / -2
        scores.fill_(-0.5)
        return terms

    def push_(self, scores: Tensor) -> Tensor:
        # Two at one place have a huge slope here, which is then times their difference, 0.
        inverse = torch.rsqrt(scores.neg_().clamp_(TINY, 1 / TINY))
        short = torch.sub(self.margin, scores.mul_(inverse)).clamp_(min=0)
        total: Tensor = torch.linalg.vecdot(short, short).mul_(0.5)
        torch.mul(short, inverse.mul_(0.5), out=scores)  # d/ds (m - sqrt(-s))^2 / 2
        return total

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        return 1.0, 1.0, strip.seen_count(columns)
