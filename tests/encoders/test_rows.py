"""Row-sparse learning: the mean of rows and its sparse gradient, and an Adam that touches only those rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nearfar.encoders.rows import RowAdam, mean_rows
from nearfar.encoders.tokens import Tokens

VOCABULARY, WIDTH = 9, 4
TEXTS = {
    "usual": [[1, 2, 3], [4], [2, 5]],
    "repeated-tokens": [[3, 3, 3, 1], [3, 1, 3]],
    "empty-texts": [[], [1, 2], [], [2], []],
    "one-text": [[0, 8]],
    "one-token": [[7]],
    "only-empty-texts": [[], []],
    "no-text": [],
    "every-row": [list(range(VOCABULARY)), list(range(VOCABULARY))],
}


def flat(rows: list[list[int]]) -> Tokens:
    ids = np.array([token for row in rows for token in row], np.int32)
    return Tokens(ids, np.cumsum([0, *map(len, rows)], dtype=np.int64))


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def dense_mean(vectors: Tensor, log_weights: Tensor, rows: list[list[int]]) -> Tensor:
    """One text after another: the sum of exp(w) v over its tokens, over their number."""
    means = [torch.zeros(vectors.shape[1], dtype=vectors.dtype) for _ in rows]
    for i, row in enumerate(rows):
        for token in row:
            means[i] = means[i] + log_weights[token].exp() * vectors[token] / len(row)
    return torch.stack(means) if rows else torch.empty(0, vectors.shape[1], dtype=vectors.dtype)


def check(rows: list[list[int]], dtype: torch.dtype, tolerance: float) -> None:
    """Value and both gradients against the dense computation in float64."""
    leaves = [draw(VOCABULARY, WIDTH, dtype=dtype), draw(VOCABULARY, 1, seed=1, dtype=dtype)]
    exact = [leaf.double().clone().requires_grad_() for leaf in leaves]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    upstream = draw(len(rows), WIDTH, seed=2, dtype=dtype)

    value = mean_rows(*leaves, flat(rows))
    assert value.shape == (len(rows), WIDTH)
    wanted = dense_mean(*exact, rows)
    torch.testing.assert_close(value.double(), wanted, rtol=tolerance, atol=tolerance)
    for i, row in enumerate(rows):
        assert row or not value[i].any()  # exactly 0

    gradients = torch.autograd.grad(value, leaves, upstream)
    correct = torch.autograd.grad(wanted, exact, upstream.double()) if any(rows) else map(torch.zeros_like, exact)
    for gradient, right in zip(gradients, correct, strict=True):
        assert gradient.is_sparse
        assert gradient.is_coalesced()
        assert gradient.indices().tolist() == [sorted({token for row in rows for token in row})]  # unique, in order
        torch.testing.assert_close(gradient.to_dense().double(), right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rows", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-7)], ids=str)
def test_the_mean_and_its_gradient(rows: list[list[int]], dtype: torch.dtype, tolerance: float) -> None:
    check(rows, dtype, tolerance)


@given(st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=6), min_size=1, max_size=6))
def test_any_texts(rows: list[list[int]]) -> None:
    check(rows, torch.float32, 1e-6)


def test_a_sum_of_gradients_over_two_batches() -> None:
    """Both sides of a pair go through the same table."""
    vectors, log_weights = draw(VOCABULARY, WIDTH).requires_grad_(), torch.zeros(VOCABULARY, 1)
    (mean_rows(vectors, log_weights, flat([[1, 2]])) * mean_rows(vectors, log_weights, flat([[2, 3]]))).sum().backward()
    twin = vectors.detach().clone().requires_grad_()
    (dense_mean(twin, log_weights, [[1, 2]]) * dense_mean(twin, log_weights, [[2, 3]])).sum().backward()
    torch.testing.assert_close(vectors.grad.to_dense(), twin.grad)


def test_weights_without_gradient_get_none() -> None:
    vectors, log_weights = draw(VOCABULARY, WIDTH).requires_grad_(), torch.zeros(VOCABULARY, 1)
    mean_rows(vectors, log_weights, flat([[1, 2]])).sum().backward()
    assert log_weights.grad is None
    assert vectors.grad is not None


def sparse(rows: list[int], values: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(
        torch.tensor([rows], dtype=torch.long), values, (VOCABULARY, values.shape[1]), check_invariants=True
    ).coalesce()


STEPS = st.lists(st.sets(st.integers(0, VOCABULARY - 1), min_size=1), min_size=1, max_size=6)


@given(STEPS, st.sampled_from([(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)]))
def test_the_steps_are_those_of_sparse_adam(steps: list[set[int]], betas: tuple[float, float]) -> None:
    """A row of one entry is its own mean, so that the shared second moment is no difference."""
    ours, theirs = (draw(VOCABULARY, 1).requires_grad_() for _ in range(2))
    start = ours.detach().clone()
    mine = RowAdam([ours], lr=0.05, betas=betas)
    peer = torch.optim.SparseAdam([theirs], lr=0.05, betas=betas)
    touched: set[int] = set()
    for number, rows in enumerate(steps):
        gradient = sparse(sorted(rows), draw(len(rows), 1, seed=number + 1).sign() + 3)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        peer.step()
        touched |= rows
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    rest = [row for row in range(VOCABULARY) if row not in touched]
    assert torch.equal(ours[rest], start[rest])  # bit for bit
    for moment in ("mean", "square"):
        assert not mine.state[ours][moment][rest].any()


@pytest.mark.parametrize("eps", [1e-8, 1e-2])
@pytest.mark.parametrize("size", [1.0, 1e-6])
def test_the_steps_are_algorithm_1(eps: float, size: float) -> None:
    """Kingma & Ba 2015, in float64, with the mean square of a row; eps joins the root of the corrected square."""
    weight = draw(VOCABULARY, WIDTH).requires_grad_()
    theta = weight.detach().double().numpy().copy()
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    optimiser = RowAdam([weight], lr=0.05, betas=(0.9, 0.999), eps=eps)
    for t in range(1, 6):
        g = size * draw(VOCABULARY, WIDTH, seed=t)
        weight.grad = sparse(list(range(VOCABULARY)), g)
        optimiser.step()
        m = 0.9 * m + 0.1 * g.double().numpy()
        v = 0.999 * v + 0.001 * (g.double().numpy() ** 2).mean(axis=1, keepdims=True)
        theta -= 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps)
    np.testing.assert_allclose(weight.detach().numpy(), theta, rtol=0, atol=1e-5)


def test_many_rows_at_once() -> None:
    count = 3000
    ours, theirs = (draw(count, 2).requires_grad_() for _ in range(2))
    mine, peer = RowAdam([ours], lr=0.1), torch.optim.SparseAdam([theirs], lr=0.1)
    for seed in range(3):
        rows = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:2000].sort().values
        gradient = torch.sparse_coo_tensor(
            rows[None], draw(2000, 2, seed=seed).sign(), (count, 2), check_invariants=True
        ).coalesce()
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        peer.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_groups_have_their_own_rates() -> None:
    quick, slow = (torch.zeros(VOCABULARY, WIDTH, requires_grad=True) for _ in range(2))
    optimiser = RowAdam([{"params": [quick], "lr": 0.5}, {"params": [slow]}], lr=0.25)
    for weight in (quick, slow):
        weight.grad = sparse([2], torch.ones(1, WIDTH))
    optimiser.step()
    assert quick[2].tolist() == pytest.approx([-0.5] * WIDTH)  # Adam's first step is as long as the rate
    assert slow[2].tolist() == pytest.approx([-0.25] * WIDTH)


def test_a_rate_of_0_and_a_missing_gradient_move_nothing() -> None:
    weight = draw(VOCABULARY, WIDTH).requires_grad_()
    before = weight.detach().clone()
    optimiser = RowAdam([weight], lr=0.0)
    optimiser.step()
    weight.grad = sparse([1, 2], torch.ones(2, WIDTH))
    optimiser.step()
    assert torch.equal(weight, before)


def test_a_gradient_over_no_rows_is_a_step_that_moves_nothing() -> None:
    """A batch whose texts are all empty."""
    vectors, log_weights = draw(VOCABULARY, WIDTH).requires_grad_(), torch.zeros(VOCABULARY, 1)
    before = vectors.detach().clone()
    mean_rows(vectors, log_weights, flat([[], []])).sum().backward()
    RowAdam([vectors]).step()
    assert torch.equal(vectors, before)


def test_it_learns() -> None:
    """Three rows are pulled to where their means should lie; the others rest."""
    vectors, log_weights = draw(VOCABULARY, WIDTH).requires_grad_(), torch.zeros(VOCABULARY, 1)
    goal, tokens = draw(2, WIDTH, seed=5), flat([[1, 2], [2, 3]])
    optimiser = RowAdam([vectors], lr=0.05)
    losses = []
    for _ in range(200):
        loss = (mean_rows(vectors, log_weights, tokens) - goal).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
