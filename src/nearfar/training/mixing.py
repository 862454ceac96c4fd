"""Own negatives mixed from an anchor's hardest far positives in the batch (MoCHi)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.data.negatives.mixing import mix_negatives
from nearfar.training.contrasting import Mix

HARDEST = 64
"""Far candidates of an anchor that are mixed."""


def mixer(count: int) -> Mix:
    """Mixes so many negatives an anchor, each between two of its hardest, as `mix_negatives` does."""

    @torch.no_grad()
    def mix(anchors: Tensor, positives: Tensor, groups: Tensor, negatives: Tensor | None) -> Tensor | None:
        candidates = normalize(positives if negatives is None else torch.cat([positives, negatives]), dim=1)
        scores = normalize(anchors, dim=1) @ candidates.T
        near = groups[:, None] == groups
        scores[:, : len(anchors)].masked_fill_(near.to(scores.device), -torch.inf)
        best, place = scores.topk(min(HARDEST, scores.shape[1]), dim=1)
        if bool((best[:, 0] == -torch.inf).any()):  # a batch of one group: an anchor has nothing to be mixed of
            return None
        place = place.where(best > -torch.inf, place[:, :1])  # where fewer are far, the hardest stands in
        return mix_negatives(anchors, candidates[place], mixed=count, hardest=HARDEST)

    return mix
