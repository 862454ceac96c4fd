"""What the softmax family shares: near scores against log-sums of exponentials of far ones, strip by strip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.execution import Terms, coarse, log_shares_, log_sums
from nearfar.objectives.base import RowLoss, reduced, slopes_of
from nearfar.objectives.near import Near, softplus


@dataclass(frozen=True)
class Far:
    """What the softmax family needs to know of the far candidates of some rows.

    Attributes:
        log_sums: ``(r,)`` for each of the objective's exponents e, log of the sum of exp(e * score) over the far
            candidates; -inf where there is none.
        count: ``(r,)``: far candidates of each row, if the objective `needs_count`; else empty.
    """

    log_sums: tuple[Tensor, ...]
    count: Tensor

    @property
    def log_sum(self) -> Tensor:
        """That of exponent 1."""
        return self.log_sums[0]


class SoftmaxLoss(RowLoss):
    """An equation over near scores and sums of exponentials of far ones, `head`; its gradient follows.

    The near candidates are taken out of the sum, ``log(1 + exp(far - near))``, so that 1 - p is never formed by a
    subtraction and the gradient stays right near convergence.
    """

    @property
    def exponents(self) -> tuple[float, ...]:
        """By what scores are multiplied for the sums that the equation wants."""
        return (1.0,)

    @property
    def needs_count(self) -> bool:
        """Whether the equation asks how many candidates are far."""
        return False

    def head(self, near: Near, far: Far) -> Terms:
        """The rows' terms: the equation."""
        raise NotImplementedError

    def of_whole(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        if not self._by_log_sums(contrast):
            return self.over_strips(contrast, strip_rows)
        space = self.space(contrast)
        sums = log_sums(contrast, space.tensors, space.make_scores, strip_rows)
        if coarse(sums.rows):
            return self.over_strips(contrast, strip_rows)
        far = Far((sums.rows,), sums.rows.new_empty(0))
        return reduced(self.head(Near(sums.near, sums.places), far), contrast, self.reduction)

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        near = Near.of_(scores, strip)
        count = strip.far_count(scores.shape[1]) if self.needs_count else scores.new_empty(0)
        if self.exponents == (1.0,):
            # The strip keeps its shares of the sum; what they weigh is the row's factor.
            terms, for_near, factor = self.pulls(near, Far((log_shares_(scores),), count))
            strip.near.put_(scores, for_near)
            return terms, factor
        parts = [exponent * scores for exponent in self.exponents]
        sums = tuple(log_shares_(part) for part in parts)
        terms, for_near, for_sums = self._slopes_of_head(near, sums, count)
        scores.zero_()
        for exponent, part, slope in zip(self.exponents, parts, for_sums, strict=True):
            scores.addcmul_(part, exponent * slope[:, None])
        strip.near.put_(scores, for_near)
        return terms, None

    def pulls(self, near: Near, far: Far) -> tuple[Terms, Tensor, Tensor]:
        """The terms, and the gradient of their sum: a factor ``(r,)``, and the near scores' ``(r, k)`` over it.

        The factor is the gradient of the far sum, of exponent 1. An equation may know both without autograd.
        """
        terms, for_near, (for_sum,) = self._slopes_of_head(near, far.log_sums, far.count)
        factor = torch.maximum(for_sum, 1e-20 * for_near.abs().amax(1))
        return terms, for_near / factor.masked_fill(factor == 0, 1)[:, None], factor

    def _slopes_of_head(
        self, near: Near, sums: tuple[Tensor, ...], count: Tensor
    ) -> tuple[Terms, Tensor, tuple[Tensor, ...]]:
        def head(leaf: Tensor, *leaves: Tensor) -> Terms:
            return self.head(Near(leaf, near.places), Far(leaves, count))

        terms, (for_near, *for_sums) = slopes_of(head, near.scores, *sums)
        return terms, for_near, tuple(for_sums)

    def _by_log_sums(self, contrast: Contrast) -> bool:
        """Whether two passes over half of the scores are cheaper than one over all."""
        plain = self.exponents == (1.0,) and not self.needs_count
        return plain and contrast.mirrored and contrast.near_width <= contrast.anchors.shape[1]


def each_against_far(near: Near, far: Far) -> tuple[Terms, Tensor, Tensor]:
    """`SoftmaxLoss.pulls` of the mean over near candidates of log(1 + exp(far - near))."""
    gap = far.log_sum[:, None] - near.scores
    slopes = gap.sigmoid()
    factor = near.sum(slopes)
    for_near = slopes / factor.clamp(min=torch.finfo(factor.dtype).tiny).neg_()[:, None]
    return Terms(near.mean(softplus(gap)), near.any), for_near, near.averaged(factor)
