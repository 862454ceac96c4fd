"""Equations that weigh near and far candidates by how well they lie already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Places, Strip
from nearfar.execution import Terms
from nearfar.objectives.base import ByAutograd, Reduction, check_choice, check_finite, check_from_zero, check_positive
from nearfar.objectives.near import Near, softplus
from nearfar.objectives.spaces import Space, cosine


@dataclass(frozen=True, kw_only=True)
class CircleLoss(ByAutograd):
    """Circle: each similarity is pulled or pushed the harder, the further it is from its optimum.

        loss_i = log(1 + sum_far exp(g a_n (s_n - m)) * sum_near exp(-g a_p (s_p - (1 - m))))
        a_n = max(0, s_n + m),  a_p = max(0, 1 + m - s_p), both without a gradient; cosine

    (Sun et al. 2020, "Circle Loss: A Unified Perspective of Pair Similarity Optimization", eq. 6 to 8.)

    Args:
        margin: m; near cosines strive for 1 + m, far ones for -m.
        scale: g.
        reduction: "mean" over anchors with near and far candidates, "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    margin: float = 0.25
    scale: float = 80.0
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "log(1 + sum_far exp(g a_n (s_n - m)) sum_near exp(-g a_p (s_p - 1 + m)))"
    source: ClassVar[str] = "Sun et al. 2020"

    def __post_init__(self) -> None:
        check_positive(self, scale=self.scale)
        check_from_zero(self, margin=self.margin)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    @property
    def by_direction(self) -> bool:
        return True

    def space(self, contrast: Contrast) -> Space:
        return cosine(contrast)

    def terms(self, scores: Tensor, strip: Strip) -> Terms:
        near = Near(strip.near.of(scores), strip.near)
        far = far_only(scores, strip)
        eager = (1 + self.margin - near.scores).clamp(min=0).detach()
        log_near = near.log_sum(-self.scale * eager * (near.scores - (1 - self.margin)))
        eager_far = (far + self.margin).clamp(min=0).detach()
        log_far = _log_sum(self.scale * eager_far * (far - self.margin), far)
        counts = near.any * (log_far.detach() > -torch.inf)
        return Terms(softplus(log_far + log_near) * counts, counts)


@dataclass(frozen=True, kw_only=True)
class MultiSimilarityLoss(ByAutograd):
    """Multi-similarity: near and far pairs are chosen and weighed by three kinds of similarity.

        loss_i = log(1 + sum_near exp(-a (s - b))) / a + log(1 + sum_far exp(c (s - b))) / c,  cosine

    over the far candidates with s > min near - e and the near ones with s < max far + e (Wang et al. 2019,
    "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", eq. 7, 8 and 11 to 13).

    Args:
        alpha: a, steepness for near pairs.
        beta: c, steepness for far pairs.
        base: b, the similarity from which on a pair counts.
        epsilon: e, how wide a net is cast for hard pairs; None takes all.
        reduction: "mean" over anchors with near and far candidates, "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    alpha: float = 2.0
    beta: float = 50.0
    base: float = 0.5
    epsilon: float | None = 0.1
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "log(1 + sum_near exp(-a(s - b)))/a + log(1 + sum_far exp(c(s - b)))/c"
    source: ClassVar[str] = "Wang et al. 2019"

    def __post_init__(self) -> None:
        check_positive(self, alpha=self.alpha, beta=self.beta)
        check_finite(self, base=self.base)
        if self.epsilon is not None:
            check_from_zero(self, epsilon=self.epsilon)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    @property
    def by_direction(self) -> bool:
        return True

    def space(self, contrast: Contrast) -> Space:
        return cosine(contrast)

    def terms(self, scores: Tensor, strip: Strip) -> Terms:
        near = Near(strip.near.of(scores), strip.near)
        far = far_only(scores, strip)
        furthest, nearest = -near.max(-near.scores), far.detach().amax(1)
        counts = near.any * (nearest > -torch.inf)
        if self.epsilon is not None:
            far = far.masked_fill(far.detach() <= (furthest - self.epsilon)[:, None], -torch.inf)
            hard = near.scores.detach() < (nearest + self.epsilon)[:, None]
            real = strip.near.real
            near = Near(near.scores, Places(strip.near.columns, hard if real is None else hard & real))
        near_side = softplus(near.log_sum(-self.alpha * (near.scores - self.base))) * near.any / self.alpha
        far_side = softplus(_log_sum(self.beta * (far - self.base), far)) / self.beta
        return Terms((near_side + far_side) * counts, counts)


def far_only(scores: Tensor, strip: Strip) -> Tensor:
    """The scores with -inf at the near entries too."""
    mask = torch.zeros_like(scores, dtype=torch.bool)
    strip.near.put_(mask, torch.ones_like(strip.near.columns, dtype=torch.bool))
    return scores.masked_fill(mask, -torch.inf)


def _log_sum(values: Tensor, far: Tensor) -> Tensor:
    """log sum exp over the far entries of each row; -inf, without a gradient, where there is none."""
    none = far.detach() == -torch.inf
    values = values.masked_fill(none, -torch.inf)
    alone = none.all(1)
    return torch.logsumexp(values.masked_fill(alone[:, None], 0), 1).masked_fill(alone, -torch.inf)
