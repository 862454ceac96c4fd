"""Noise: tell the near candidate from samples of noise, each by a decision of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor, nn

from nearfar.contrasts import Contrast, Strip
from nearfar.objectives.base import Reduction, check_choice, check_finite, check_flag, check_positive
from nearfar.objectives.near import Near, softplus
from nearfar.objectives.pairwise import PairwiseLoss, Share
from nearfar.objectives.spaces import Space, cosine, dot, shifted, wide


class LogisticLoss(PairwiseLoss):
    """-log sigma(s) for near scores, -log sigma(-s) for far ones."""

    def pull_(self, scores: Tensor) -> Tensor:
        terms = softplus(scores.neg_())
        scores.sigmoid_().neg_()
        return terms

    def push_(self, scores: Tensor) -> Tensor:
        # -sum log(1 - p) of four scores at a time is -log(1 - q), where 1 - q, their product, is not small: a quarter
        # of the logarithms.
        columns = scores.shape[1]
        fours = columns - columns % 4 if scores.amax() <= 1 else 0
        total = softplus(scores[:, fours:]).sum(1)
        scores.sigmoid_()
        if fours:
            p = scores[:, :fours].chunk(4, dim=1)
            total -= torch.log1p(_either(_either(p[0], p[1]), _either(p[2], p[3])).neg_()).sum(1)
        return total


@dataclass(frozen=True, kw_only=True)
class NEGLoss(LogisticLoss):
    """Negative sampling: the skip-gram objective of word2vec.

        loss_i = -log sigma(s_ip) - sum_{j in F(i)} log sigma(-s_ij),  dot products

    (Mikolov et al. 2013, "Distributed Representations of Words and Phrases and their Compositionality", eq. 4.) With
    several near candidates their terms are averaged. It is `NCELoss` where k p_n is 1, and no estimator of a
    probability (Dyer 2014).

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log sigma(s_ip) - sum_far log sigma(-s_ij)"
    source: ClassVar[str] = "Mikolov et al. 2013"

    def __post_init__(self) -> None:
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        return dot(contrast)


@dataclass(frozen=True, kw_only=True)
class NCELoss(LogisticLoss):
    """Noise-contrastive estimation: tell data from k noise samples whose distribution is known.

        loss_i = -log sigma(s_ip - log(k p_n(p))) - sum_{noise j} log sigma(-(s_ij - log(k p_n(j)))),  dot products

    (Gutmann & Hyvarinen 2010, eq. 3; with k samples a datum: Mnih & Teh 2012, eq. 8.) The score then tends to the
    log-probability of the data, with the normaliser 1. Made for `nearfar.sampled` with the log-probabilities given;
    k is the number of noise samples that an anchor sees. Vectors of length 1 cannot score so low as the log-probability
    of most texts is: give them a factor, or expect little.

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range, or the contrast holds no log-probabilities of the noise.
    """

    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log sigma(s_ip - log k p_n(p)) - sum_noise log sigma(-(s_ij - log k p_n(j)))"
    source: ClassVar[str] = "Gutmann & Hyvarinen 2010"
    contrasts: ClassVar[tuple[str, ...]] = ("sampled",)

    def __post_init__(self) -> None:
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        told = near.any * (strip.far_count(columns) > 0)  # where nothing was drawn there is nothing to tell apart
        return near.share * told, told, told

    def space(self, contrast: Contrast) -> Space:
        if contrast.log_noise is None:
            raise ValueError(
                "log_noise: found None, wanted the log-probabilities of positives and noise (without them: NEGLoss)"
            )
        log_draws = math.log(max(contrast.columns - 1, 1))  # of all but the positive
        of_own, of_shared = (-(wide(log) + log_draws) for log in contrast.log_noise)
        return shifted(dot(contrast), 1.0, of_shared, of_own)


class SigmoidLoss(nn.Module, LogisticLoss):
    """Sigmoid (SigLIP): every pair is near or far by a decision of its own, with a learnt scale and bias.

        loss_i = sum_j -log sigma(z_ij (scale cos_ij + bias)),  z = 1 where near, -1 where far; the mean over anchors

    (Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", eq. 1.) A module: its parameters `log_scale` and
    `bias` belong in the optimiser. The bias starts low since far pairs outnumber near ones.

    Args:
        scale: first factor of the cosine.
        bias: first bias.
        learnable: whether both get gradients.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    equation: ClassVar[str] = "sum_j -log sigma(+-(scale cos_ij + bias)), + where near"
    source: ClassVar[str] = "Zhai et al. 2023"

    def __init__(
        self, *, scale: float = 10.0, bias: float = -10.0, learnable: bool = True, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        check_positive(self, scale=scale)
        check_finite(self, bias=bias)
        check_flag(self, learnable=learnable)
        check_choice(self, reduction=(reduction, get_args(Reduction)))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learnable)
        self.bias = nn.Parameter(torch.tensor(float(bias)), requires_grad=learnable)
        self.reduction: Reduction = reduction

    def forward(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        """The loss of a contrast, see `RowLoss.__call__`."""
        return LogisticLoss.__call__(self, contrast, strip_rows=strip_rows)

    @property
    def by_direction(self) -> bool:
        return True

    def space(self, contrast: Contrast) -> Space:
        # In the scores' own dtype, for float64 embeddings too: a root of the scale is rounded no more than a score.
        like = wide(contrast.anchors.detach()[:0])
        return shifted(cosine(contrast, self.log_scale.to(like).exp()), self.bias.to(like), 1.0, 1.0)

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        return 1.0, 1.0, (strip.seen_count(columns) > 0).to(near.scores.dtype)


def _either(p: Tensor, q: Tensor) -> Tensor:
    """1 - (1 - p) (1 - q), without a small one lost to rounding: p, and q of the way from there to 1."""
    return torch.lerp(p, p.new_ones(()), q)
