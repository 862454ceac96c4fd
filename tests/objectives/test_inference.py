"""`torch.inference_mode`, in which torch differentiates nothing, and tensors that come from it."""

from __future__ import annotations

import pytest
import torch

from tests.objectives.subjects import CASES, IDS


@pytest.mark.parametrize("index", range(len(CASES)), ids=IDS)
def test_the_loss_in_inference_mode_is_the_loss(index: int) -> None:
    subject, problem = CASES[index]
    wanted = subject.make()(problem.contrast(*problem.tensors()), strip_rows=2)
    with torch.inference_mode():
        found = subject.make()(problem.contrast(*problem.tensors()), strip_rows=2)
    assert not found.requires_grad
    assert found.item() == pytest.approx(wanted.item(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("index", range(len(CASES)), ids=IDS)
def test_embeddings_from_inference_mode_may_stand_beside_those_that_learn(index: int) -> None:
    """As ``SentenceTransformer.encode`` returns them: every side but the first."""
    subject, problem = CASES[index]
    reductions = ("mean", "sum") if subject.rows else (None,)
    for reduction in reductions:
        gradients = []
        for mode in (torch.no_grad, torch.inference_mode):
            learnt, *_ = problem.tensors()
            with mode():
                frozen = [part.clone() for part in problem.tensors()[1:]]
            objective = subject.make(reduction=reduction) if reduction else subject.make()
            objective(problem.contrast(learnt, *frozen)).backward()
            gradients.append(learnt.grad)
        assert torch.equal(*gradients)
