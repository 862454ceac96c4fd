"""Equations in which each near and each far candidate has a term of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.contrasts import Strip
from nearfar.execution import Terms, blocks
from nearfar.objectives.base import RowLoss
from nearfar.objectives.near import Near

Share = Tensor | float


class PairwiseLoss(RowLoss):
    """A term for each near score (`pull_`) and each far one (`push_`), and what they count in their row (`shares`)."""

    def pull_(self, scores: Tensor) -> Tensor:
        """Terms ``(r, k)``, with memory of their own, of near scores, which are overwritten by the terms' slopes."""
        raise NotImplementedError

    def push_(self, scores: Tensor) -> Tensor:
        """Sums ``(r,)`` of the far terms of each row, the scores overwritten by the slopes of the terms.

        An entry of -inf is not far: it has neither a term nor a slope.
        """
        raise NotImplementedError

    def shares(self, near: Near, strip: Strip, columns: int) -> tuple[Share, Share, Tensor]:
        """What a near term counts in its row's total, what a far one does, and what the row counts in the mean.

        Each is ``(r,)``, or a number for all rows. Here: the mean of near terms and the sum of far ones, of rows that
        have a near candidate.

        Args:
            near: the near candidates.
            strip: the relation.
            columns: how many candidates a row has.
        """
        return near.share, 1.0 if near.places.real is None else near.any, near.any

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        near = Near.of_(scores, strip)
        parts = [self.push_(block) for block in blocks(scores)]
        pushed = parts[0] if len(parts) == 1 else torch.cat(parts)
        slopes = near.scores
        pulled = near.sum(self.pull_(slopes))
        of_near, of_far, weight = self.shares(near, strip, scores.shape[1])
        _weigh_(pulled, slopes, of_near)
        _weigh_(pushed, scores, of_far)
        strip.near.put_(scores, slopes)
        return Terms(pulled.add_(pushed), weight), None


def _weigh_(terms: Tensor, slopes: Tensor, share: Share) -> None:
    if isinstance(share, Tensor):
        terms.mul_(share)
        slopes.mul_(share[:, None])
    elif share != 1.0:
        terms.mul_(share)
        slopes.mul_(share)
