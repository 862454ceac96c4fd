"""A gather that scales gradients by 1 / ranks or wants ranks of one size: three processes, each with its own rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

import nearfar as nf
from tests.objectives.ranks import run

SIZES = (3, 1, 4)
"""Rows of each rank."""

OBJECTIVES = {
    "infonce": ("pairs", nf.InfoNCELoss),
    "infonce-symmetric": ("pairs", lambda: nf.InfoNCELoss(symmetric=True)),
    "infonce-sum": ("pairs", lambda: nf.InfoNCELoss(reduction="sum")),
    "ntxent": ("views", nf.NTXentLoss),
    "supcon": ("labelled", nf.SupConLoss),
    "softnn": ("labelled", nf.SoftNearestNeighborsLoss),
    "triplet": ("labelled", nf.TripletLoss),
    "lifted": ("labelled", nf.LiftedStructuredLoss),
    "lifted-pairs": ("pairs", nf.LiftedStructuredLoss),
    "contrastive": ("pairs", nf.ContrastiveLoss),
    "triplets": ("triplets", nf.TripletLoss),
    "alignuniform": ("views", nf.AlignUniformLoss),
}


def rows_of(rank: int | None) -> tuple[Tensor, ...]:
    """Three sides and labels: a rank's rows, or everybody's; labels cross ranks."""
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randn(sum(SIZES), 5, generator=draw, dtype=torch.float64) for _ in range(3)]
    parts = [*sides, torch.tensor([0, 1, 1, 0, 2, 0, 2, 1])]
    if rank is None:
        return tuple(parts)
    return tuple(part.split(SIZES)[rank].clone() for part in parts)


Found = tuple[float, list[Tensor]]


def loss_and_gradients(rank: int | None, name: str) -> Found:
    """The loss and its gradients to a rank's rows."""
    kind, make = OBJECTIVES[name]
    *sides, labels = rows_of(rank)
    leaves = [side.requires_grad_() for side in sides]
    if kind == "labelled":
        contrast = nf.labelled(leaves[0], labels)
    else:
        contrast = getattr(nf, kind)(*leaves[: 3 if kind == "triplets" else 2])
    with nf.execution(group=None if rank is None else dist.group.WORLD):
        loss = make()(contrast)
    loss.backward()
    return loss.item(), [leaf.grad for leaf in leaves if leaf.grad is not None]


def every_objective(rank: int) -> dict[str, Found | str]:
    """For each objective what it gives, or its error: one objective's failure is no other's."""
    found: dict[str, Found | str] = {}
    for name in OBJECTIVES:
        try:
            found[name] = loss_and_gradients(rank, name)
        except Exception as error:
            found[name] = repr(error)
    return found


@pytest.fixture(scope="module")
def by_rank(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Found | str]]:
    return run(every_objective, len(SIZES), Path(tmp_path_factory.mktemp("ranks")))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_rank_has_the_loss_and_its_own_rows_gradient_of_one_process(name: str, by_rank: list) -> None:
    loss, whole = loss_and_gradients(None, name)
    for rank, found in enumerate(by_rank):
        assert not isinstance(found[name], str), found[name]
        own_loss, gradients = found[name]
        assert own_loss == pytest.approx(loss, abs=1e-12)
        for gradient, wanted in zip(gradients, whole, strict=True):
            torch.testing.assert_close(gradient, wanted.split(SIZES)[rank], rtol=1e-9, atol=1e-12)
