"""Graded: nearness by a person's or a teacher's score instead of yes and no."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from nearfar.contrasts import Contrast, Strip
from nearfar.execution import Terms
from nearfar.objectives.base import Reduction, RowLoss, check_choice, check_positive, finite_loss, prepared
from nearfar.objectives.near import softplus
from nearfar.objectives.spaces import Space, dot, unit, wide


@dataclass(frozen=True, kw_only=True)
class CoSENTLoss:
    """CoSENT: whichever pair is scored higher should have the higher cosine.

        loss = log(1 + sum over pairs i, j with score_i > score_j of exp((cos_j - cos_i) / t))

    (Su 2022, "CoSENT", https://kexue.fm/archives/8847.) One number for the batch. The sum over pairs of pairs is worked
    out in O(N log N) by cumulative sums along the sorted scores.

    Args:
        temperature: divides the cosines.

    Raises:
        ValueError: an argument is out of range.
    """

    temperature: float = 0.05

    equation: ClassVar[str] = "log(1 + sum_{score_i > score_j} exp((cos_j - cos_i)/t))"
    source: ClassVar[str] = "Su 2022"
    contrasts: ClassVar[tuple[str, ...]] = ("graded",)
    reduction: ClassVar[Reduction] = "mean"
    by_direction: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """Similarity ``(N, k)`` of ``(N, 1, d)`` and ``(N, k, d)``."""
        return (unit(first) * unit(second)).sum(-1)

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        """The loss of a contrast; `strip_rows` changes nothing here."""
        return finite_loss(self, self._of_whole(prepared(self, contrast)))

    def _of_whole(self, contrast: Contrast) -> Tensor:
        anchors, own, scores = graded_parts(contrast)
        similar = torch.cat([self.similarity(anchors[:, None], part) for part in own], dim=1)
        similar, scores = (similar / self.temperature).flatten(), scores.flatten()
        if contrast.weights is None:
            return _log_one_plus_inversions(similar, -similar, scores)
        weight = contrast.weights.to(similar).repeat_interleave(contrast.own_count)
        some = weight > 0  # the log of 0 has no gradient
        similar, log_weight = similar[some], weight[some].log()
        return _log_one_plus_inversions(similar + log_weight, log_weight - similar, scores[some])


@dataclass(frozen=True, kw_only=True)
class AnglELoss(CoSENTLoss):
    """AnglE: CoSENT by the angle between embeddings read as complex vectors, where cosines saturate.

    The similarity of x and y, halves read as real and imaginary parts, is the absolute value of the sum of the real and
    imaginary parts of x / y, each divided by the ratio of the norms (Li & Li 2023, "AnglE-optimized Text Embeddings",
    eq. 5 to 7, as in the authors' code and in sentence-transformers).

    Args:
        temperature: divides the similarities.

    Raises:
        ValueError: an argument is out of range.
    """

    equation: ClassVar[str] = "CoSENT with |sum of re and im of x / y| for the cosine"
    source: ClassVar[str] = "Li & Li 2023"

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = _halves(unit(first))
        c, d = _halves(unit(second))
        return (a * (c - d) + b * (c + d)).sum(-1).abs()


@dataclass(frozen=True, kw_only=True)
class MarginMSELoss(RowLoss):
    """Margin-MSE: differences of scores as a teacher has them.

        loss_i = mean over b of ((s_i1 - s_ib) - (t_i1 - t_ib))^2,  b = 2 .. k, dot products

    over candidates of which the first is the positive (Hofstatter et al. 2020, "Improving Efficient Neural Ranking
    Models with Cross-Architecture Knowledge Distillation", eq. 9).

    Args:
        reduction: "mean" over the differences, "sum", or "none": each anchor's sum.

    Raises:
        ValueError: an argument is out of range, or there is but one candidate a row.
    """

    reduction: Reduction = "mean"

    equation: ClassVar[str] = "((s_1 - s_b) - (t_1 - t_b))^2"
    source: ClassVar[str] = "Hofstatter et al. 2020"
    contrasts: ClassVar[tuple[str, ...]] = ("graded",)

    def __post_init__(self) -> None:
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def space(self, contrast: Contrast) -> Space:
        if contrast.own_count < 2:
            raise ValueError("MarginMSELoss: second: found one candidate a row, wanted (N, k, d) with k from 2 up")
        assert contrast.scores is not None
        return dot(contrast, less=contrast.scores)

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        gaps = scores[:, :1] - scores[:, 1:]
        total = torch.linalg.vecdot(gaps, gaps)
        torch.mul(gaps, -2, out=scores[:, 1:])
        torch.sum(2 * gaps, 1, out=scores[:, 0])
        return Terms(total, torch.full_like(total, gaps.shape[1])), None


def graded_parts(contrast: Contrast) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
    """Anchors, the parts of own candidates and their scores, in float32 at least."""
    assert contrast.own is not None
    assert contrast.scores is not None
    anchors = wide(contrast.anchors)
    return anchors, tuple(wide(part) for part in contrast.own), contrast.scores.to(anchors)


def _halves(rows: Tensor) -> tuple[Tensor, ...]:
    """Real and imaginary parts; an odd width lacks its last imaginary part, which is 0."""
    return (pad(rows, (0, 1)) if rows.shape[-1] % 2 else rows).chunk(2, dim=-1)


def _log_one_plus_inversions(lower: Tensor, higher: Tensor, scores: Tensor) -> Tensor:
    """log(1 + sum of exp(lower_j + higher_i) over the pairs with score_i > score_j)."""
    scores, order = scores.sort()
    below = torch.searchsorted(scores, scores)  # how many are scored lower
    least = int((below == 0).sum())  # how many have the lowest score
    if least == len(scores):
        return (lower + higher).sum() * 0
    sums = torch.logcumsumexp(lower[order], 0)[below[least:] - 1]
    return softplus(torch.logsumexp(sums + higher[order[least:]], 0))
