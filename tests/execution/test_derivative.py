"""Gradients written by hand: once, in the dtype of the forward pass, and what happens to one that was changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from nearfar.execution.cached import cached
from tests.objectives.subjects import CASES, Problem, Subject

EACH = {(subject.name, problem.kind): (subject, problem) for subject, problem in reversed(CASES)}
"""An objective over each kind of contrast that it takes."""
each = pytest.mark.parametrize(
    ("subject", "problem"),
    [pytest.param(*case, id=f"{case[0].name}-{case[1].name}") for case in EACH.values()],
)


def reductions(subject: Subject) -> list[Callable[[], object]]:
    """The objective, by sum and by row too where it has rows."""
    if not subject.rows:
        return [subject.make]
    return [lambda reduction=reduction: subject.make(reduction=reduction) for reduction in ("mean", "sum", "none")]


@each
def test_backward_within_autocast_is_as_exact_as_outside(subject: Subject, problem: Problem) -> None:
    """Some loops call backward in the block too; to the last digit, since the same products are taken."""
    for make in reductions(subject):
        found = []
        for backward_too in (False, True):
            leaves = problem.tensors(torch.float32)
            contrast = problem.contrast(*leaves)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = make().float()(contrast) if hasattr(make(), "float") else make()(contrast)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=backward_too):
                loss.sum().backward()
            found.append([leaf.grad for leaf in leaves])
        for exact, ours in zip(*found, strict=True):
            assert torch.equal(ours, exact)


@each
def test_a_second_derivative_is_refused_in_plain_words(subject: Subject, problem: Problem) -> None:
    leaves = problem.tensors()
    loss = subject.make()(problem.contrast(*leaves)).sum()
    if not loss.requires_grad:
        return
    with pytest.raises(RuntimeError, match=r"the loss is differentiable once \(found create_graph=True\)"):
        torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)


def test_the_cached_encoder_refuses_a_second_derivative_in_the_same_words() -> None:
    weight = torch.randn(3, 3, requires_grad=True)
    found = cached(lambda part: part @ weight, torch.randn(4, 3).split(2))
    with pytest.raises(RuntimeError, match=r"the cached encoder is differentiable once \(found create_graph=True\)"):
        torch.autograd.grad(found.sum(), weight, create_graph=True)


@each
def test_a_gradient_changed_in_place_does_not_change_the_next(subject: Subject, problem: Problem) -> None:
    for make in reductions(subject):
        leaves = problem.tensors()
        loss = make()(problem.contrast(*leaves)).sum()
        if not loss.requires_grad:
            return
        first = torch.autograd.grad(loss, leaves, retain_graph=True)
        wanted = [gradient.clone() for gradient in first]
        for gradient in first:
            gradient.mul_(3)
        second = torch.autograd.grad(loss, leaves, retain_graph=True)
        assert all(torch.equal(found, exact) for found, exact in zip(second, wanted, strict=True))


@each
def test_gradients_of_a_retained_graph_add_up(subject: Subject, problem: Problem) -> None:
    """Nobody else holds a gradient that becomes a leaf's, so that the next ones are added to it in place."""
    leaves = problem.tensors()
    loss = subject.make()(problem.contrast(*leaves)).sum()
    if not loss.requires_grad:
        return
    wanted = [4 * gradient for gradient in torch.autograd.grad(loss, leaves, retain_graph=True)]
    for last in (False, False, False, True):
        loss.backward(retain_graph=not last)
    for leaf, gradient in zip(leaves, wanted, strict=True):
        torch.testing.assert_close(leaf.grad, gradient)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
