"""The softmax family: near candidates against the log-sum-exp of the far ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast
from nearfar.execution import Terms, log_sums
from nearfar.objectives.base import (
    Reduction,
    Similarity,
    check_choice,
    check_flag,
    check_from_zero,
    check_positive,
    reduced,
)
from nearfar.objectives.family import Far, SoftmaxLoss, each_against_far
from nearfar.objectives.near import Near, near_places, softplus
from nearfar.objectives.spaces import Space, cosine, dot, wide


@dataclass(frozen=True, kw_only=True)
class OneAgainstFar(SoftmaxLoss):
    """Each near candidate against itself and the far ones, by cosine: what InfoNCE and NT-Xent share.

    Args:
        temperature: divides the scores; smaller looks harder at the nearest far candidates.
        decoupled: leave the near candidate out of the sum, ``log sum_far exp(s_ij/t) - s_ip/t`` (Yeh et al. 2021).
        debias: the share of far candidates that are near in truth, tau+ (Chuang et al. 2020, eq. 8); by cosine.
        hardness: beta, by which far candidates weigh more the nearer they are (Robinson et al. 2021, eq. 4).
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    temperature: float = 0.05
    decoupled: bool = False
    debias: float = 0.0
    hardness: float = 0.0
    reduction: Reduction = "mean"

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_from_zero(self, debias=self.debias, hardness=self.hardness)
        check_flag(self, decoupled=self.decoupled)
        if self.debias >= 1:
            raise ValueError(f"{type(self).__name__}: debias: found {self.debias!r}, wanted a share below 1")
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    @property
    def by_direction(self) -> bool:
        return True

    def space(self, contrast: Contrast) -> Space:
        return cosine(contrast, 1 / self.temperature)

    @property
    def exponents(self) -> tuple[float, ...]:
        # Hard candidates are weighed by exp(beta s), as a ratio of two sums.
        return (1.0 + self.hardness, self.hardness) if self.hardness else (1.0,)

    @property
    def needs_count(self) -> bool:
        return bool(self.debias or self.hardness or self.decoupled)

    def head(self, near: Near, far: Far) -> Terms:
        log_far = self._log_far(far)[:, None]
        if self.debias:
            log_far = self._debiased(log_far, near.scores, far.count[:, None])
        if not self.decoupled:
            return Terms(near.mean(softplus(log_far - near.scores)), near.any)
        some = far.count > 0
        gap = (log_far - near.scores).masked_fill(~some[:, None], 0)
        return Terms(near.mean(gap), near.any * some)

    def pulls(self, near: Near, far: Far) -> tuple[Terms, Tensor, Tensor]:
        return super().pulls(near, far) if self.needs_count else each_against_far(near, far)

    def _log_far(self, far: Far) -> Tensor:
        """log of the far mass: of the plain sum, or of that with weights of mean 1 that grow with the score."""
        if not self.hardness:
            return far.log_sum
        hard, soft = far.log_sums
        none = far.count == 0
        mean = hard - soft.masked_fill(none, 0) + far.count.clamp(min=1).to(hard.dtype).log()
        return mean.masked_fill(none, -torch.inf)

    def _debiased(self, log_far: Tensor, near: Tensor, count: Tensor) -> Tensor:
        """log of the far mass less what near candidates among the far ones are expected to add to it."""
        none, many = count == 0, count.to(near.dtype)
        top = torch.maximum(log_far, near).detach()
        kept = (log_far - top).exp() - self.debias * many * (near - top).exp()
        gone = kept <= 0
        log_kept = top + kept.masked_fill(gone, 1).log() - math.log(1 - self.debias)
        least = many.clamp(min=1).log() - 1 / self.temperature  # no cosine is below -1
        return torch.maximum(log_kept.masked_fill(gone, -torch.inf), least).masked_fill(none, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class InfoNCELoss(OneAgainstFar):
    """InfoNCE: tell the near candidate from the far ones by a softmax over their scores.

    For anchor i with near candidates ``P(i)`` and far ones ``F(i)``, scores ``s`` and temperature ``t``,

        loss_i = mean over p in P(i) of  -log( exp(s_ip/t) / (exp(s_ip/t) + sum_{j in F(i)} exp(s_ij/t)) )

    averaged over the anchors that have a near candidate (van den Oord, Li & Vinyals 2018, "Representation
    Learning with Contrastive Predictive Coding", eq. 4; there the score is log-bilinear, without a
    temperature). Uniform scores give exactly log(1 + |F(i)|).

    Args:
        temperature, decoupled, debias, hardness, reduction: see `OneAgainstFar`.
        similarity: "cosine" or "dot".
        symmetric: average with the same loss from the candidates' side (CLIP, Radford et al. 2021), where positives are
            anchored and the anchors are seen. It changes nothing where both sides are the same items, or where
            candidates are not rows of a batch of their own: only `nearfar.pairs` has another side.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import torch, nearfar as nf
        >>> x = torch.eye(4)
        >>> nf.InfoNCELoss(temperature=1.0)(nf.pairs(x, x)).item()  # log(e + 3) - 1
        0.7436...
    """

    similarity: Similarity = "cosine"
    symmetric: bool = False

    equation: ClassVar[str] = "-log( exp(s_ip/t) / sum_{j near p or far} exp(s_ij/t) )"
    source: ClassVar[str] = "van den Oord et al. 2018"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, symmetric=self.symmetric)
        check_choice(self, similarity=(self.similarity, get_args(Similarity)))
        if self.debias and self.similarity != "cosine":
            raise ValueError("InfoNCELoss: debias: found similarity 'dot', wanted 'cosine', whose floor is known")

    @property
    def by_direction(self) -> bool:
        return self.similarity == "cosine"

    def space(self, contrast: Contrast) -> Space:
        return (cosine if self.similarity == "cosine" else dot)(contrast, 1 / self.temperature)

    def of_whole(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        if not self.symmetric or contrast.transpose is None:
            return super().of_whole(contrast, strip_rows)
        if contrast.paired and not self.needs_count:
            return self._both_sides(contrast, strip_rows)
        other = self.over_strips(contrast.transpose(), strip_rows)
        return (self.over_strips(contrast, strip_rows) + other) / 2

    def _both_sides(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        """Both directions from one matrix of scores."""
        space = self.space(contrast)
        sums = log_sums(contrast, space.tensors, space.make_scores, strip_rows)
        sides = []
        near = Near(sums.near, sums.places)  # of both sides: rows of one number are near
        for log_sum in (sums.rows, sums.columns[: len(contrast)]):
            sides.append(reduced(self.head(near, Far((log_sum,), log_sum.new_empty(0))), contrast, self.reduction))
        return (sides[0] + sides[1]) / 2


@dataclass(frozen=True, kw_only=True)
class NTXentLoss(OneAgainstFar):
    """NT-Xent: InfoNCE by cosine over two views of each item, all 2N of them anchored in turn.

        l_ij = -log( exp(cos(z_i, z_j)/t) / sum_{k != i} exp(cos(z_i, z_k)/t) ),  L = mean over the 2N anchors

    (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", eq. 1. The
    authors' code returns twice this value.) Use it over `nearfar.views`.

    Args:
        temperature: divides the cosines.
        decoupled, debias, hardness, reduction: see `OneAgainstFar`.

    Raises:
        ValueError: an argument is out of range, or the contrast is not one of views.
    """

    temperature: float = 0.5

    equation: ClassVar[str] = "-log( exp(cos_ij/t) / sum_{k != i} exp(cos_ik/t) ), both views anchored"
    source: ClassVar[str] = "Chen et al. 2020"
    contrasts: ClassVar[tuple[str, ...]] = ("views",)


@dataclass(frozen=True, kw_only=True)
class NPairLoss(SoftmaxLoss):
    """Multi-class N-pair: InfoNCE by dot product at temperature 1, with a penalty on the norms.

        loss_i = log(1 + sum_{j in F(i)} exp(s_ij - s_ip)) + l2 * (|x_i|^2 + |c_p|^2) / 2

    (Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", eq. 7 and section 3.2.2.)
    Without the penalty longer vectors alone lower the loss.

    Args:
        l2: weight of the mean squared norm of anchors and near candidates.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    l2: float = 0.0
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "log(1 + sum_far exp(s_ij - s_ip)) + l2 * mean squared norm"
    source: ClassVar[str] = "Sohn 2016"

    def __post_init__(self) -> None:
        check_from_zero(self, l2=self.l2)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return dot(contrast)

    def head(self, near: Near, far: Far) -> Terms:
        return Terms(near.mean(softplus(far.log_sum[:, None] - near.scores)), near.any)

    def pulls(self, near: Near, far: Far) -> tuple[Terms, Tensor, Tensor]:
        return each_against_far(near, far)

    def of_whole(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        value = super().of_whole(contrast, strip_rows)
        return value + self.l2 * self._mean_squared_norm(contrast) if self.l2 else value

    def _mean_squared_norm(self, contrast: Contrast) -> Tensor:
        places = near_places(contrast)
        # Numbered as one list: own candidates row by row, then the shared ones.
        of_anchors, norms = (wide(part).square().sum(-1) for part in (contrast.anchors, contrast.candidates))
        if contrast.own is not None:
            of_own = torch.cat([wide(part).square().sum(-1) for part in contrast.own], dim=1)
            norms = torch.cat([of_own.flatten(), norms])
        k, row = contrast.own_count, torch.arange(len(contrast), device=norms.device)[:, None]
        number = torch.where(places.columns < k, row * k, k * (len(contrast) - 1)) + places.columns
        near = Near(norms[number], places)
        terms = Terms((of_anchors + near.mean(near.scores)) / 2 * near.any, near.any)
        return reduced(terms, contrast, self.reduction)


@dataclass(frozen=True, kw_only=True)
class SupConLoss(SoftmaxLoss):
    """Supervised contrastive: every near candidate against all candidates, the mean outside the logarithm.

        loss_i = mean over p in P(i) of  -log( exp(s_ip/t) / sum_{a in P(i) or F(i)} exp(s_ia/t) )

    (Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2.) Unlike `InfoNCELoss`, near candidates compete
    with each other. Computed as softplus(far - near) + (near - mean), log-sums of the far and of the near ones.

    Args:
        temperature: divides the cosines.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    temperature: float = 0.1
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "mean_p -log( exp(cos_ip/t) / sum_{near or far} exp(cos_ia/t) )"
    source: ClassVar[str] = "Khosla et al. 2020"

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    @property
    def by_direction(self) -> bool:
        return True

    def space(self, contrast: Contrast) -> Space:
        return cosine(contrast, 1 / self.temperature)

    def head(self, near: Near, far: Far) -> Terms:
        log_near, spread = near.log_sum_and_spread(near.scores)
        return Terms((softplus(far.log_sum - log_near) + spread) * near.any, near.any)
