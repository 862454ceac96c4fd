"""What the battery runs: every objective (a line each) over every contrast (a line each) that it is made for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import nearfar as nf
from nearfar.objectives import Objective
from tests.reference import decisions, distances, geometry, graded, relations, softmax
from tests.reference.gradient import complex_step


@dataclass(frozen=True)
class Subject:
    """An objective with its settings, and the reference that gives the total and the weight of each anchor."""

    name: str
    make: Callable[..., Objective]
    rows: Callable[[relations.Plain], softmax.Rows] | None = None
    whole: Callable[[relations.Plain], complex] | None = None
    """Instead of `rows`, where the loss is one number for the batch."""
    second: int | None = None
    """The number of dimensions of graded candidates, where they are what the objective reads."""
    differentiable: bool = True
    """Whether the gradient is that of the value: not where weights in it are held fixed."""

    def suits(self, kind: str) -> bool:
        return kind in self.make().contrasts

    def fits(self, problem: Problem) -> bool:
        """Of a kind it takes, in a shape it takes; without log-probabilities there is no NCE."""
        if self.name == "nce" and "log_noise_positive" not in problem.options:
            return False
        return self.suits(problem.kind) and self.second in (None, len(problem.shapes[-1]))

    def loss(self, plain: relations.Plain) -> complex:
        """The reference's mean."""
        return self.whole(plain) if self.whole else softmax.mean(self.rows(plain), plain.weights)


@dataclass(frozen=True)
class Problem:
    """A constructor of `nearfar.contrasts` with the shapes of its embeddings and its other arguments."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Sequence[Any]] = field(default_factory=dict)

    def inputs(self) -> tuple[np.ndarray, ...]:
        """Random embeddings in float64 that float32 holds exactly."""
        draw = np.random.default_rng(len(self.name))
        return tuple(draw.normal(size=shape).astype(np.float32).astype(np.float64) for shape in self.shapes)

    def tensors(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(array).to(dtype).requires_grad_() for array in self.inputs())

    def contrast(self, *embeddings: Tensor) -> nf.Contrast:
        options = {name: as_tensors(value, embeddings[0].dtype) for name, value in self.options.items()}
        return getattr(nf, self.kind)(*embeddings, **options)

    def plain(self, *embeddings: np.ndarray) -> relations.Plain:
        return getattr(relations, self.kind)(*embeddings, **self.options)

    def transposed(self, *embeddings: np.ndarray) -> relations.Plain:
        """Of pairs: positives as anchors. Groups and guide go along; negatives and the queue stay behind."""
        options = {name: value for name, value in self.options.items() if name != "queue"}
        if "guide" in options:
            options["guide"] = (options["guide"][1], options["guide"][0])
        return relations.pairs(embeddings[1], embeddings[0], **options)


def as_tensors(value: Any, dtype: torch.dtype) -> Any:
    """An option as the constructor wants it: tensors, tuples of tensors, or a plain number."""
    if isinstance(value, tuple):
        return tuple(as_tensors(part, dtype) for part in value)
    if isinstance(value, float):
        return value
    tensor = torch.as_tensor(np.asarray(value))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def sigmoid(**options: Any) -> Objective:
    """In float64, with parameters to the last digit, which the constructor keeps in float32."""
    objective = nf.SigmoidLoss(bias=-1.25, **options).double()
    with torch.no_grad():
        objective.log_scale.fill_(0.5)
    return objective


def softmax_subject(name: str, **options: Any) -> Subject:
    """InfoNCE with options of the family."""
    options = {"temperature": 0.3, **options}
    return Subject(name, partial(nf.InfoNCELoss, **options), partial(softmax.infonce_options, **options))


def triplet_subject(distance: str, mining: str, average: str) -> Subject:
    options = {"margin": 0.5, "distance": distance, "mining": mining, "average": average}
    name = f"triplet-{distance}-{mining}-{average}"
    return Subject(name, partial(nf.TripletLoss, **options), partial(distances.triplet, **options))


def whole_subject(
    name: str, objective: type, whole: Callable[..., complex], second: int | None = None, **options: Any
) -> Subject:
    return Subject(name, partial(objective, **options), whole=partial(whole, **options), second=second)


SUBJECTS = (
    Subject("infonce", partial(nf.InfoNCELoss, temperature=0.3), partial(softmax.infonce, temperature=0.3)),
    Subject(
        "infonce-dot",
        partial(nf.InfoNCELoss, temperature=2.0, similarity="dot"),
        partial(softmax.infonce, temperature=2.0, similarity="dot"),
    ),
    softmax_subject("infonce-decoupled", decoupled=True),
    softmax_subject("infonce-debias", debias=0.1),
    softmax_subject("infonce-hardness", hardness=0.7),
    softmax_subject("infonce-hardness-debias", hardness=0.7, debias=0.2, decoupled=True),
    Subject("ntxent", partial(nf.NTXentLoss, temperature=0.5), partial(softmax.nt_xent_rows, temperature=0.5)),
    Subject(
        "ntxent-debias",
        partial(nf.NTXentLoss, temperature=0.5, debias=0.1, hardness=0.5),
        partial(softmax.infonce_options, temperature=0.5, debias=0.1, hardness=0.5),
    ),
    Subject("npair", partial(nf.NPairLoss, l2=0.02), partial(softmax.n_pair, l2=0.02)),
    Subject("supcon", partial(nf.SupConLoss, temperature=0.3), partial(softmax.sup_con, temperature=0.3)),
    Subject("contrastive", partial(nf.ContrastiveLoss, margin=2.5), partial(distances.contrastive, margin=2.5)),
    *(triplet_subject("squared", mining, "all") for mining in ("all", "hard", "semihard")),
    *(triplet_subject("euclidean", mining, "active") for mining in ("all", "hard", "semihard")),
    Subject(
        "softnn",
        partial(nf.SoftNearestNeighborsLoss, temperature=2.0),
        partial(distances.soft_nearest_neighbours, temperature=2.0),
    ),
    Subject("lifted", partial(nf.LiftedStructuredLoss, margin=0.7), partial(distances.lifted, margin=0.7)),
    Subject("neg", nf.NEGLoss, decisions.neg),
    Subject("nce", nf.NCELoss, decisions.nce),
    Subject("sigmoid", sigmoid, partial(decisions.sigmoid, scale=math.exp(0.5), bias=-1.25)),
    Subject("spectral", nf.SpectralLoss, decisions.spectral),
    Subject(
        "circle",
        partial(nf.CircleLoss, scale=8.0),
        partial(decisions.circle, margin=0.25, scale=8.0),
        differentiable=False,
    ),
    Subject(
        "multisimilarity",
        partial(nf.MultiSimilarityLoss, beta=5.0),
        partial(decisions.multi_similarity, alpha=2.0, beta=5.0, base=0.5, epsilon=0.1),
    ),
    Subject(
        "multisimilarity-every-pair",
        partial(nf.MultiSimilarityLoss, beta=5.0, epsilon=None),
        partial(decisions.multi_similarity, alpha=2.0, beta=5.0, base=0.5, epsilon=None),
    ),
    Subject("prototype", partial(nf.PrototypeLoss, temperature=0.3), partial(geometry.prototype, temperature=0.3)),
    Subject("marginmse", nf.MarginMSELoss, graded.margin_mse, second=3),
    whole_subject("alignuniform", nf.AlignUniformLoss, geometry.align_uniform, alpha=2.0, t=2.0, uniformity=1.0),
    whole_subject("alignuniform-other", nf.AlignUniformLoss, geometry.align_uniform, alpha=3.0, t=1.5, uniformity=0.4),
    whole_subject("cosent", nf.CoSENTLoss, graded.cosent, second=2, temperature=0.3),
    whole_subject("angle", nf.AnglELoss, graded.angle, second=2, temperature=0.3),
)

ONE_SIDED = (
    *("contrastive", "sigmoid", "spectral", "neg", "npair", "supcon", "alignuniform", "alignuniform-other"),
    "prototype",
)
"""Equations in which near or far candidates alone have a loss, and the one whose centres make their own."""

FIVE = (5, 3)
LOGS = {"log_noise_positive": [-1.0, -2.0, -0.5, -3.0, -1.25]}
WEIGHTS = [0.5, 2.0, 0.0, 1.0, 0.25]
SCORES = [3.0, 0.5, 4.75, 0.5, 2.0]


def other_space(*shape: int) -> np.ndarray:
    """Embeddings without a gradient: a guide's, a queue's."""
    return np.random.default_rng(99).normal(size=shape)


PROBLEMS = (
    Problem("pairs", "pairs", (FIVE, FIVE)),
    Problem("pairs-shared-negatives", "pairs", (FIVE, FIVE, (3, 3))),
    Problem("pairs-own-negatives", "pairs", (FIVE, FIVE, (5, 2, 3))),
    Problem("pairs-groups", "pairs", (FIVE, FIVE, (2, 3)), {"groups": [7, 1, 7, 2, 1]}),
    Problem("pairs-one-group", "pairs", (FIVE, FIVE), {"groups": [3] * 5}),
    Problem("pairs-weights", "pairs", (FIVE, FIVE, (2, 3)), {"weights": WEIGHTS}),
    Problem("pairs-queue", "pairs", (FIVE, FIVE), {"queue": other_space(3, 3), "groups": [7, 1, 7, 2, 1]}),
    Problem(
        "pairs-guide",
        "pairs",
        (FIVE, FIVE, (2, 3)),
        {"guide": (other_space(5, 4), other_space(6, 4)[1:], other_space(9, 4)[7:]), "guide_margin": 0.2},
    ),
    Problem(
        "pairs-guide-of-positives-alone",
        "pairs",
        (FIVE, FIVE, (2, 3)),
        {"guide": (other_space(5, 4), other_space(6, 4)[1:]), "queue": other_space(2, 3)},
    ),
    Problem("pairs-single", "pairs", ((1, 3), (1, 3))),
    Problem("views", "views", (FIVE, FIVE)),
    Problem("views-groups", "views", (FIVE, FIVE), {"groups": [7, 1, 7, 2, 1]}),
    Problem("views-weights", "views", (FIVE, FIVE), {"weights": WEIGHTS}),
    Problem(
        "views-guide-queue",
        "views",
        (FIVE, FIVE),
        {"guide": (other_space(5, 4), other_space(6, 4)[1:]), "guide_margin": -0.1, "queue": other_space(2, 3)},
    ),
    Problem("labelled", "labelled", ((7, 3),), {"labels": [4, 1, 4, 4, 1, 1, 0]}),
    Problem(
        "labelled-weights",
        "labelled",
        ((7, 3),),
        {"labels": [4, 1, 4, 4, 1, 1, 0], "weights": [0.5, 2.0, 0.0, 1.0, 0.25, 3.0, 9.0]},
    ),
    Problem(
        "labelled-guide-queue",
        "labelled",
        ((7, 3),),
        {"labels": [4, 1, 4, 4, 1, 1, 0], "guide": other_space(7, 4), "queue": other_space(3, 3)},
    ),
    # Three near candidates: a third, unlike a half, is not the same in every dtype.
    Problem("labelled-class-of-four", "labelled", ((6, 3),), {"labels": [1, 1, 0, 1, 0, 1]}),
    Problem("labelled-one-class", "labelled", (FIVE,), {"labels": [2] * 5}),
    Problem("labelled-only-single-members", "labelled", (FIVE,), {"labels": [3, 0, 4, 1, 2]}),
    Problem("triplets", "triplets", (FIVE, FIVE, FIVE)),
    Problem("triplets-many-weights", "triplets", (FIVE, FIVE, (5, 3, 3)), {"weights": WEIGHTS}),
    Problem("judged", "judged", (FIVE, FIVE), {"near": [True, False, True, False, False]}),
    Problem("sampled", "sampled", (FIVE, FIVE, (4, 3)), LOGS | {"log_noise": [-1.5, -0.5, -2.5, -1.0]}),
    Problem(
        "sampled-own", "sampled", (FIVE, FIVE, (5, 2, 3)), LOGS | {"log_noise": [[-1.5, -0.5]] * 5, "weights": WEIGHTS}
    ),
    Problem("sampled-in-batch", "sampled", (FIVE, FIVE), LOGS | {"weights": WEIGHTS}),
    Problem("sampled-without-log-noise", "sampled", (FIVE, FIVE, (4, 3))),
    Problem("triplets-single", "triplets", ((1, 3), (1, 3), (1, 3))),
    Problem("judged-only-near", "judged", (FIVE, FIVE), {"near": [True] * 5}),
    Problem("judged-only-far", "judged", (FIVE, FIVE), {"near": [False] * 5, "weights": WEIGHTS}),
    Problem("assigned", "assigned", (FIVE, (4, 3)), {"assignment": [3, 0, 0, 2, 3]}),
    Problem("assigned-weights", "assigned", (FIVE, (3, 3)), {"assignment": [1, 0, 0, 2, 1], "weights": WEIGHTS}),
    Problem("assigned-one-centre", "assigned", (FIVE, (1, 3)), {"assignment": [0] * 5}),
    Problem("graded", "graded", ((5, 4), (5, 4)), {"scores": SCORES}),
    Problem("graded-weights", "graded", ((5, 6), (5, 6)), {"scores": SCORES, "weights": WEIGHTS}),
    Problem("graded-lone-weight", "graded", ((5, 4), (5, 4)), {"scores": SCORES, "weights": [0.0, 0.0, 2.0, 0.0, 0.0]}),
    Problem("graded-equal-scores", "graded", ((5, 4), (5, 4)), {"scores": [2.5] * 5}),
    Problem("graded-single", "graded", ((1, 4), (1, 4)), {"scores": [2.5]}),
    Problem("graded-two", "graded", (FIVE, (5, 2, 3)), {"scores": [[2.0, -1.5]] * 5, "weights": WEIGHTS}),
    Problem("graded-many", "graded", (FIVE, (5, 4, 3)), {"scores": other_space(5, 4).tolist()}),
)

CASES = tuple((subject, problem) for subject in SUBJECTS for problem in PROBLEMS if subject.fits(problem))
IDS = tuple(f"{subject.name}-{problem.name}" for subject, problem in CASES)


@cache
def expected(subject: Subject, index: int) -> tuple[float, tuple[np.ndarray, ...]]:
    """The reference's mean and its gradients for ``CASES[index]``."""
    problem = CASES[index][1]

    def loss(*embeddings: np.ndarray) -> complex:
        return subject.loss(problem.plain(*embeddings))

    return complex_step(loss, problem.inputs())


def compare(
    index: int,
    *,
    dtype: torch.dtype = torch.float64,
    tolerance: float = 1e-10,
    strip_rows: int | None = None,
    change: Callable[[nf.Contrast], nf.Contrast] = lambda contrast: contrast,
) -> None:
    """Hold ``CASES[index]`` against its reference: an AssertionError where value or gradient is off."""
    subject, problem = CASES[index]
    value, gradients = expected(subject, index)
    tensors = problem.tensors(dtype)
    loss = subject.make()(change(problem.contrast(*tensors)), strip_rows=strip_rows)
    loss.backward()
    assert loss.dtype == dtype
    assert loss.item() == pytest.approx(value, rel=0, abs=max(1.0, abs(value)) * tolerance)
    largest = max(np.abs(gradient).max() for gradient in gradients)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(tensor.grad.double().numpy(), gradient, rtol=0, atol=tolerance * max(largest, 1e-6))
