"""Views of token vectors: each against its law or a plain loop, on padded batches with texts of no or one token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import Tensor

import nearfar as nf
from nearfar.data.views import parse_view
from nearfar.data.views.embedding import (
    EMBEDDING_VIEWS,
    Adversarial,
    Cutoff,
    Dropout,
    EmbeddingView,
    Gaussian,
    Mixup,
    Shuffle,
    root_mean_square,
)

batches = st.tuples(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(0, 2**31))
"""Tokens of each text, and a seed."""
CHANGED = [Cutoff(), Cutoff(kind="features"), Cutoff(kind="span"), Shuffle(), Gaussian(), Mixup()]


def batch(lengths: list[int], seed: int, width: int = 5, before: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors, none 0, and mask; `before` tokens of the model's own come first, and padding is not 0 either."""
    torch.manual_seed(seed)
    mask = torch.zeros(len(lengths), before + max(*lengths, 1) + 2, dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, before : before + length] = True
    return torch.randn(*mask.shape, width).abs() + 0.1, mask


@pytest.mark.parametrize("view", CHANGED, ids=str)
@given(drawn=batches, before=st.integers(0, 2))
def test_shape_is_kept_and_nothing_but_tokens_changes(
    view: EmbeddingView, drawn: tuple[list[int], int], before: int
) -> None:
    vectors, mask = batch(*drawn, before=before)
    kept = vectors.clone()
    changed = view(vectors, mask)
    assert changed.shape == vectors.shape
    assert changed.dtype == vectors.dtype
    assert torch.equal(vectors, kept)  # what was given stays as it is
    assert changed.isfinite().all()
    if view == Cutoff(kind="features"):  # of all that the encoder sees
        assert ((changed == vectors) | (changed == 0)).all()
    else:
        assert torch.equal(changed[~mask], vectors[~mask])


@pytest.mark.parametrize("view", [*CHANGED, Adversarial(probability=0.5)], ids=str)
def test_a_seed_gives_one_change(view: EmbeddingView) -> None:
    vectors, mask = batch([4, 7, 9], 0)

    def made(seed: int) -> Tensor:
        torch.manual_seed(seed)
        if isinstance(view, Adversarial):
            return view.step(vectors, mask, view.aimed(torch.ones_like(vectors)))
        return view(vectors, mask)

    def made_by_generator(seed: int) -> Tensor:
        return view(vectors, mask, torch.Generator().manual_seed(seed))

    for make in (made,) if isinstance(view, Adversarial) else (made, made_by_generator):
        assert torch.equal(make(3), make(3))
        assert any(not torch.equal(make(3), make(seed)) for seed in range(4, 12))


@pytest.mark.parametrize(
    "view", [Cutoff(rate=0.99), Cutoff(rate=0.99, kind="features"), Shuffle(), Gaussian()], ids=str
)
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability_is_the_share_of_texts_that_are_changed(view: EmbeddingView, probability: float) -> None:
    vectors, mask = batch([9] * 2000, 0, width=8)
    view = parse_view(str(view).replace("probability=1.0", f"probability={probability}"))
    changed = (view(vectors, mask) != vectors).flatten(1).any(1).float().mean().item()
    assert changed == pytest.approx(probability, abs=0.04)  # four standard errors


def test_the_adversarial_step_has_its_probability_too() -> None:
    vectors, mask = batch([3] * 2000, 0)
    view = Adversarial(probability=0.3)
    moved = view.step(vectors, mask, view.aimed(torch.ones_like(vectors))) != vectors
    assert (moved.flatten(1).any(1) == moved[:, 0, 0]).all()
    assert moved[:, 0, 0].float().mean().item() == pytest.approx(0.3, abs=0.04)


@given(batches, st.floats(0, 0.99))
def test_cutoff_zeroes_whole_tokens_and_leaves_one(drawn: tuple[list[int], int], rate: float) -> None:
    vectors, mask = batch(*drawn, before=1)
    changed = Cutoff(rate=rate)(vectors, mask)
    cut = (changed == 0).all(2)
    assert torch.equal(changed, vectors * ~cut[..., None])
    assert not cut[~mask].any()
    assert ((mask & ~cut).sum(1) >= mask.any(1).int()).all()
    if rate == 0:
        assert not cut.any()
    if rate == 1:
        assert ((mask & ~cut).sum(1) == mask.any(1).int()).all()


@pytest.mark.parametrize("kind", ["tokens", "features"])
def test_cutoff_cuts_the_share_that_is_asked_for(kind: str) -> None:
    vectors, mask = batch([50] * 400, 0, width=50)
    cut = Cutoff(kind=kind, rate=0.2)(vectors, mask)[mask] == 0
    assert cut.float().mean().item() == pytest.approx(0.2, abs=0.015)


@given(batches, st.floats(0, 0.99))
def test_cutoff_of_features_zeroes_columns(drawn: tuple[list[int], int], rate: float) -> None:
    vectors, mask = batch(*drawn)
    cut = Cutoff(kind="features", rate=rate)(vectors, mask) == 0
    assert torch.equal(cut, cut[:, :1].expand_as(cut))
    assert cut.all() or rate < 1


@given(batches, st.floats(0, 0.99))
def test_cutoff_of_a_span_is_one_run_of_the_right_width(drawn: tuple[list[int], int], rate: float) -> None:
    vectors, mask = batch(*drawn, before=2)
    cut = (Cutoff(kind="span", rate=rate)(vectors, mask) == 0).all(2)
    assert not cut[~mask].any()
    for row, length in enumerate(drawn[0]):
        places = cut[row].nonzero()[:, 0].tolist()
        wanted = min(max(round(np.float32(rate) * np.float32(length)), int(rate > 0)), max(length - 1, 0))
        assert len(places) == wanted
        assert places == list(range(places[0], places[0] + wanted)) if places else wanted == 0


def test_a_span_starts_anywhere() -> None:
    vectors, mask = batch([5] * 500, 0)
    cut = (Cutoff(kind="span", rate=0.4)(vectors, mask) == 0).all(2)
    assert set(cut.int().argmax(1).tolist()) == {0, 1, 2, 3}


@given(batches)
def test_shuffle_permutes_a_texts_own_tokens(drawn: tuple[list[int], int]) -> None:
    vectors, mask = batch(*drawn, before=1)
    changed = Shuffle()(vectors, mask)
    for row, own in enumerate(mask):
        before, after = (sorted(map(tuple, values[row][own].tolist())) for values in (vectors, changed))
        assert before == after


def test_every_order_is_as_likely() -> None:
    vectors, mask = batch([3] * 6000, 0, width=1)
    vectors[:] = torch.arange(vectors.shape[1])[None, :, None]
    orders = Shuffle()(vectors, mask)[:, :3, 0] @ torch.tensor([100.0, 10.0, 1.0])
    counts = orders.unique(return_counts=True)[1]
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 130


def test_gaussian_noise_has_the_scale_of_the_tokens() -> None:
    vectors, mask = batch([30] * 200, 0, width=16)
    vectors[~mask] = 1e6  # padding has no say
    size = vectors[mask].square().mean().sqrt().item()
    noise = (Gaussian(scale=0.3)(vectors, mask) - vectors)[mask] / size
    assert kstest(noise.flatten().numpy()[:20_000], "norm", (0, 0.3)).pvalue > 1e-4
    assert root_mean_square(vectors, mask).item() == pytest.approx(size)
    assert torch.equal(Gaussian(scale=0)(vectors, mask), vectors)


@given(batches, st.sampled_from([0.05, 0.2, 1.0, 8.0]))
def test_mixup_adds_less_than_half_of_one_other_text(drawn: tuple[list[int], int], alpha: float) -> None:
    """Row i is ``(1 - s) v_i + s v_j`` at its own tokens, for one j of the batch and one s up to a half."""
    vectors, mask = (part.double() if part.is_floating_point() else part for part in batch(*drawn))
    changed = Mixup(alpha=alpha)(vectors, mask)
    others = vectors * mask[..., None]
    for row, own in enumerate(mask):
        way = (others - vectors[row])[:, own]
        step = (changed - vectors)[row, own]
        share = (way * step).sum((1, 2)) / (way * way).sum((1, 2)).clamp(min=1e-30)
        fits = (share[:, None, None] * way - step).abs().flatten(1).sum(1)
        if own.any():
            best = int(fits.argmin())
            assert fits[best] < 1e-6
            assert -1e-6 <= share[best] <= 0.5 + 1e-6


def test_mixup_needs_another_text() -> None:
    vectors, mask = batch([4], 0)
    assert torch.equal(Mixup()(vectors, mask), vectors)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 3.0])
def test_the_share_of_mixup_is_beta_folded_to_a_half(alpha: float) -> None:
    vectors = torch.zeros(8000, 1, 1)
    vectors[:4000] = 1
    changed = Mixup(alpha=alpha)(vectors, torch.ones(8000, 1, dtype=torch.bool))
    share = (changed - vectors).abs().flatten()
    share = share[share > 0].numpy()
    generator = np.random.default_rng(0)
    wanted = generator.beta(alpha, alpha, 20_000)
    wanted = np.minimum(wanted, 1 - wanted)
    floor = 1e-7  # below, float32 sees no difference from 0 or 1
    assert abs(np.median(share[share > floor]) - np.median(wanted[wanted > floor])) < 0.03
    assert share.max() <= 0.5


def test_the_adversarial_step_is_epsilon_in_each_number() -> None:
    vectors, mask = batch([3, 1, 0], 0, before=1)
    slope = torch.randn_like(vectors)
    slope[0, 1, 0] = 0
    moved = Adversarial(epsilon=0.1).step(vectors, mask, slope) - vectors
    size = vectors[mask].square().mean().sqrt()
    wanted = 0.1 * size * slope.sign() * mask[..., None]
    torch.testing.assert_close(moved, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("view", EMBEDDING_VIEWS)
def test_a_view_is_written_and_read_as_text(view: type[EmbeddingView]) -> None:
    assert parse_view(str(view(probability=0.25))) == view(probability=0.25)
    assert view.space == "embedding"


def test_dropout_leaves_the_vectors_to_the_encoder() -> None:
    vectors, mask = batch([3, 2], 0)
    assert Dropout()(vectors, mask) is vectors


def test_a_wrong_kind_of_cutoff_is_named() -> None:
    with pytest.raises(nf.InputError, match="cutoff: kind: found 'token', wanted tokens, features or span"):
        Cutoff(kind="token")


def test_gradients_reach_what_is_left() -> None:
    vectors, mask = batch([6, 3], 0)
    for view in CHANGED:
        given = vectors.clone().requires_grad_()
        view(given, mask).sum().backward()
        assert given.grad is not None
        assert given.grad[mask].any(), view
