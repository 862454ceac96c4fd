"""Objectives of the graph and of the sphere: what the softmax tends to, without a softmax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.objectives.base import Reduction, RowLoss, check_choice, check_from_zero, check_positive
from nearfar.objectives.near import Near
from nearfar.objectives.pairwise import PairwiseLoss, Share
from nearfar.objectives.spaces import Space, dot, unit_distance


@dataclass(frozen=True, kw_only=True)
class SpectralLoss(PairwiseLoss):
    """Spectral contrastive: factorises the graph of what is near what.

        loss_i = -2 mean_{p in P(i)} s_ip + mean_{j in F(i)} s_ij^2,  dot products

    (HaoChen et al. 2021, "Provable Guarantees for Self-Supervised Deep Learning with Spectral Contrastive Loss", eq. 6,
    with far candidates for independent draws.)

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-2 mean_near s + mean_far s^2"
    source: ClassVar[str] = "HaoChen et al. 2021"

    def __post_init__(self) -> None:
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return dot(contrast)

    def pull_(self, scores: Tensor) -> Tensor:
        terms = -2 * scores
        scores.fill_(-2)
        return terms

    def push_(self, scores: Tensor) -> Tensor:
        scores.masked_fill_(scores == -torch.inf, 0)
        total: Tensor = torch.linalg.vecdot(scores, scores)
        scores.mul_(2)
        return total

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        return near.share, near.any / strip.far_count(columns).clamp(min=1), near.any


@dataclass(frozen=True, kw_only=True)
class AlignUniformLoss:
    """Alignment and uniformity: near pairs close on the sphere, everything spread evenly over it.

        loss = mean_near D^alpha + uniformity * log mean_far exp(-t D^2),  D between vectors of length 1

    (Wang & Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", section 4.1; their code takes the pairs within each view for uniformity, here far pairs of the
    contrast stand for independent draws.)

    Args:
        alpha: power of the distance of near pairs.
        t: of the Gaussian kernel, at most 20: beyond, exp(-4t) of opposite vectors is 0 in float32.
        uniformity: weight of the second term.

    Raises:
        ValueError: an argument is out of range.
    """

    alpha: float = 2.0
    t: float = 2.0
    uniformity: float = 1.0

    equation: ClassVar[str] = "mean_near D^alpha + w log mean_far exp(-t D^2), unit vectors"
    source: ClassVar[str] = "Wang & Isola 2020"
    contrasts: ClassVar[tuple[str, ...]] = RowLoss.contrasts
    reduction: ClassVar[Reduction] = "mean"
    by_direction: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, alpha=self.alpha, t=self.t)
        check_from_zero(self, uniformity=self.uniformity)
        if self.t > 20:
            raise ValueError(f"AlignUniformLoss: t: found {self.t!r}, wanted a number up to 20")

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        align = _Alignment(self.alpha)(contrast, strip_rows=strip_rows)
        spread = _Kernel(self.t)(contrast, strip_rows=strip_rows)
        none = spread.detach() == 0  # nothing is far
        return align + self.uniformity * spread.masked_fill(none, 1).log()


class _Alignment(PairwiseLoss):
    """Mean over near entries of D^alpha."""

    reduction: Reduction = "mean"

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def space(self, contrast: Contrast) -> Space:
        return unit_distance(contrast)

    def pull_(self, scores: Tensor) -> Tensor:
        power, squared = self.alpha / 2, -scores
        same = squared == 0
        terms = squared.masked_fill_(same, 1).pow(power).masked_fill_(same, 0)
        torch.div(terms, squared, out=scores).mul_(-power)
        return terms

    def push_(self, scores: Tensor) -> Tensor:
        return scores.zero_().sum(1)

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        return 1.0, 1.0, near.count


class _Kernel(PairwiseLoss):
    """Mean over far entries of exp(-t D^2)."""

    reduction: Reduction = "mean"

    def __init__(self, t: float) -> None:
        self.t = t

    def space(self, contrast: Contrast) -> Space:
        return unit_distance(contrast)

    def pull_(self, scores: Tensor) -> Tensor:
        return torch.zeros_like(scores.zero_())

    def push_(self, scores: Tensor) -> Tensor:
        total = scores.mul_(self.t).exp_().sum(1)
        scores.mul_(self.t)
        return total

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        return 1.0, 1.0, strip.far_count(columns)
