"""Each mistake has a message of its own, which names what was found and wanted; none reaches an error of torch."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

import nearfar as nf

x, y, n = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 2, 3)
HUGE = torch.full((4,), 3e38)

MISTAKES = {
    "trip none": lambda: nf.triplets(x, y, None),
    "trip shape": lambda: nf.triplets(x, y, torch.randn(3, 3)),
    "trip width": lambda: nf.triplets(x, y, torch.randn(4, 2, 5)),
    "trip k0": lambda: nf.triplets(x, y, torch.randn(4, 0, 3)),
    "trip dtype": lambda: nf.triplets(x, y, n.double()),
    "trip nan": lambda: nf.triplets(x, y, n * float("nan")),
    "judged float": lambda: nf.judged(x, y, torch.ones(4)),
    "judged len": lambda: nf.judged(x, y, torch.ones(3, dtype=torch.bool)),
    "judged list": lambda: nf.judged(x, y, [True] * 4),
    "sampled 1d": lambda: nf.sampled(x, y, torch.randn(3)),
    "sampled log one": lambda: nf.sampled(x, y, n, torch.zeros(4)),
    "sampled log shape": lambda: nf.sampled(x, y, n, torch.zeros(4), torch.zeros(2)),
    "sampled log inf": lambda: nf.sampled(x, y, n, torch.zeros(4), torch.full((4, 2), -float("inf"))),
    "graded scores": lambda: nf.graded(x, y, torch.zeros(3)),
    "graded str": lambda: nf.graded(x, y, "abc"),
    "graded nan": lambda: nf.graded(x, y, torch.full((4,), float("nan"))),
    "graded list second": lambda: nf.graded(x, [1], torch.zeros(4)),
    "assigned range": lambda: nf.assigned(x, y, torch.tensor([0, 1, 2, 9])),
    "assigned float": lambda: nf.assigned(x, y, torch.zeros(4)),
    "guide tensor": lambda: nf.pairs(x, y, guide=x),
    "guide rows": lambda: nf.pairs(x, y, guide=(x, y[:2])),
    "guide 3 no neg": lambda: nf.pairs(x, y, guide=(x, y, y)),
    "guide nan": lambda: nf.pairs(x, y, guide=(x, y * float("nan"))),
    "margin nan": lambda: nf.pairs(x, y, guide=(x, y), guide_margin=float("nan")),
    "margin beyond floats": lambda: nf.pairs(x, y, guide=(x, y), guide_margin=10**400),
    "prototype weights": lambda: nf.PrototypeLoss()(nf.assigned(x, y, torch.zeros(4, dtype=int), weights=HUGE)),
    "queue width": lambda: nf.pairs(x, y, queue=torch.randn(3, 7)),
    "queue 3d": lambda: nf.labelled(x, torch.arange(4), queue=n),
    "labelled guide": lambda: nf.labelled(x, torch.arange(4), guide=torch.randn(2, 2)),
    "views guide": lambda: nf.views(x, y, guide=(x,)),
    "weights neg": lambda: nf.triplets(x, y, n, weights=-torch.ones(4)),
    "weights requires list": lambda: nf.judged(x, y, torch.ones(4, dtype=torch.bool), weights=[1, 1, 1, 1]),
    "complex": lambda: nf.triplets(x.to(torch.complex64), y, n),
    "empty": lambda: nf.judged(x[:0], y[:0], torch.ones(0, dtype=torch.bool)),
    "nce nolog": lambda: nf.NCELoss()(nf.sampled(x, y, n)),
    "nce log of no noise": lambda: nf.sampled(x, y, None, torch.zeros(4), torch.zeros(4)),
    "nce too few logs": lambda: nf.sampled(x, y, log_noise_positive=torch.zeros(3)),
    "kind": lambda: nf.CoSENTLoss()(nf.pairs(x, y)),
    "not contrast": lambda: nf.TripletLoss()(x),
    "matryoshka big": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[9])(nf.pairs(x, y)),
    "matryoshka none": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[]),
    "matryoshka float": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[1.5]),
    "matryoshka str": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims="ab"),
    "matryoshka not contrast": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[2])(x),
    "matryoshka dims number": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=2),
    "matryoshka dims none at all": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=None),
    "matryoshka weights str": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[2], weights=["a"]),
    "matryoshka weights number": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[2], weights=1.0),
    "matryoshka weights nan": lambda: nf.Matryoshka(nf.InfoNCELoss(), dims=[2, 3], weights=[1.0, float("nan")]),
    "matryoshka class": lambda: nf.Matryoshka(nf.InfoNCELoss, dims=[2]),
    "matryoshka name": lambda: nf.Matryoshka("infonce", dims=[2]),
    "temp fraction": lambda: nf.SupConLoss(temperature=Fraction(1, 2)),
    "temp huge": lambda: nf.SoftNearestNeighborsLoss(temperature=10**400),
    "temp bool": lambda: nf.NTXentLoss(temperature=True),
    "temp tensor": lambda: nf.CoSENTLoss(temperature=torch.tensor(0.1)),
    "decoupled str": lambda: nf.InfoNCELoss(decoupled="no"),
    "symmetric int": lambda: nf.InfoNCELoss(symmetric=1),
    "learnable none": lambda: nf.SigmoidLoss(learnable=None),
    "bias nan": lambda: nf.SigmoidLoss(bias=float("nan")),
    "bias str": lambda: nf.SigmoidLoss(bias="a"),
    "kernel": lambda: nf.AlignUniformLoss(t=30.0),
    "base str": lambda: nf.MultiSimilarityLoss(base="a"),
    "base nan": lambda: nf.MultiSimilarityLoss(base=float("nan")),
    "strip bool": lambda: nf.InfoNCELoss()(nf.pairs(x, y), strip_rows=True),
    "debias 1": lambda: nf.InfoNCELoss(debias=1.0),
    "debias dot": lambda: nf.InfoNCELoss(debias=0.1, similarity="dot"),
    "hardness neg": lambda: nf.InfoNCELoss(hardness=-1),
    "hardness str": lambda: nf.InfoNCELoss(hardness="a"),
    "temp str": lambda: nf.InfoNCELoss(temperature="a"),
    "temp none": lambda: nf.SupConLoss(temperature=None),
    "mining": lambda: nf.TripletLoss(mining="x"),
    "group": lambda: nf.execution(group="x").__enter__(),
    "strip": lambda: nf.InfoNCELoss()(nf.pairs(x, y), strip_rows=0),
    "marginmse 1": lambda: nf.MarginMSELoss()(nf.graded(x, y, torch.zeros(4))),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(mistake) -> None:
    with pytest.raises(ValueError, match=r"^[\w: ]+: found .+, wanted "):
        mistake()
