"""Embeddings of great length: scores that float32 holds but has no digits for, and those that it does not hold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import nearfar as nf
from nearfar.errors import NotFiniteError
from nearfar.objectives import Objective
from tests.objectives.subjects import CASES, Problem, Subject

EACH = {(subject.name, problem.kind): (subject, problem) for subject, problem in reversed(CASES)}
SOFT = {
    "softnn": nf.SoftNearestNeighborsLoss(),
    "npair": nf.NPairLoss(),
    "infonce": nf.InfoNCELoss(similarity="dot", temperature=1.0),
    "infonce-symmetric": nf.InfoNCELoss(similarity="dot", temperature=1.0, symmetric=True),
}


def build(kind: str, sides: list[Tensor]) -> nf.Contrast:
    if kind == "labelled":
        return nf.labelled(torch.cat(sides), torch.arange(len(sides[0])).repeat(2))
    contrast: nf.Contrast = getattr(nf, kind)(*sides)
    return contrast


@pytest.mark.parametrize("strip_rows", [None, 7])
@pytest.mark.parametrize("scale", [1e2, 1e3, 1e4, 1e5, 1e8])
@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
@pytest.mark.parametrize("objective", SOFT.values(), ids=SOFT)
def test_a_softmax_of_huge_scores_is_that_of_its_largest(
    objective: Objective, kind: str, scale: float, strip_rows: int | None
) -> None:
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randn(60, 16, generator=draw) * scale for _ in range(2)]
    found, wanted = [], []
    for dtype, into in ((torch.float32, found), (torch.float64, wanted)):
        leaves = [side.to(dtype).requires_grad_() for side in sides]
        loss = objective(build(kind, leaves), strip_rows=strip_rows)
        into += [loss.detach(), *torch.autograd.grad(loss, leaves)]
    for ours, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-4 * exact.abs().max().item())


@pytest.mark.parametrize("scale", [1e5, 1e8])
def test_lifted_distances_beyond_all_digits_still_have_a_gradient_of_their_size(scale: float) -> None:
    leaf = (torch.randn(300, 16, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()
    loss = nf.LiftedStructuredLoss()(nf.labelled(leaf, torch.arange(300) // 2))
    (found,) = torch.autograd.grad(loss, leaf)
    exact = leaf.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(nf.LiftedStructuredLoss()(nf.labelled(exact, torch.arange(300) // 2)), exact)
    assert found.norm().item() == pytest.approx(wanted.norm().item(), rel=0.5)


@pytest.mark.parametrize("scale", [1e15, 1e19, 1e30, 1e37])
@pytest.mark.parametrize(("subject", "problem"), EACH.values(), ids=["-".join(name) for name in EACH])
def test_what_float32_cannot_hold_is_refused_and_gives_no_nan(subject: Subject, problem: Problem, scale: float) -> None:
    leaves = [(leaf.detach() * scale).float().requires_grad_() for leaf in problem.tensors()]
    objective = subject.make()
    contrast = problem.contrast(*leaves)
    try:
        loss = objective(contrast)
    except NotFiniteError:
        assert not objective.by_direction
        with pytest.raises(NotFiniteError, match=rf"^{type(objective).__name__}: found a loss .*, wanted embeddings "):
            objective(contrast)
        return
    assert loss.isfinite()
    if loss.requires_grad:
        assert all(part.isfinite().all() for part in torch.autograd.grad(loss, leaves, materialize_grads=True))


@pytest.mark.parametrize("scale", [1e-30, 1e-21, 1e-16, 1e19, 1e25, 1e38])
@pytest.mark.parametrize(("subject", "problem"), EACH.values(), ids=["-".join(name) for name in EACH])
def test_directions_are_those_of_rows_whose_squares_float32_cannot_hold(
    subject: Subject, problem: Problem, scale: float
) -> None:
    """Neither taken for zero vectors, whose loss is finite and whose gradient is 0."""
    objective = subject.make()
    if not objective.by_direction:
        return
    rows = [leaf.detach() / leaf.detach().abs().max() for leaf in problem.tensors()]
    found = [(row * scale).float().requires_grad_() for row in rows]
    wanted = [leaf.detach().double().requires_grad_() for leaf in found]
    losses = [objective(problem.contrast(*leaves)) for leaves in (found, wanted)]
    torch.testing.assert_close(losses[0].double(), losses[1].double(), rtol=1e-4, atol=1e-4)
    if losses[0].requires_grad and scale < 1e20:  # beyond, a slope may be smaller than any number
        ours, exact = (
            torch.cat(
                [part.flatten().double() for part in torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)]
            )
            for loss, leaves in zip(losses, (found, wanted), strict=True)
        )
        torch.testing.assert_close(
            ours * scale, exact * scale, rtol=1e-3, atol=1e-3 * (exact * scale).abs().max().item()
        )
