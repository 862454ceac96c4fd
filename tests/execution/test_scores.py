"""Scores: which sides are one, and which entries are worked out again since a fast formula cancels there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import nearfar as nf

OBJECTIVES = {
    "infonce": nf.InfoNCELoss,
    "infonce-sum": lambda: nf.InfoNCELoss(reduction="sum"),
    "infonce-symmetric": lambda: nf.InfoNCELoss(symmetric=True),
    "spectral": nf.SpectralLoss,
    "contrastive": lambda: nf.ContrastiveLoss(margin=4.0),
    "triplet": nf.TripletLoss,
    "lifted": nf.LiftedStructuredLoss,
    "alignuniform": nf.AlignUniformLoss,
}

VIEWS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "itself": lambda square: (square, square),
    "transposed": lambda square: (square, square.T),
    "first half against every other": lambda square: (square[:3], square[::2]),
    "shifted": lambda square: (square[:4], square[2:]),
    "turned over": lambda square: (square[:3, :3], square.T[:3, :3]),
    "one row again": lambda square: (square[:1].expand(3, 6), square[:3]),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES)
def test_two_views_of_one_memory_are_two_sides(
    make: Callable[[], object], view: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> None:
    square = torch.randn(6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for copied in (False, True):
        leaf = square.clone().requires_grad_()
        first, second = (side.clone() if copied else side for side in view(leaf))
        loss = make()(nf.pairs(first, second))
        found.append((loss.detach(), *torch.autograd.grad(loss, leaf)))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=1e-12)
