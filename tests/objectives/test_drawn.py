"""Every objective on drawn shapes, dtypes, runs of rows and relations, one class or none at all among them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.objectives.subjects import SUBJECTS, Problem, Subject
from tests.reference.gradient import STEP

KINDS = ("pairs", "views", "labelled", "triplets", "judged", "sampled", "assigned", "graded")
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
IDS = st.integers(0, 2)


def several(count: int, each: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(each, min_size=count, max_size=count)


def eighths(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that every dtype holds exactly, none of them 0."""
    return (np.round(8 * np.random.default_rng(7).normal(size=shape)) + 0.5) / 8


@st.composite
def problems(draw: st.DrawFn, subject: Subject) -> Problem:
    """Any that the objective takes: 1 to 5 rows, of width 1 to 5, weights of 0, equal and single ids."""
    kind = draw(st.sampled_from([kind for kind in KINDS if subject.suits(kind)]))
    count, more = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    # AnglE's reference takes even widths; on a line the members of a class may cancel, and its centre has no direction.
    width = 2 * draw(st.integers(1, 2)) if subject.name in ("angle", "prototype") else draw(st.integers(1, 5))
    side, shared, own = (count, width), (more, width), (count, more, width)
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["weights"] = draw(several(count, st.sampled_from([0.0, 0.5, 2.0])))
    shapes = (side, side)
    if kind in ("pairs", "views") and draw(st.booleans()):
        options["groups"] = draw(several(count, IDS))
    if kind in ("pairs", "views", "labelled") and draw(st.booleans()):
        options["queue"] = eighths(shared)
    if kind == "pairs":
        shapes += draw(st.sampled_from([(), (shared,), (own,)]))
    elif kind == "labelled":
        shapes, options["labels"] = (side,), draw(several(count, IDS))
    elif kind == "triplets":
        shapes += (draw(st.sampled_from([side, own])),)
    elif kind == "judged":
        options["near"] = draw(several(count, st.booleans()))
    elif kind == "sampled":
        shapes += draw(st.sampled_from([(), (shared,), (own,)]))
        options["log_noise_positive"] = eighths((count,)) - 2
        if len(shapes) > 2:
            options["log_noise"] = eighths(shapes[2][:-1]) - 2
    elif kind == "assigned":
        shapes, options["assignment"] = (side, shared), draw(several(count, st.integers(0, more - 1)))
    elif kind == "graded":
        many = subject.second == 3
        shapes = (side, (count, more + 1, width) if many else side)
        options["scores"] = draw(several(count, several(more + 1, IDS.map(float)) if many else IDS.map(float)))
    return Problem(kind, kind, shapes, options)


@pytest.mark.parametrize("subject", SUBJECTS, ids=[subject.name for subject in SUBJECTS])
@given(data=st.data())
def test_value_and_gradient_are_those_of_the_reference(subject: Subject, data: st.DataObject) -> None:
    problem, strip_rows = data.draw(problems(subject)), data.draw(st.integers(1, 6))
    # Which far candidate is the nearest beyond a near one hangs on the last digit where two are equal.
    dtype = data.draw(st.sampled_from(DTYPES[:1] if "semihard" in subject.name else DTYPES))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    arrays = [random.normal(size=shape).astype(np.float16).astype(float) for shape in problem.shapes]
    leaves = [torch.from_numpy(array).to(dtype).requires_grad_() for array in arrays]
    arrays = [leaf.detach().double().numpy() for leaf in leaves]
    ways = [random.normal(size=array.shape) for array in arrays]

    loss = subject.make()(problem.contrast(*leaves), strip_rows=strip_rows)
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    there = subject.loss(problem.plain(*(x + 1j * STEP * way for x, way in zip(arrays, ways, strict=True))))
    exact = dtype == torch.float64
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert loss.item() == pytest.approx(np.real(there), rel=0, abs=(1e-9 if exact else 1e-5) * (1 + abs(there)))
    if exact:  # below it, ties make more than one gradient right
        along = sum((gradient.numpy() * way).sum() for gradient, way in zip(gradients, ways, strict=True))
        assert along == pytest.approx(np.imag(there) / STEP, rel=1e-8, abs=1e-8)
