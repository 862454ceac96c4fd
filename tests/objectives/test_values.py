"""Values and gradients of every objective over every contrast, against the slow reference."""

from __future__ import annotations

import cmath
import dataclasses
import inspect

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.objectives import REGISTRY
from tests.objectives.subjects import CASES, IDS, ONE_SIDED, PROBLEMS, SUBJECTS, Problem, compare, sigmoid
from tests.reference import decisions, softmax
from tests.reference.gradient import complex_step

every_case = pytest.mark.parametrize("index", range(len(CASES)), ids=IDS)
BY_ROW = [index for index, (subject, _) in enumerate(CASES) if subject.rows]
every_case_by_row = pytest.mark.parametrize("index", BY_ROW, ids=[IDS[index] for index in BY_ROW])
PAIRS = [problem for problem in PROBLEMS if problem.kind == "pairs"]


def test_every_registered_objective_is_a_subject() -> None:
    assert {type(subject.make()) for subject in SUBJECTS} == set(REGISTRY.values())


@every_case
def test_float64(index: int) -> None:
    compare(index)


@every_case
def test_float32(index: int) -> None:
    compare(index, dtype=torch.float32, tolerance=1e-5)


@pytest.mark.parametrize("strip_rows", [1, 2, 5])
@every_case
def test_strips(index: int, strip_rows: int) -> None:
    compare(index, strip_rows=strip_rows)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@every_case
def test_gradcheck(index: int, reduction: str) -> None:
    subject, problem = CASES[index]
    if not subject.differentiable:
        pytest.skip("weights in it are held fixed: test_float64 has its gradient")
    if subject.whole and reduction == "none":
        pytest.skip("one number for the batch")
    objective = subject.make() if subject.whole else subject.make(reduction=reduction)
    assert torch.autograd.gradcheck(
        lambda *embeddings: objective(problem.contrast(*embeddings), strip_rows=2),
        problem.tensors(),
        fast_mode=True,
    )


@every_case_by_row
def test_every_row_and_their_sum(index: int) -> None:
    subject, problem = CASES[index]
    plain = problem.plain(*problem.inputs())
    rows = [w * value.real for (value, _), w in zip(subject.rows(plain), plain.weights, strict=True)]
    for strip_rows in (None, 2):
        contrast = problem.contrast(*problem.tensors())
        none = subject.make(reduction="none")(contrast, strip_rows=strip_rows)
        assert none.shape == (len(contrast),)
        np.testing.assert_allclose(none.detach().numpy(), rows, rtol=0, atol=1e-10)
        summed = subject.make(reduction="sum")(contrast, strip_rows=strip_rows)
        assert summed.shape == ()
        assert summed.item() == pytest.approx(sum(rows), rel=0, abs=1e-10)


@pytest.mark.parametrize("reduction", ["sum", "none"])
@every_case_by_row
def test_gradients_of_the_other_reductions(index: int, reduction: str) -> None:
    subject, problem = CASES[index]
    plain = problem.plain(*problem.inputs())
    upstream = np.random.default_rng(1).normal(size=len(plain.near)) if reduction == "none" else np.ones(())

    def loss(*embeddings: np.ndarray) -> complex:
        moved = problem.plain(*embeddings)
        return softmax.total(subject.rows(moved), np.asarray(moved.weights) * upstream)

    _, wanted = complex_step(loss, problem.inputs())
    tensors = problem.tensors()
    value = subject.make(reduction=reduction)(problem.contrast(*tensors), strip_rows=2)
    value.backward(torch.from_numpy(upstream))
    for tensor, gradient in zip(tensors, wanted, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, rtol=0, atol=1e-10)


@every_case
def test_a_factor_on_the_loss_is_a_factor_on_the_gradient(index: int) -> None:
    subject, problem = CASES[index]
    tensors = problem.tensors()
    contrast = problem.contrast(*tensors)
    plain = torch.autograd.grad(subject.make()(contrast), tensors)
    scaled = torch.autograd.grad(-3 * subject.make()(contrast), tensors)
    for one, three in zip(plain, scaled, strict=True):
        torch.testing.assert_close(three, -3 * one, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("problem", PAIRS, ids=lambda problem: problem.name)
def test_symmetric_is_the_average_with_the_roles_exchanged(problem: Problem, reduction: str) -> None:
    options = {"temperature": 0.3, "similarity": "cosine"}

    def loss(anchors: np.ndarray, positives: np.ndarray, *negatives: np.ndarray) -> complex:
        sides = (problem.plain(anchors, positives, *negatives), problem.transposed(anchors, positives))
        return sum(softmax.mean(softmax.infonce(side, **options), side.weights) for side in sides) / 2

    value, gradients = complex_step(loss, problem.inputs())
    tensors = problem.tensors()
    contrast = problem.contrast(*tensors)
    ours = nf.InfoNCELoss(symmetric=True, reduction=reduction, **options)(contrast, strip_rows=2)
    if reduction == "none":
        assert ours.shape == (len(contrast),)
        ours = ours.sum() / (len(contrast) if contrast.weights is None else contrast.weights.sum())
    ours.backward()
    assert ours.item() == pytest.approx(value, rel=0, abs=1e-10)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy(), gradient, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["views", "labelled"])
def test_symmetric_changes_nothing_where_both_sides_are_the_same_items(kind: str) -> None:
    problem = next(problem for problem in PROBLEMS if problem.kind == kind)
    contrast = problem.contrast(*problem.tensors())
    assert nf.InfoNCELoss(symmetric=True)(contrast).item() == nf.InfoNCELoss()(contrast).item()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["labelled-only-single-members", "labelled-one-class", "pairs-one-group"])
def test_nothing_to_learn_is_exactly_0(name: str, reduction: str) -> None:
    """No row has a near candidate, or none has a far one: 0 and zero gradients, not NaN."""
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    for subject in SUBJECTS:
        if not subject.suits(problem.kind) or subject.name in ONE_SIDED:
            continue
        tensors = problem.tensors(torch.float32)
        value = subject.make(reduction=reduction)(problem.contrast(*tensors))
        value.sum().backward()
        assert not value.any()
        assert not any(tensor.grad.any() for tensor in tensors)


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.rows and s.suits("labelled")], ids=lambda s: s.name)
def test_rows_without_near_candidates_are_left_out_of_the_mean(subject) -> None:
    problem = next(problem for problem in PROBLEMS if problem.name == "labelled")
    rows = subject.rows(problem.plain(*problem.inputs()))
    if rows[6][1]:
        pytest.skip("far candidates alone count in this equation")
    none = subject.make(reduction="none")(problem.contrast(*problem.tensors()))
    assert none[6] == 0  # the only member of its class


def test_all_weights_0_is_exactly_0() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    value = nf.InfoNCELoss()(nf.pairs(x, x.detach() + 1, weights=torch.zeros(4)))
    value.backward()
    assert value.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.bool], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_of_any_real_dtype(dtype: torch.dtype, reduction: str) -> None:
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    gradients = []
    for weights in (torch.tensor([1, 0, 1, 1], dtype=dtype), torch.tensor([1.0, 0.0, 1.0, 1.0])):
        leaf = x.clone().requires_grad_()
        nf.InfoNCELoss(reduction=reduction)(nf.pairs(leaf, y, weights=weights)).backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)


def test_a_duplicate_is_no_false_negative() -> None:
    """One duplicated row of four must not leave a perfect encoder with a loss."""
    x = torch.eye(4)[[0, 1, 2, 0]]
    groups = torch.tensor([0, 1, 2, 0])
    loss = nf.InfoNCELoss(temperature=0.01)
    assert loss(nf.pairs(x, x)).item() == pytest.approx(np.log(2) / 2, abs=1e-6)  # so it would be without groups
    assert loss(nf.pairs(x, x, groups=groups)).item() == pytest.approx(0, abs=1e-12)
    assert loss(nf.views(x, x)).item() == pytest.approx(np.log(3) / 2, abs=1e-6)
    assert loss(nf.views(x, x, groups=groups)).item() == pytest.approx(0, abs=1e-12)


def test_the_same_tensor_on_both_sides_gets_both_gradients() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: nf.InfoNCELoss(temperature=0.5)(nf.pairs(x, x * x)), x)


@pytest.mark.parametrize("side", [0, 1])
def test_a_side_without_gradient(side: int) -> None:
    both = [torch.randn(5, 3, dtype=torch.float64) for _ in range(2)]
    both[side].requires_grad_()
    nf.InfoNCELoss()(nf.pairs(*both)).backward()
    alone = both[side].grad
    twin = [x.detach().clone().requires_grad_() for x in both]
    nf.InfoNCELoss()(nf.pairs(*twin)).backward()
    torch.testing.assert_close(alone, twin[side].grad)
    assert both[1 - side].grad is None


@pytest.mark.parametrize("name", ["pairs", "views-weights", "judged"])
def test_the_learnt_scale_and_bias_of_sigmoid_get_their_gradients(name: str) -> None:
    problem = next(problem for problem in PROBLEMS if problem.name == name)
    plain = problem.plain(*problem.inputs())

    def loss(log_scale: np.ndarray, bias: np.ndarray) -> complex:
        rows = decisions.sigmoid(plain, cmath.exp(log_scale[()]), bias[()])
        return softmax.mean(rows, plain.weights)

    value, gradients = complex_step(loss, (np.array(0.5), np.array(-1.25)))
    objective = sigmoid()
    ours = objective(problem.contrast(*problem.tensors()), strip_rows=2)
    ours.backward()
    assert ours.item() == pytest.approx(value, rel=0, abs=1e-10)
    for parameter, gradient in zip((objective.log_scale, objective.bias), gradients, strict=True):
        assert parameter.shape == ()
        assert parameter.grad.item() == pytest.approx(float(gradient), rel=0, abs=1e-10)


def test_a_sigmoid_that_does_not_learn_has_no_parameters_to_train() -> None:
    assert not any(parameter.requires_grad for parameter in nf.SigmoidLoss(learnable=False).parameters())
    assert {name for name, _ in nf.SigmoidLoss().named_parameters()} == {"log_scale", "bias"}


@pytest.mark.parametrize("objective", REGISTRY.values(), ids=REGISTRY)
def test_arguments_are_checked(objective: type) -> None:
    options = inspect.signature(objective).parameters
    if "reduction" in options:
        with pytest.raises(ValueError, match=r"reduction: found 'median', wanted one of 'mean', 'sum', 'none'"):
            objective(reduction="median")
    for name in ("temperature", "scale", "similarity"):
        if name in options:
            for bad in (0, -1.0, float("nan"), float("inf")) if name != "similarity" else ("l1", None):
                with pytest.raises(ValueError, match=rf"{objective.__name__}: {name}: found {bad!r}, wanted "):
                    objective(**{name: bad})


@pytest.mark.parametrize("objective", [o for o in REGISTRY.values() if dataclasses.is_dataclass(o)])
def test_objectives_are_values(objective: type) -> None:
    assert objective() == objective()
    assert hash(objective()) == hash(objective())
    with pytest.raises(dataclasses.FrozenInstanceError):
        objective().anything = "sum"
    with pytest.raises(TypeError):
        objective(0.05)  # hyper-parameters have names


@pytest.mark.parametrize("subject", [s for s in SUBJECTS if s.make().contrasts], ids=lambda s: s.name)
def test_a_contrast_of_another_kind_is_refused(subject) -> None:
    for problem in PROBLEMS:
        if not subject.suits(problem.kind):
            with pytest.raises(ValueError, match=f"found a contrast of {problem.kind}, wanted nearfar."):
                subject.make()(problem.contrast(*problem.tensors()))
