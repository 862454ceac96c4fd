"""Own negatives mixed from an anchor's hardest far candidates (MoCHi)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.contrasts import Contrast
from nearfar.training.contrasting import Mix

HARDEST = 64
"""Far candidates of an anchor that are mixed."""


def mixer(count: int) -> Mix:
    """Mixes so many negatives an anchor, each between two of its hardest.

    Kalantidis et al. 2020, "Hard Negative Mixing for Contrastive Learning", eq. 3, as `mix_negatives`; but two
    candidates are drawn for each anchor before any is fetched, and what the contrast holds for near or ignores (a
    duplicate, what a guide filters) is not among them. Those of a queue are. None where an anchor has nothing far.
    """

    @torch.no_grad()
    def mix(contrast: Contrast) -> Tensor | None:
        candidates = normalize(contrast.candidates, dim=1)
        scores = normalize(contrast.anchors, dim=1) @ candidates.T
        strip = contrast.relation(slice(0, len(contrast)))
        for row, column in (strip.near.listed(), strip.ignored):
            scores[row, column] = -torch.inf
        best, place = scores.topk(min(HARDEST, scores.shape[1]), dim=1)
        far = (best > -torch.inf).sum(1, keepdim=True)
        if not bool(far.all()):
            return None
        lots = (torch.rand((len(scores), 2 * count)).to(far.device) * far).long().minimum(far - 1)
        first, second = candidates[place.gather(1, lots)].chunk(2, dim=1)
        share = torch.rand((len(scores), count, 1)).to(first)
        return normalize(share * first + (1 - share) * second, dim=-1)

    return mix
