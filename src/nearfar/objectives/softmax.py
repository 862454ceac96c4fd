"""The softmax family: a near candidate against itself and everything far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nearfar.contrasts import Contrast, Strip
from nearfar.execution import Terms, row_terms, total_loss
from nearfar.objectives.base import Reduction, Similarity, check_choice, check_positive


@dataclass(frozen=True, kw_only=True)
class InfoNCELoss:
    """InfoNCE: tell the near candidate from the far ones by a softmax over their scores.

    For anchor i with near candidates ``P(i)`` and far ones ``F(i)``, scores ``s`` and temperature ``t``,

        loss_i = mean over p in P(i) of  -log( exp(s_ip/t) / (exp(s_ip/t) + sum_{j in F(i)} exp(s_ij/t)) )

    averaged over the anchors that have a near candidate (van den Oord, Li & Vinyals 2018, "Representation
    Learning with Contrastive Predictive Coding", eq. 4; there the score is log-bilinear, without a
    temperature). Uniform scores give exactly log(1 + |F(i)|).

    It is computed as softplus(logsumexp_far - s_near), so that 1 - p is never formed by a subtraction
    and the gradient stays right near convergence.

    Args:
        temperature: divides the scores; smaller looks harder at the nearest far candidates.
        similarity: "cosine" or "dot".
        symmetric: average with the same loss from the candidates' side (CLIP, Radford et al. 2021).
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import torch, nearfar as nf
        >>> x = torch.eye(4)
        >>> nf.InfoNCELoss(temperature=1.0)(nf.pairs(x, x)).item()  # log(e + 3) - 1
        0.7436...
    """

    temperature: float = 0.05
    similarity: Similarity = "cosine"
    symmetric: bool = False
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log( exp(s_ip/t) / sum_{j near p or far} exp(s_ij/t) )"
    source: ClassVar[str] = "van den Oord et al. 2018"
    contrasts: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_choice(self, "similarity", self.similarity, get_args(Similarity))
        check_choice(self, "reduction", self.reduction, get_args(Reduction))

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        value = softmax_loss(contrast, self.temperature, self.similarity, self.reduction, strip_rows)
        if not self.symmetric or contrast.transpose is None:
            return value
        other = softmax_loss(contrast.transpose(), self.temperature, self.similarity, self.reduction, strip_rows)
        return (value + other) / 2


@dataclass(frozen=True, kw_only=True)
class NTXentLoss:
    """NT-Xent: InfoNCE by cosine over two views of each item, all 2N of them anchored in turn.

        l_ij = -log( exp(cos(z_i, z_j)/t) / sum_{k != i} exp(cos(z_i, z_k)/t) ),  L = mean over the 2N anchors

    (Chen et al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations", eq. 1. The
    authors' code returns twice this value.) Use it over `nearfar.views`.

    Args:
        temperature: divides the cosines.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range, or the contrast is not one of views.
    """

    temperature: float = 0.5
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log( exp(cos_ij/t) / sum_{k != i} exp(cos_ik/t) ), both views anchored"
    source: ClassVar[str] = "Chen et al. 2020"
    contrasts: ClassVar[tuple[str, ...]] = ("views",)

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_choice(self, "reduction", self.reduction, get_args(Reduction))

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        if contrast.kind not in self.contrasts:
            raise ValueError(
                f"NTXentLoss: found a contrast of {contrast.kind}, wanted nearfar.views (for others: InfoNCELoss)"
            )
        return softmax_loss(contrast, self.temperature, "cosine", self.reduction, strip_rows)


def softmax_loss(
    contrast: Contrast,
    temperature: float,
    similarity: Similarity,
    reduction: Reduction,
    strip_rows: int | None = None,
) -> Tensor:
    """The softmax family's loss over any contrast; the classes name its settings."""
    anchors, candidates = contrast.anchors, contrast.candidates
    wide = torch.promote_types(anchors.dtype, torch.float32)  # half precision is summed in float32
    prepared = _prepared(anchors.to(wide), similarity)
    # In views and labelled both sides are one tensor, which is prepared once.
    candidates = prepared if candidates is anchors else _prepared(candidates.to(wide), similarity)
    anchors = prepared / temperature
    with torch.autocast(anchors.device.type, enabled=False):
        if reduction == "mean":
            return total_loss(_Softmax(), contrast, anchors, candidates, strip_rows)
        rows = row_terms(_Softmax(), contrast, anchors, candidates, strip_rows).total
        return rows.sum() if reduction == "sum" else rows


def _prepared(rows: Tensor, similarity: Similarity) -> Tensor:
    """Rows whose dot products are the similarities; by cosine of length 1, where a zero row keeps gradient 0."""
    if similarity == "dot":
        return rows
    unit: Tensor = _Unit.apply(rows)  # type: ignore[no-untyped-call]
    return unit


class _Unit(torch.autograd.Function):
    """rows / |rows| and its gradient (g - u <u, g>) / |rows| in as few passes over memory as that takes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        inverse = length.reciprocal_().masked_fill_(length == torch.inf, 0)
        unit: Tensor = rows * inverse
        ctx.save_for_backward(unit, inverse)
        return unit

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        unit, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(unit, upstream)[:, None]
        gradient: Tensor = torch.addcmul(upstream, unit, along, value=-1) * inverse
        return gradient


class _Softmax:
    """softplus(logsumexp over far - s_near), the mean over a row's near candidates."""

    def terms(self, scores: Tensor, strip: Strip) -> Terms:
        row, column = strip.near
        near = scores[row, column]
        far = torch.logsumexp(_only_far(scores.clone(), strip), dim=1)
        # A row without a far candidate has -inf here, whose softplus and gradient are exactly 0.
        far = far.nan_to_num(neginf=torch.finfo(far.dtype).min)
        count = torch.bincount(row, minlength=len(scores))
        pull = _softplus(far[row] - near)
        total = pull.new_zeros(len(scores)).index_add(0, row, pull) / count.clamp(min=1)
        return Terms(total, (count > 0).to(total.dtype))

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
        row, column = strip.near
        near = scores[row, column]
        top, place = _only_far(scores, strip).max(dim=1)
        torch.softmax(scores, dim=1, out=scores)  # one fused pass; far entries hold their share of the far
        alone = top == -torch.inf
        if alone.any():  # nothing is far
            scores[alone] = 0
        mass = scores.gather(1, place[:, None])[:, 0]  # of the nearest, at least 1 / M, so that its log is safe
        gap = (top[row] - near) - mass.log()[row].masked_fill(alone[row], 0)
        count = torch.bincount(row, minlength=len(scores))
        share = 1 / count.clamp(min=1)
        zeros = mass.new_zeros(len(scores))
        miss = torch.sigmoid(gap) * share[row]  # 1 - p, never formed by subtracting
        missed = zeros.index_add(0, row, miss)
        # A row's gradient is `missed` times its far shares, and -miss at its near entries.
        scores[row, column] = -miss / missed[row].clamp(min=torch.finfo(mass.dtype).tiny)
        total = zeros.index_add(0, row, _softplus(gap) * share[row])
        return Terms(total, (count > 0).to(total.dtype)), missed


def _softplus(gap: Tensor) -> Tensor:
    """log(1 + exp(gap)), exact everywhere; torch's own softplus turns linear at 20."""
    return -logsigmoid(-gap)


def _only_far(scores: Tensor, strip: Strip) -> Tensor:
    for index in (strip.near, strip.ignored):
        if len(index[0]):
            scores[index] = -torch.inf
    return scores
