"""The noise distribution against its definition and a chi-square test; mixed negatives against their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

import nearfar as nf
from nearfar.data.negatives.noise import alias_table


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60).filter(any), st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.0]))
def test_the_alias_table_holds_the_distribution(counts: list[float], alpha: float) -> None:
    noise = nf.NoiseDistribution(counts, alpha=alpha)
    values = np.array(counts)
    power = np.where(values > 0, (values / values.max()) ** alpha, 0.0)
    share = power / power.sum()
    keep, alias = alias_table(share)
    held = keep / len(share)
    np.add.at(held, alias, (1 - keep) / len(share))
    np.testing.assert_allclose(held, share, atol=1e-12)
    np.testing.assert_allclose(noise.log_probability(torch.arange(len(noise))).exp(), share, rtol=1e-5, atol=1e-30)


def test_draws_follow_the_powers_of_the_counts() -> None:
    counts = np.array([900, 0, 10, 300, 1, 0, 55])
    drawn = nf.NoiseDistribution(counts).sample((400, 500), generator=torch.Generator().manual_seed(3))
    seen = np.bincount(drawn.numpy().ravel(), minlength=7)
    there = counts > 0
    wanted = counts[there] ** 0.75
    assert (seen[~there] == 0).all()
    assert chisquare(seen[there], wanted / wanted.sum() * drawn.numel()).pvalue > 1e-3


def test_draws_repeat_with_their_generator() -> None:
    noise = nf.NoiseDistribution([5, 1, 3])
    first, again = (noise.sample(20, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert set(nf.NoiseDistribution([7]).sample(9).tolist()) == {0}
    assert noise.sample((2, 3)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(6, 4), (4,)])
def test_noise_fits_the_contrast_of_nce(shape: tuple[int, ...]) -> None:
    """Every id's probability goes to the loss: the value equals the equation written out."""
    noise = nf.NoiseDistribution([3, 1, 4, 1, 5])
    table, anchors, ids = torch.randn(5, 8), torch.randn(6, 8), torch.randint(5, (6,))
    drawn = noise.sample(shape)
    logs = noise.log_probability(ids), noise.log_probability(drawn)
    loss = nf.NCELoss()(nf.sampled(anchors, table[ids], table[drawn], *logs))
    near = (anchors * table[ids]).sum(1) - logs[0] - np.log(4)
    far = torch.einsum("nd,nkd->nk", anchors, table[drawn].expand(6, 4, 8)) - logs[1] - np.log(4)
    wanted = -torch.nn.functional.logsigmoid(near) - torch.nn.functional.logsigmoid(-far).sum(1)
    torch.testing.assert_close(loss, wanted.mean())


@pytest.mark.parametrize("counts", [[], [0, 0], [1, -1], [1, float("nan")], [[1.0]]])
def test_counts_that_are_none(counts: list[float]) -> None:
    with pytest.raises(ValueError, match="counts: found"):
        nf.NoiseDistribution(counts)
    with pytest.raises(ValueError, match="alpha: found -1"):
        nf.NoiseDistribution([1], alpha=-1)


@pytest.mark.parametrize("own", [False, True])
def test_mixed_negatives_lie_between_two_of_the_hardest(own: bool) -> None:
    """Each is a positive combination of two of the anchor's hardest, of length 1."""
    anchors, far = torch.randn(5, 6), torch.randn(5, 9, 6) if own else torch.randn(9, 6)
    made = nf.mix_negatives(anchors, far, mixed=7, hardest=3)
    assert made.shape == (5, 7, 6)
    torch.testing.assert_close(made.norm(dim=-1), torch.ones(5, 7))
    for i in range(5):
        unit = torch.nn.functional.normalize(far[i] if own else far, dim=-1)
        hard = unit[(unit @ torch.nn.functional.normalize(anchors[i], dim=0)).topk(3).indices]
        for point in made[i]:
            weights = torch.linalg.lstsq(hard.T, point[:, None]).solution[:, 0]
            torch.testing.assert_close(hard.T @ weights, point, atol=1e-5, rtol=0)
            assert (weights > -1e-4).all()
            assert (weights.abs() > 1e-4).sum() <= 2


def test_mixing_with_the_anchor_stays_nearer_to_the_negative() -> None:
    anchors, far = torch.randn(4, 6), torch.randn(1, 6)
    made = nf.mix_negatives(anchors, far, mixed=0, with_anchor=50)
    to_negative = made @ torch.nn.functional.normalize(far[0], dim=0)
    to_anchor = torch.einsum("nsd,nd->ns", made, torch.nn.functional.normalize(anchors, dim=-1))
    assert (to_negative > to_anchor).all()
    assert (to_anchor > (torch.nn.functional.normalize(anchors, dim=-1) @ far[0] / far.norm())[:, None]).all()


def test_mixed_negatives_have_no_gradient_and_go_into_a_loss() -> None:
    anchors, positives, far = (torch.randn(4, 6, requires_grad=True) for _ in range(3))
    first, again = (
        nf.mix_negatives(anchors, far, with_anchor=2, generator=torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert not first.requires_grad
    nf.InfoNCELoss()(nf.pairs(anchors, positives, first)).backward()
    assert far.grad is None
    assert anchors.grad.abs().sum() > 0


def test_mixing_of_what_does_not_fit() -> None:
    for far, options in (
        (torch.randn(3, 5), {}),
        (torch.randn(3, 2, 6), {}),
        (torch.randn(0, 6), {}),
        (torch.randn(3, 6), {"mixed": -1}),
        (torch.randn(3, 6), {"hardest": 0}),
    ):
        with pytest.raises(nf.InputError, match=r"found .* wanted"):
            nf.mix_negatives(torch.randn(4, 6), far, **options)
