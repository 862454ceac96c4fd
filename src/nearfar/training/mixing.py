"""Negatives mixed in embedding space from what is hardest in a batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.contrasts import Contrast
from nearfar.data.negatives.mixing import between, draw_hardest
from nearfar.training.contrasting import Mix


def mixer(count: int) -> Mix:
    """Mixes so many negatives an anchor, each between two of its hardest, as `mix_negatives`.

    What the contrast holds for near or ignores (a duplicate, what a guide filters) is not among them; what is in a
    queue is. None where an anchor has nothing far.
    """

    @torch.no_grad()
    def mix(contrast: Contrast) -> Tensor | None:
        candidates = normalize(contrast.candidates, dim=1)
        scores = normalize(contrast.anchors, dim=1) @ candidates.T
        strip = contrast.relation(slice(0, len(contrast)))
        for row, column in (strip.near.listed(), strip.ignored):
            scores[row, column] = -torch.inf
        if not bool((scores > -torch.inf).any(1).all()):
            return None
        first, second = candidates[draw_hardest(scores, 2 * count)].chunk(2, dim=1)
        return between(first, second)

    return mix
