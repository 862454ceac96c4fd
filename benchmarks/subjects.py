"""What benchmarks/objectives.py times: our objectives, the equations in dense PyTorch, and other libraries' losses.

A subject is a step, forward and backward, over random embeddings. Other libraries get the embeddings as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, softplus

import nearfar as nf

Run = Callable[[], object]
Loss = Callable[[], Tensor]


def leaf(rows: int, width: int, seed: int) -> Tensor:
    """Random unit vectors that want a gradient."""
    draw = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=draw), dim=1).requires_grad_()


def step(loss: Loss, leaves: list[Tensor]) -> Run:
    """Forward and backward."""
    return lambda: torch.autograd.grad(loss(), leaves, allow_unused=True)


def of(objective: Callable[[nf.Contrast], Tensor], contrast: Callable[[], nf.Contrast]) -> Loss:
    """An objective, made once as in a loop of training, over a contrast that each step makes anew."""
    return lambda: objective(contrast())


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """All cosines."""
    return normalize(x, dim=1) @ normalize(y, dim=1).T


def ours(rows: int, width: int) -> dict[str, tuple[Run, float]]:
    """Each objective's step, and the ratio to the three products that it should stay within."""
    a, b, half = leaf(rows, width, 0), leaf(rows, width, 1), rows // 2
    first, second = leaf(half, width, 2), leaf(half, width, 3)
    labels = torch.arange(rows) // 8

    def large() -> Tensor:
        with nf.execution(max_bytes=2**29):
            return nf.InfoNCELoss(symmetric=True)(nf.pairs(a, b))

    losses: dict[str, tuple[Loss, list[Tensor], float]] = {
        "infonce": (of(nf.InfoNCELoss(), lambda: nf.pairs(a, b)), [a, b], 1.2),
        "npair": (of(nf.NPairLoss(), lambda: nf.pairs(a, b)), [a, b], 1.2),
        "supcon, 8 a class": (of(nf.SupConLoss(), lambda: nf.labelled(a, labels)), [a], 1.2),
        "supcon, 10 classes": (of(nf.SupConLoss(), lambda: nf.labelled(a, labels % 10)), [a], 1.2),
        "softnn, 8 a class": (of(nf.SoftNearestNeighborsLoss(), lambda: nf.labelled(a, labels)), [a], 1.2),
        "sigmoid": (of(nf.SigmoidLoss(), lambda: nf.pairs(a, b)), [a, b], 1.2),
        "contrastive": (of(nf.ContrastiveLoss(), lambda: nf.pairs(a, b)), [a, b], 1.2),
        "neg, shared noise": (of(nf.NEGLoss(), lambda: nf.sampled(a, a.detach(), b)), [a, b], 1.2),
        "ntxent": (of(nf.NTXentLoss(), lambda: nf.views(first, second)), [first, second], 0.9),
        "symmetric infonce": (of(nf.InfoNCELoss(symmetric=True), lambda: nf.pairs(a, b)), [a, b], 1.8),
        "symmetric infonce, 512 MiB": (large, [a, b], 1.2),
        "lifted, 8 a class": (of(nf.LiftedStructuredLoss(), lambda: nf.labelled(a, labels)), [a], 1.9),
        "triplet, all, 8 a class": (of(nf.TripletLoss(), lambda: nf.labelled(a, labels)), [a], 2.5),
    }
    return {name: (step(loss, leaves), bound) for name, (loss, leaves, bound) in losses.items()}


Pair = tuple[Loss, Loss, list[Tensor]]
"""Our loss, the other one, and what both are differentiated by."""


def dense(rows: int, width: int) -> dict[str, Pair]:
    """The same loss by us and as a plain dense expression under autograd."""
    a, b, labels = leaf(rows, width, 0), leaf(rows, width, 1), torch.arange(rows) // 8
    itself, near = torch.eye(rows, dtype=torch.bool), labels[:, None] == labels
    own, other_view = torch.arange(rows), torch.arange(2 * rows).roll(rows)
    positive, far = near & ~itself, ~near
    row, column = positive.nonzero(as_tuple=True)

    def infonce() -> Tensor:
        return cross_entropy(cosine(a, b) / 0.05, own)

    def ntxent() -> Tensor:
        items = torch.cat([a, b])
        scores = cosine(items, items) / 0.5
        return cross_entropy(scores.masked_fill(torch.eye(2 * rows, dtype=torch.bool), -torch.inf), other_view)

    def symmetric() -> Tensor:
        scores = cosine(a, b) / 0.05
        return (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2

    def supcon() -> Tensor:
        scores = (cosine(a, a) / 0.1).masked_fill(itself, -torch.inf)
        each = (scores.logsumexp(1, keepdim=True) - scores).masked_fill(~positive, 0)
        return (each.sum(1) / positive.sum(1)).mean()

    def neighbours() -> Tensor:
        scores = (-torch.cdist(a, a).square()).masked_fill(itself, -torch.inf)
        return (scores.logsumexp(1) - scores.masked_fill(~near, -torch.inf).logsumexp(1)).mean()

    def contrastive() -> Tensor:
        distance = torch.cdist(a, b)
        return torch.where(itself, distance.square(), (1 - distance).clamp(min=0).square()).mean() / 2

    def sigmoid() -> Tensor:
        scores = 10 * cosine(a, b) - 10
        return torch.where(itself, softplus(-scores), softplus(scores)).sum(1).mean()

    def neg() -> Tensor:
        return (softplus(-(a * a.detach()).sum(1)) + softplus(a @ b.T).sum(1)).mean()

    def lifted() -> Tensor:
        distance = torch.cdist(a, a)
        pushed = (1 - distance).masked_fill(~far, -torch.inf).logsumexp(1)
        lifted = distance[row, column] + torch.logaddexp(pushed[row], pushed[column])
        return lifted.clamp(min=0).square().mean() / 2

    def triplet() -> Tensor:
        squared = torch.cdist(a, a).square()
        gaps = (squared[row, column][:, None] - squared[row] + 0.2).clamp(min=0)
        return gaps.masked_fill(~far[row], 0).sum() / far[row].sum()

    both, one = [a, b], [a]
    return {
        "infonce": (of(nf.InfoNCELoss(), lambda: nf.pairs(a, b)), infonce, both),
        "npair": (of(nf.NPairLoss(), lambda: nf.pairs(a, b)), lambda: cross_entropy(a @ b.T, own), both),
        "symmetric infonce": (of(nf.InfoNCELoss(symmetric=True), lambda: nf.pairs(a, b)), symmetric, both),
        "ntxent": (of(nf.NTXentLoss(), lambda: nf.views(a, b)), ntxent, both),
        "supcon": (of(nf.SupConLoss(), lambda: nf.labelled(a, labels)), supcon, one),
        "softnn": (of(nf.SoftNearestNeighborsLoss(), lambda: nf.labelled(a, labels)), neighbours, one),
        "contrastive": (of(nf.ContrastiveLoss(), lambda: nf.pairs(a, b)), contrastive, both),
        "sigmoid": (of(nf.SigmoidLoss(learnable=False), lambda: nf.pairs(a, b)), sigmoid, both),
        "neg, shared noise": (of(nf.NEGLoss(), lambda: nf.sampled(a, a.detach(), b)), neg, both),
        "lifted": (of(nf.LiftedStructuredLoss(), lambda: nf.labelled(a, labels)), lifted, one),
        "triplet, all": (of(nf.TripletLoss(), lambda: nf.labelled(a, labels)), triplet, one),
    }


def metric_learning(rows: int, width: int) -> dict[str, Pair]:
    """The objectives shared with pytorch-metric-learning; its normalisation and reductions are its own."""
    from pytorch_metric_learning import losses

    a, labels = leaf(rows, width, 0), torch.arange(rows) // 8
    first, second = leaf(rows // 2, width, 1), leaf(rows // 2, width, 2)
    views, twice, own = losses.NTXentLoss(temperature=0.5), torch.arange(rows // 2).repeat(2), torch.arange(rows // 2)
    pairs, both = losses.NPairsLoss(), [first, second]
    shared = {
        "contrastive": (nf.ContrastiveLoss(), losses.ContrastiveLoss()),
        "triplet, all": (nf.TripletLoss(distance="euclidean"), losses.TripletMarginLoss()),
        "supcon": (nf.SupConLoss(), losses.SupConLoss()),
        "lifted": (nf.LiftedStructuredLoss(), losses.LiftedStructureLoss()),
        "circle": (nf.CircleLoss(), losses.CircleLoss()),
        "multisimilarity": (nf.MultiSimilarityLoss(epsilon=None), losses.MultiSimilarityLoss()),
    }
    return {
        "ntxent": (
            of(nf.NTXentLoss(), lambda: nf.views(first, second)),
            lambda: views(torch.cat([first, second]), twice),
            both,
        ),
        "npair": (
            of(nf.NPairLoss(), lambda: nf.pairs(first, second)),
            lambda: pairs(torch.stack([first, second], 1).flatten(0, 1), own.repeat_interleave(2)),
            both,
        ),
    } | {
        name: (
            lambda our=our: our(nf.labelled(a, labels)),  # type: ignore[misc]
            lambda their=their: their(a, labels),  # type: ignore[misc]
            [a],
        )
        for name, (our, their) in shared.items()
    }


class Given(nn.Sequential):
    """A model for sentence-transformers whose embeddings are its features."""

    max_seq_length = 1

    def __init__(self, feature: str = "rows") -> None:
        super().__init__(nn.Identity())
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        self.feature = feature
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features[self.feature]}


def sentence_transformers(rows: int, width: int) -> dict[str, Pair]:
    """The objectives shared with sentence-transformers, with its settings in both."""
    from sentence_transformers.sentence_transformer import losses

    model = Given()
    a, b, c = (leaf(rows, width, seed) for seed in range(3))
    draw = torch.Generator().manual_seed(3)
    labels, near = torch.arange(rows) // 8, torch.rand(rows, generator=draw) < 0.5
    grades, none = torch.rand(rows, generator=draw), torch.zeros(rows)
    guide = [torch.randn(rows, 32, generator=draw) for _ in range(2)]
    gist = losses.GISTEmbedLoss(
        model, Given("guide"), temperature=0.05, contrast_anchors=False, contrast_positives=False
    )
    features = [{"rows": rows_, "guide": guide_} for rows_, guide_ in zip((a, b), guide, strict=True)]
    cached = losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=512)
    euclidean = losses.SiameseDistanceMetric.EUCLIDEAN
    margins = torch.stack([grades, grades.flip(0)], 1)
    to_both = losses.MultipleNegativesRankingLoss(
        model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
    )
    miner = {"distance": "euclidean", "margin": 5.0}

    def by(loss: nn.Module, embeddings: list[Tensor], targets: Tensor) -> Loss:
        return lambda: loss.compute_loss_from_embeddings(embeddings, targets)

    pairs: dict[str, Pair] = {
        "MultipleNegativesRanking": (
            of(nf.InfoNCELoss(), lambda: nf.pairs(a, b)),
            by(losses.MultipleNegativesRankingLoss(model), [a, b], none),
            [a, b],
        ),
        "the same, cached, 512 a mini-batch": (
            of(nf.InfoNCELoss(), lambda: nf.pairs(a, b)),
            lambda: cached.calculate_loss([list(a.split(512)), list(b.split(512))]),
            [a, b],
        ),
        "the same, both directions": (
            of(nf.InfoNCELoss(symmetric=True), lambda: nf.pairs(a, b)),
            by(to_both, [a, b], none),
            [a, b],
        ),
        "GISTEmbed": (
            of(nf.InfoNCELoss(), lambda: nf.pairs(a, b, guide=guide)),
            lambda: gist(features, none),
            [a, b],
        ),
        "Contrastive": (
            of(nf.ContrastiveLoss(), lambda: nf.judged(a, b, near)),
            by(losses.ContrastiveLoss(model, distance_metric=euclidean, margin=1.0), [a, b], near.long()),
            [a, b],
        ),
        "Triplet": (
            of(nf.TripletLoss(distance="euclidean", margin=5.0), lambda: nf.triplets(a, b, c)),
            by(losses.TripletLoss(model, triplet_margin=5), [a, b, c], none),
            [a, b, c],
        ),
        "CoSENT": (
            of(nf.CoSENTLoss(), lambda: nf.graded(a, b, grades)),
            by(losses.CoSENTLoss(model), [a, b], grades),
            [a, b],
        ),
        "AnglE": (
            of(nf.AnglELoss(), lambda: nf.graded(a, b, grades)),
            by(losses.AnglELoss(model), [a, b], grades),
            [a, b],
        ),
        "MarginMSE": (
            of(nf.MarginMSELoss(), lambda: nf.graded(a, [b, c], margins)),
            by(losses.MarginMSELoss(model), [a, b, c], margins[:, 0] - margins[:, 1]),
            [a, b, c],
        ),
    }
    mined = {
        "BatchAllTriplet": (losses.BatchAllTripletLoss, {"mining": "all", "average": "active"}),
        "BatchHardTriplet": (losses.BatchHardTripletLoss, {"mining": "hard"}),
        "BatchSemiHardTriplet": (losses.BatchSemiHardTripletLoss, {"mining": "semihard"}),
    }
    for name, (their, how) in mined.items():
        our = nf.TripletLoss(**miner, **how)
        pairs[name] = (lambda our=our: our(nf.labelled(a, labels)), by(their(model), [a], labels), [a])  # type: ignore[misc]
    return pairs
