"""What the battery runs: every objective (a line each) over every contrast (a line each) that it is made for."""

from __future__ import annotations

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
from tests.reference import relations, softmax
from tests.reference.gradient import complex_step


@dataclass(frozen=True)
class Subject:
    """An objective with its settings, and the reference that gives the loss of each anchor."""

    name: str
    make: Callable[..., Objective]
    rows: Callable[[relations.Plain], softmax.Rows]

    def suits(self, kind: str) -> bool:
        kinds = self.make().contrasts
        return not kinds or kind in kinds


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
        options = {name: torch.tensor(value) for name, value in self.options.items()}
        if "weights" in options:
            options["weights"] = options["weights"].to(embeddings[0].dtype)
        return getattr(nf, self.kind)(*embeddings, **options)

    def plain(self, *embeddings: np.ndarray) -> relations.Plain:
        return getattr(relations, self.kind)(*embeddings, **self.options)


SUBJECTS = (
    Subject("infonce", partial(nf.InfoNCELoss, temperature=0.3), partial(softmax.infonce, temperature=0.3)),
    Subject(
        "infonce-dot",
        partial(nf.InfoNCELoss, temperature=2.0, similarity="dot"),
        partial(softmax.infonce, temperature=2.0, similarity="dot"),
    ),
    Subject("ntxent", partial(nf.NTXentLoss, temperature=0.5), partial(softmax.nt_xent_rows, temperature=0.5)),
)

FIVE = (5, 3)
PROBLEMS = (
    Problem("pairs", "pairs", (FIVE, FIVE)),
    Problem("pairs-shared-negatives", "pairs", (FIVE, FIVE, (3, 3))),
    Problem("pairs-own-negatives", "pairs", (FIVE, FIVE, (5, 2, 3))),
    Problem("pairs-groups", "pairs", (FIVE, FIVE, (2, 3)), {"groups": [7, 1, 7, 2, 1]}),
    Problem("pairs-one-group", "pairs", (FIVE, FIVE), {"groups": [3] * 5}),
    Problem("pairs-weights", "pairs", (FIVE, FIVE, (2, 3)), {"weights": [0.5, 2.0, 0.0, 1.0, 0.25]}),
    Problem("pairs-single", "pairs", ((1, 3), (1, 3))),
    Problem("views", "views", (FIVE, FIVE)),
    Problem("views-groups", "views", (FIVE, FIVE), {"groups": [7, 1, 7, 2, 1]}),
    Problem("views-weights", "views", (FIVE, FIVE), {"weights": [0.5, 2.0, 0.0, 1.0, 0.25]}),
    Problem("labelled", "labelled", ((7, 3),), {"labels": [4, 1, 4, 4, 1, 1, 0]}),
    Problem(
        "labelled-weights",
        "labelled",
        ((7, 3),),
        {"labels": [4, 1, 4, 4, 1, 1, 0], "weights": [0.5, 2.0, 0.0, 1.0, 0.25, 3.0, 9.0]},
    ),
    Problem("labelled-one-class", "labelled", (FIVE,), {"labels": [2] * 5}),
    Problem("labelled-only-single-members", "labelled", (FIVE,), {"labels": [3, 0, 4, 1, 2]}),
)

CASES = tuple((subject, problem) for subject in SUBJECTS for problem in PROBLEMS if subject.suits(problem.kind))
IDS = tuple(f"{subject.name}-{problem.name}" for subject, problem in CASES)


@cache
def expected(subject: Subject, index: int) -> tuple[float, tuple[np.ndarray, ...]]:
    """The reference's mean and its gradients for ``CASES[index]``."""
    problem = CASES[index][1]

    def loss(*embeddings: np.ndarray) -> complex:
        plain = problem.plain(*embeddings)
        return softmax.mean(subject.rows(plain), plain.weights)

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
