"""Equations in which each near and each far candidate has a term of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.contrasts import Strip
from nearfar.execution import Terms, blocks
from nearfar.objectives.base import RowLoss, slopes_of
from nearfar.objectives.near import Near


class PairwiseLoss(RowLoss):
    """A term for each near score (`pull`) and each far one (`push_`), and how a row's are put together (`terms`)."""

    def pull(self, scores: Tensor) -> Tensor:
        """Terms ``(r, k)`` of near scores, under autograd."""
        raise NotImplementedError

    def push_(self, scores: Tensor) -> Tensor:
        """Sums ``(r,)`` of the far terms of each row, the scores overwritten by the slopes of the terms.

        An entry of -inf is not far: it has neither a term nor a slope.
        """
        raise NotImplementedError

    def terms(self, near: Near, pulled: Tensor, pushed: Tensor, far: Tensor) -> Terms:
        """The rows' terms from the near terms ``(r, k)``, the sums of the far ones and how many are far, ``(r,)``.

        Both enter linearly.
        """
        return Terms((near.mean(pulled) + pushed) * near.any, near.any)

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        near, far = Near.of_(scores, strip), strip.far_count(scores.shape[1])
        pushed = torch.cat([self.push_(block) for block in blocks(scores)])
        terms, (for_near, for_far) = slopes_of(
            lambda leaf, total: self.terms(Near(leaf, near.places), self.pull(leaf), total, far), near.scores, pushed
        )
        if bool((for_far != 1).any()):  # what a far term counts in its row
            scores.mul_(for_far[:, None])
        strip.near.put_(scores, for_near)
        return terms, None
