"""A gather that scales gradients by 1 / ranks or wants ranks of one size: three processes, each with its own rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

import nearfar as nf
from nearfar.objectives import REGISTRY
from tests.ranks import run

SIZES = ((3, 1, 4), (5, 3))
"""Rows of each rank, for three ranks and for two."""

OBJECTIVES = {
    "infonce": ("pairs", nf.InfoNCELoss),
    "infonce-symmetric": ("pairs", lambda: nf.InfoNCELoss(symmetric=True)),
    "infonce-sum": ("pairs", lambda: nf.InfoNCELoss(reduction="sum")),
    "infonce-negatives": ("pairs-negatives", lambda: nf.InfoNCELoss(debias=0.1, hardness=0.5, temperature=0.5)),
    "infonce-options": ("pairs-options", nf.InfoNCELoss),
    "infonce-options-symmetric": ("pairs-options", lambda: nf.InfoNCELoss(symmetric=True)),
    "ntxent": ("views", nf.NTXentLoss),
    "npair": ("pairs", lambda: nf.NPairLoss(l2=0.1)),
    "supcon": ("labelled", nf.SupConLoss),
    "softnn": ("labelled", nf.SoftNearestNeighborsLoss),
    "triplet": ("labelled", nf.TripletLoss),
    "triplet-hard": ("labelled", lambda: nf.TripletLoss(mining="hard", distance="euclidean", margin=2.0)),
    "triplet-semihard": ("labelled", lambda: nf.TripletLoss(mining="semihard", average="active")),
    "lifted": ("labelled", nf.LiftedStructuredLoss),
    "lifted-pairs": ("pairs", nf.LiftedStructuredLoss),
    "contrastive": ("pairs", lambda: nf.ContrastiveLoss(margin=4.0)),
    "contrastive-judged": ("judged", lambda: nf.ContrastiveLoss(margin=4.0)),
    "triplets": ("triplets", nf.TripletLoss),
    "neg": ("sampled", nf.NEGLoss),
    "nce": ("sampled", nf.NCELoss),
    "sigmoid": ("pairs", lambda: nf.SigmoidLoss().double()),
    "spectral": ("views", nf.SpectralLoss),
    "alignuniform": ("views", nf.AlignUniformLoss),
    "circle": ("labelled", nf.CircleLoss),
    "multisimilarity": ("labelled", nf.MultiSimilarityLoss),
    "cosent": ("graded", nf.CoSENTLoss),
    "angle": ("graded", nf.AnglELoss),
    "marginmse": ("graded-many", nf.MarginMSELoss),
    "prototype": ("labelled", nf.PrototypeLoss),
    "prototype-assigned": ("assigned", nf.PrototypeLoss),
    "matryoshka": ("views", lambda: nf.Matryoshka(nf.NTXentLoss(), dims=[2, 5])),
}

CONTRASTS = {
    "pairs": lambda x, y, z, ids: nf.pairs(x, y),
    "pairs-negatives": lambda x, y, z, ids: nf.pairs(x, y, z),
    "pairs-options": lambda x, y, z, ids: nf.pairs(
        x, y, groups=ids, guide=(y.detach(), z.detach()), guide_margin=0.1, queue=z, weights=1.0 + ids
    ),
    "views": lambda x, y, z, ids: nf.views(x, y),
    "labelled": lambda x, y, z, ids: nf.labelled(x, ids),
    "triplets": lambda x, y, z, ids: nf.triplets(x, y, z),
    "judged": lambda x, y, z, ids: nf.judged(x, y, ids == 1, weights=1.0 + ids),
    "sampled": lambda x, y, z, ids: nf.sampled(x, y, z, -1.0 - ids, -2.0 - ids),
    "graded": lambda x, y, z, ids: nf.graded(x, y, ids + z[:, 0].detach()),
    "graded-many": lambda x, y, z, ids: nf.graded(x, torch.stack([y, z], dim=1), torch.stack([ids, -ids], dim=1) / 2),
    "assigned": lambda x, y, z, ids: nf.assigned(x, CENTRES, ids),
}
CENTRES = torch.linspace(-1, 2, 15, dtype=torch.float64).reshape(3, 5)


def test_every_objective_is_tried() -> None:
    assert {type(make()) for _, make in OBJECTIVES.values()} == {*REGISTRY.values(), nf.Matryoshka}


def rows_of(rank: int | None, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Three sides and labels: a rank's rows, or everybody's; labels cross ranks."""
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randn(sum(sizes), 5, generator=draw, dtype=torch.float64) for _ in range(3)]
    parts = [*sides, torch.tensor([0, 1, 1, 0, 2, 0, 2, 1])]
    if rank is None:
        return tuple(parts)
    return tuple(part.split(sizes)[rank].clone() for part in parts)


Found = tuple[float, list[Tensor]]


def loss_and_gradients(rank: int | None, name: str, sizes: tuple[int, ...]) -> Found:
    """The loss and its gradients to a rank's rows."""
    kind, make = OBJECTIVES[name]
    *sides, labels = rows_of(rank, sizes)
    leaves = [side.requires_grad_() for side in sides]
    contrast = CONTRASTS[kind](*leaves, labels)
    with nf.execution(group=None if rank is None else dist.group.WORLD):
        loss = make()(contrast)
    loss.backward()
    return loss.item(), [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]


def every_objective(sizes: tuple[int, ...], rank: int) -> dict[str, Found | str]:
    """For each objective what it gives, or its error: one objective's failure is no other's."""
    found: dict[str, Found | str] = {}
    for name in OBJECTIVES:
        try:
            found[name] = loss_and_gradients(rank, name, sizes)
        except Exception as error:
            found[name] = repr(error)
    return found


Ranks = tuple[tuple[int, ...], list[dict[str, Found | str]]]


@pytest.fixture(scope="module", params=SIZES, ids=lambda sizes: f"{len(sizes)}-ranks")
def by_rank(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """What each rank found, each in a process of its own."""
    sizes = request.param
    return sizes, run(partial(every_objective, sizes), len(sizes), Path(tmp_path_factory.mktemp("ranks")))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_rank_has_the_loss_and_its_own_rows_gradient_of_one_process(name: str, by_rank: Ranks) -> None:
    sizes, ranks = by_rank
    loss, whole = loss_and_gradients(None, name, sizes)
    for rank, found in enumerate(ranks):
        assert not isinstance(found[name], str), found[name]
        own_loss, gradients = found[name]
        assert own_loss == pytest.approx(loss, abs=1e-12)
        for gradient, wanted in zip(gradients, whole, strict=True):
            torch.testing.assert_close(gradient, wanted.split(sizes)[rank], rtol=1e-9, atol=1e-12)


def rows_seen(rank: int) -> dict[str, list[tuple[int, int]]]:
    """Runs of rows whose relation a rank asks for, of eight that would all fit one strip."""
    x, y, _, labels = rows_of(None, (8,))
    seen: dict[str, list[tuple[int, int]]] = {}
    for name, contrast, loss in (
        ("pairs", nf.pairs(x, y), nf.InfoNCELoss()),
        ("symmetric", nf.pairs(x, y), nf.InfoNCELoss(symmetric=True)),
        ("mirrored", nf.labelled(x, labels), nf.SupConLoss()),
    ):
        runs = seen.setdefault(name, [])

        def watched(rows: slice, contrast: nf.Contrast = contrast, runs: list[tuple[int, int]] = runs) -> object:
            runs.append((rows.start, rows.stop))
            return contrast.relation(rows)

        with nf.execution(group=dist.group.WORLD, replicated=True):
            loss(replace(contrast, relation=watched))
    return seen


def test_a_batch_that_fits_one_strip_is_shared_out_too(tmp_path: Path) -> None:
    ranks = run(rows_seen, 3, tmp_path)
    for name in ranks[0]:
        assert [seen[name] for seen in ranks] == [[(0, 3)], [(3, 6)], [(6, 8)]]
