"""Scores: which sides are one, and which entries are worked out again since a fast formula cancels there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

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


class Picked(TorchDispatchMode):
    """Counts the numbers in rows that are picked out of a tensor one by one."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket.__name__ == "index" and result.dim() == 2:
            self.count += result.numel()
        return result


DISTANCES = {
    "contrastive": lambda: nf.ContrastiveLoss(margin=4.0),
    "softnn": lambda: nf.SoftNearestNeighborsLoss(temperature=10.0),
    "lifted": nf.LiftedStructuredLoss,
}


@pytest.mark.parametrize("length", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("make", DISTANCES.values(), ids=DISTANCES)
def test_one_huge_row_makes_no_other_entry_close(make: Callable[[], object], length: float) -> None:
    """Entries whose distance is worked out again are slow: which they are is for their own two rows to say."""
    rows = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    picked = []
    for factor in (1.0, length):
        leaf = torch.cat([rows[:1] * factor, rows[1:]]).requires_grad_()
        with Picked() as count:
            make()(nf.labelled(leaf, torch.arange(64) // 2)).backward()
        picked.append(count.count)
    assert picked[1] <= picked[0] + leaf.numel()  # of 64 times as many entries


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("length", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("make", [nf.ContrastiveLoss, nf.LiftedStructuredLoss])
def test_close_rows_keep_their_distances_beside_huge_ones_and_far_from_the_origin(
    make: Callable[..., object], length: float, offset: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    anchors = torch.randn(40, 16, generator=draw)
    positives = anchors + 1e-2 * torch.randn(40, 16, generator=draw)
    anchors, positives = anchors + offset, positives + offset
    anchors[3] *= length
    positives[17] *= length
    found, exact = [], []
    for dtype, into in ((torch.float32, found), (torch.float64, exact)):
        leaves = [side.to(dtype).requires_grad_() for side in (anchors, positives)]
        loss = make(margin=4.0, reduction="none")(nf.pairs(*leaves))
        into += [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]
    for ours, wanted in zip(found, exact, strict=True):
        for one, other in zip(ours.double(), wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * max(1e-2, other.abs().max().item()))


@pytest.mark.parametrize("make", [nf.InfoNCELoss, lambda: nf.ContrastiveLoss(margin=4.0)])
def test_the_first_rows_of_a_table_are_not_the_table(make: Callable[[], object]) -> None:
    table = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assignment = torch.tensor([4, 0, 1])
    found = make()(nf.assigned(table[:3], table, assignment))
    torch.testing.assert_close(found, make()(nf.assigned(table[:3].clone(), table.clone(), assignment)))
