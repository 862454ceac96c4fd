"""Where arithmetic is hard: near convergence, extreme scores, degenerate rows, half precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

import nearfar as nf
from nearfar.objectives import Objective
from tests.objectives.subjects import ONE_SIDED, SUBJECTS, Subject

WIDTH = 16


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def contrasts(first: Tensor, second: Tensor) -> dict[str, nf.Contrast]:
    """Every kind of contrast whose near pairs are (first[i], second[i])."""
    labels = torch.arange(len(first)).repeat(2)
    return {
        "pairs": nf.pairs(first, second),
        "views": nf.views(first, second),
        "labelled": nf.labelled(torch.cat([first, second]), labels),
    }


def gradients(
    objective: Objective, kind: str, first: Tensor, second: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and its gradients to both sides, for inputs brought to `dtype`."""
    leaves = [side.to(dtype).requires_grad_() for side in (first, second)]
    loss = objective(contrasts(*leaves)[kind])
    return loss.detach(), *torch.autograd.grad(loss.sum(), leaves)


EVERYWHERE = [
    pytest.param(subject, kind, id=f"{subject.name}-{kind}")
    for subject in SUBJECTS
    for kind in ("pairs", "views", "labelled")
    if subject.suits(kind)
]
every_subject = pytest.mark.parametrize(("subject", "kind"), EVERYWHERE)


def at(subject: Subject, temperature: float, reduction: str = "mean") -> Objective:
    """The subject's objective at a temperature and with a reduction, where it has them."""
    objective = subject.make(reduction=reduction) if subject.rows else subject.make()
    return replace(objective, temperature=temperature) if hasattr(objective, "temperature") else objective


def dense_infonce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """InfoNCE of pairs by cosine as log(1 + sum of exp(s_ij - s_ii)), whole matrix, plain autograd."""
    scores = normalize(first, dim=1) @ normalize(second, dim=1).T / temperature
    others = ~torch.eye(len(scores), dtype=torch.bool)
    gaps = scores - scores.diagonal()[:, None]
    return (gaps.exp() * others).sum(1).log1p().mean()


def near_convergence(count: int = 64, width: int = 32, cosine: float = 0.95) -> tuple[Tensor, Tensor]:
    """Unit rows and their positives, whose cosine with them is `cosine`."""
    first = normalize(draw(count, width, seed=1), dim=1)
    other = draw(count, width, seed=2)
    other = normalize(other - (other * first).sum(1, keepdim=True) * first, dim=1)
    return first, cosine * first + (1 - cosine**2) ** 0.5 * other


def assert_rows_close(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Each row within `tolerance` of its own norm; a row without gradient, as a hinge has many, exactly so."""
    assert ((found.double() - wanted).norm(dim=1) <= tolerance * wanted.norm(dim=1)).all()


@every_subject
def test_near_convergence_every_gradient_row_keeps_three_digits(subject: Subject, kind: str) -> None:
    first, second = near_convergence()
    objective = at(subject, 0.05)
    loss, *found = gradients(objective, kind, first, second, torch.float32)
    exact, *wanted = gradients(objective, kind, first, second, torch.float64)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3)
    for side in range(2):
        assert_rows_close(found[side], wanted[side], 1e-3)


def test_near_convergence_against_the_dense_equation() -> None:
    """The same, against an equation that is not ours; the loss there is small, so that 1 - p is hard."""
    first, second = near_convergence()
    leaves = [side.double().requires_grad_() for side in (first, second)]
    exact = dense_infonce(*leaves, temperature=0.05)
    assert 0 < exact.item() < 1e-2
    wanted = torch.autograd.grad(exact, leaves)
    loss, *found = gradients(nf.InfoNCELoss(temperature=0.05), "pairs", first, second, torch.float32)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-3)
    for side in range(2):
        assert_rows_close(found[side], wanted[side], 1e-3)


def test_a_solved_batch_still_has_its_tiny_loss() -> None:
    """Positives equal, others orthogonal: log(1 + 3 exp(-20)) has no digit left if 1 - p is subtracted."""
    x = torch.eye(4)
    assert nf.InfoNCELoss(temperature=0.05)(nf.pairs(x, x)).item() == pytest.approx(3 * 2.0611536e-9, rel=1e-5)


def duplicated() -> Tensor:
    return draw(1, WIDTH).repeat(6, 1)


def with_zeros() -> Tensor:
    rows = draw(6, WIDTH)
    rows[[1, 4]] = 0
    return rows


def antipodal() -> Tensor:
    return draw(1, WIDTH) * torch.tensor([1, -1, 1, -1, 1, -1])[:, None]


DEGENERATE = (duplicated, with_zeros, antipodal)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", DEGENERATE, ids=lambda rows: rows.__name__)
@every_subject
def test_degenerate_rows_give_finite_numbers(
    subject: Subject, kind: str, rows: Callable[[], Tensor], dtype: torch.dtype
) -> None:
    for second in (rows(), -rows(), draw(6, WIDTH, seed=3)):
        for temperature in (0.001, 1.0):
            for reduction in ("mean", "none"):
                found = gradients(at(subject, temperature, reduction), kind, rows(), second, dtype)
                assert all(part.isfinite().all() for part in found)


@every_subject
def test_temperature_of_a_thousandth(subject: Subject, kind: str) -> None:
    first, second = draw(8, WIDTH), draw(8, WIDTH, seed=1)
    loss, *found = gradients(at(subject, 0.001), kind, first, second, torch.float32)
    exact, *wanted = gradients(at(subject, 0.001), kind, first, second, torch.float64)
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    for side in range(2):
        # What is below 1e-30 has no place in float32.
        atol = 1e-3 * wanted[side].abs().max().item() + 1e-30
        torch.testing.assert_close(found[side].double(), wanted[side], rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@every_subject
def test_half_precision_input_is_summed_in_float32(subject: Subject, kind: str, dtype: torch.dtype) -> None:
    """Equal to float32 on the same (rounded) rows: only the gradient handed back is rounded."""
    first, second = draw(32, WIDTH).to(dtype), draw(32, WIDTH, seed=1).to(dtype)
    loss, *found = gradients(subject.make(), kind, first, second, dtype)
    exact, *wanted = gradients(subject.make(), kind, first, second, torch.float32)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    for side in range(2):
        assert found[side].dtype == dtype
        rounding = torch.finfo(dtype).eps
        largest = wanted[side].abs().max().item()
        torch.testing.assert_close(found[side].float(), wanted[side], rtol=rounding, atol=rounding * largest)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@every_subject
def test_autocast_does_not_reach_the_scores(subject: Subject, kind: str, reduction: str) -> None:
    """A loop calls the loss within torch.autocast, as PyTorch's own recipe has it; the sums stay float32."""
    first, second = draw(32, WIDTH), draw(32, WIDTH, seed=1)
    objective = subject.make(reduction=reduction) if subject.rows else subject.make()
    wanted = gradients(objective, kind, first, second, torch.float32)
    leaves = [first.requires_grad_(), second.requires_grad_()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective(contrasts(*leaves)[kind])
    found = (loss.detach(), *torch.autograd.grad(loss, leaves))
    for ours, exact in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, exact, rtol=1e-5, atol=1e-5 * exact.abs().max().item())


@pytest.mark.parametrize("objective", [nf.CoSENTLoss(), nf.AnglELoss(), nf.MarginMSELoss()])
def test_autocast_does_not_reach_graded_scores(objective: Objective) -> None:
    contrast = nf.graded(draw(8, WIDTH), draw(8, 3, WIDTH, seed=1), draw(8, 3, seed=2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = objective(contrast)
    assert torch.equal(found, objective(contrast))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_scores_of_ten_thousand(reduction: str) -> None:
    """By dot product against unit candidates the anchors are the scores, here +-1e4 and their mixtures."""
    scores = 1e4 * torch.tensor([[1.0, -1, -1, -1], [1, -1, 1, 1], [-1, -1, 1, -1], [1, 1, 1, 1], [0, 1, -1, 0]])
    scores = torch.cat([scores, torch.zeros(5, 1)], dim=1).requires_grad_()
    exact = scores.detach().double().requires_grad_()
    rows = torch.logsumexp(exact, dim=1) - exact.diagonal()
    loss = nf.InfoNCELoss(temperature=1.0, similarity="dot", reduction=reduction)(nf.pairs(scores, torch.eye(5)))
    # A score of 1e4 is itself only known to 5e-4 in float32.
    torch.testing.assert_close(
        loss.double(), {"mean": rows.mean(), "sum": rows.sum(), "none": rows}[reduction], rtol=1e-7, atol=1e-3
    )
    (found,) = torch.autograd.grad(loss.sum(), scores)
    (wanted,) = torch.autograd.grad(rows.mean() if reduction == "mean" else rows.sum(), exact)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("strip_rows", [None, 3])
@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])
def test_both_directions_where_rows_have_very_different_sums(spread: float, strip_rows: int | None) -> None:
    """Shares of a column follow from those of rows only where no row drowns what a column has."""
    lengths = torch.logspace(0, 1, 8)[:, None] ** torch.tensor(spread).log10()
    leaves = [(draw(8, WIDTH) * lengths).requires_grad_(), draw(8, WIDTH, seed=1).requires_grad_()]
    loss = nf.InfoNCELoss(temperature=1.0, similarity="dot", symmetric=True)(nf.pairs(*leaves), strip_rows=strip_rows)
    exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
    scores, own = exact[0] @ exact[1].T, torch.arange(8)
    dense = (cross_entropy(scores, own) + cross_entropy(scores.T, own)) / 2
    torch.testing.assert_close(loss.double(), dense, rtol=1e-5, atol=0)
    for found, wanted in zip(torch.autograd.grad(loss, leaves), torch.autograd.grad(dense, exact), strict=True):
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())


def test_uniform_scores_give_log_of_one_and_the_far() -> None:
    same = torch.ones(6, 4, dtype=torch.float64)
    far = {"pairs": 5, "views": 10, "labelled": 10}
    for kind, contrast in contrasts(same, same).items():
        assert nf.InfoNCELoss()(contrast).item() == pytest.approx(log(1 + far[kind]), abs=1e-12)
    assert nf.InfoNCELoss()(nf.pairs(same, same, same[:3])).item() == pytest.approx(log(1 + 5 + 3), abs=1e-12)
    assert nf.NTXentLoss()(nf.views(same, same)).item() == pytest.approx(log(11), abs=1e-12)


def test_a_far_candidate_that_nothing_pulls_has_gradient_0_and_no_nan() -> None:
    """Rows of one class beside rows that have no partner at all."""
    rows = draw(5, WIDTH).requires_grad_()
    loss = nf.InfoNCELoss()(nf.labelled(rows, torch.tensor([0, 1, 2, 3, 3])))
    loss.backward()
    assert rows.grad.isfinite().all()
    assert rows.grad[4].any()


@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
def test_a_zero_vector_has_no_direction_and_gets_no_gradient(kind: str) -> None:
    """A cosine with it is 0 whatever it does next; 1/eps of the others' gradient would end a run."""
    first, second = with_zeros(), draw(6, WIDTH, seed=3)
    loss, found, _ = gradients(nf.InfoNCELoss(), kind, first, second, torch.float32)
    assert loss.isfinite()
    assert found.abs().max() < 1e3


@every_subject
def test_a_batch_of_one(subject: Subject, kind: str) -> None:
    loss, *found = gradients(subject.make(), kind, draw(1, WIDTH), draw(1, WIDTH, seed=1), torch.float32)
    if subject.name in ONE_SIDED:  # a near candidate alone says something
        assert loss.isfinite()
        return
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in found)


@pytest.mark.parametrize("strip_rows", [None, 3])
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
@pytest.mark.parametrize("symmetric", [False, True])
def test_weights_count_by_their_ratios_alone(symmetric: bool, scale: float, strip_rows: int | None) -> None:
    draw = torch.Generator().manual_seed(0)
    sides = [torch.randn(8, 5, generator=draw).requires_grad_() for _ in range(2)]
    weights, found = torch.rand(8, generator=draw), []
    for times in (1.0, scale):
        loss = nf.InfoNCELoss(symmetric=symmetric)(nf.pairs(*sides, weights=weights * times), strip_rows=strip_rows)
        found.append([loss.detach(), *torch.autograd.grad(loss, sides)])
    for ours, wanted in zip(*reversed(found), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)
