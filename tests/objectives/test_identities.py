"""Equalities that tie the equations to each other, and what no choice of axes or order may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity

import nearfar as nf
from tests.objectives.subjects import SUBJECTS, Subject
from tests.reference.softmax import nt_xent

SEEDS = st.integers(0, 2**32 - 1)
TEMPERATURES = st.floats(0.05, 5.0)
every_kind = pytest.mark.parametrize(
    ("subject", "kind"),
    [
        pytest.param(subject, kind, id=f"{subject.name}-{kind}")
        for subject in SUBJECTS
        for kind in ("pairs", "views", "labelled")
        if subject.suits(kind)
    ],
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def make(kind: str, first: Tensor, second: Tensor, ids: Tensor) -> nf.Contrast:
    """A contrast of the kind with ids as groups or as labels."""
    if kind == "labelled":
        return nf.labelled(torch.cat([first, second]), torch.cat([ids, ids]))
    return getattr(nf, kind)(first, second, groups=ids)


@given(SEEDS, TEMPERATURES, st.integers(1, 6))
def test_infonce_over_views_is_nt_xent(seed: int, temperature: float, count: int) -> None:
    first, second = draw(seed, count, 3), draw(seed + 1, count, 3)
    contrast = nf.views(first, second)
    ours = nf.NTXentLoss(temperature=temperature)(contrast).item()
    assert ours == nf.InfoNCELoss(temperature=temperature)(contrast).item()
    assert ours == pytest.approx(nt_xent(first.numpy(), second.numpy(), temperature), abs=1e-10)


@given(SEEDS, TEMPERATURES)
def test_two_items_a_label_is_nt_xent(seed: int, temperature: float) -> None:
    first, second = draw(seed, 5, 3), draw(seed + 1, 5, 3)
    labels = torch.arange(5).repeat(2)
    ours = nf.InfoNCELoss(temperature=temperature)(nf.labelled(torch.cat([first, second]), labels))
    assert ours.item() == pytest.approx(nt_xent(first.numpy(), second.numpy(), temperature), abs=1e-10)


@given(SEEDS, st.integers(1, 6))
def test_infonce_by_dot_product_at_temperature_1_is_n_pair(seed: int, count: int) -> None:
    """Sohn 2016, eq. 7: log(1 + sum over j != i of exp(f_i f_j+ - f_i f_i+)), the mean over i."""
    f, positive = draw(seed, count, 3), draw(seed + 1, count, 3)
    n_pair = np.mean(
        [
            np.log(1 + sum(np.exp(float(f[i] @ positive[j] - f[i] @ positive[i])) for j in range(count) if j != i))
            for i in range(count)
        ]
    )
    ours = nf.InfoNCELoss(similarity="dot", temperature=1.0)(nf.pairs(f, positive))
    assert ours.item() == pytest.approx(n_pair, abs=1e-10)


@given(SEEDS, TEMPERATURES)
def test_one_negative_is_the_logistic_triplet(seed: int, temperature: float) -> None:
    x, positive, negative = draw(seed, 1, 4), draw(seed + 1, 1, 4), draw(seed + 2, 1, 4)
    gap = cosine_similarity(x, negative) - cosine_similarity(x, positive)
    ours = nf.InfoNCELoss(temperature=temperature)(nf.pairs(x, positive, negative))
    assert ours.item() == pytest.approx(np.logaddexp(0, gap.item() / temperature), abs=1e-12)


@given(SEEDS)
def test_a_vanishing_temperature_leaves_the_hardest_triplet(seed: int) -> None:
    """t * loss -> the mean over i of max(0, s_in - s_ip), n being the nearest far candidate; off by t log(N)."""
    x, positive = draw(seed, 6, 3), draw(seed + 1, 6, 3)
    scores = cosine_similarity(x[:, None], positive[None], dim=2)
    hardest = scores.masked_fill(torch.eye(6, dtype=torch.bool), -np.inf).amax(1)
    hinge = (hardest - scores.diagonal()).clamp(min=0).mean().item()
    for temperature in (1e-1, 1e-2, 1e-3, 1e-4):
        ours = temperature * nf.InfoNCELoss(temperature=temperature)(nf.pairs(x, positive)).item()
        assert -1e-12 <= ours - hinge <= temperature * np.log(6) + 1e-12


def test_a_growing_temperature_makes_all_candidates_equal() -> None:
    x, positive = draw(0, 6, 3), draw(1, 6, 3)
    assert nf.InfoNCELoss(temperature=1e6)(nf.pairs(x, positive)).item() == pytest.approx(np.log(6), abs=1e-5)


@every_kind
@settings(max_examples=5)
@given(seed=SEEDS)
def test_a_rotation_of_the_space_changes_nothing(subject: Subject, kind: str, seed: int) -> None:
    first, second, ids = draw(seed, 5, 3), draw(seed + 1, 5, 3), torch.tensor([0, 1, 2, 1, 3])
    turn, _ = torch.linalg.qr(draw(seed + 2, 3, 3))
    plain = subject.make()(make(kind, first, second, ids)).item()
    assert subject.make()(make(kind, first @ turn, second @ turn, ids)).item() == pytest.approx(plain, abs=1e-9)


@every_kind
@settings(max_examples=5)
@given(seed=SEEDS, order=st.permutations(range(5)))
def test_the_order_of_the_batch_changes_nothing(subject: Subject, kind: str, seed: int, order: list[int]) -> None:
    first, second, ids = draw(seed, 5, 3), draw(seed + 1, 5, 3), torch.tensor([0, 1, 2, 1, 3])
    plain = subject.make()(make(kind, first, second, ids), strip_rows=2).item()
    moved = make(kind, first[order], second[order], ids[order])
    assert subject.make()(moved, strip_rows=3).item() == pytest.approx(plain, abs=1e-9)


@given(SEEDS, st.permutations(range(4)))
def test_the_order_of_negatives_and_the_numbers_of_groups_change_nothing(seed: int, order: list[int]) -> None:
    x, positive, negatives = draw(seed, 3, 3), draw(seed + 1, 3, 3), draw(seed + 2, 4, 3)
    loss = nf.InfoNCELoss()
    plain = loss(nf.pairs(x, positive, negatives, groups=torch.tensor([0, 1, 0]))).item()
    moved = loss(nf.pairs(x, positive, negatives[order], groups=torch.tensor([-7, 2**40, -7]))).item()
    assert moved == pytest.approx(plain, abs=1e-9)


def test_the_length_of_a_row_does_not_matter_to_a_cosine() -> None:
    x, positive = draw(0, 4, 3), draw(1, 4, 3)
    plain = nf.InfoNCELoss()(nf.pairs(x, positive)).item()
    stretched = nf.InfoNCELoss()(nf.pairs(x * torch.tensor([[1e-3], [5.0], [1e3], [1.0]]), 7 * positive)).item()
    assert stretched == pytest.approx(plain, abs=1e-9)


def test_own_negatives_are_seen_by_all_anchors() -> None:
    x, positive, negatives = draw(0, 3, 4), draw(1, 3, 4), draw(2, 3, 2, 4)
    loss = nf.InfoNCELoss()
    assert loss(nf.pairs(x, positive, negatives)).item() == pytest.approx(
        loss(nf.pairs(x, positive, negatives.reshape(6, 4))).item(), abs=1e-12
    )


@given(SEEDS, st.floats(0, 10), st.integers(0, 4), st.integers(0, 6))
def test_nearer_near_and_farther_far_never_hurt(seed: int, rise: float, row: int, column: int) -> None:
    """By dot product against unit candidates the anchors are the scores, so that one moves alone."""
    unit = torch.eye(7, dtype=torch.float64)
    scores = 3 * draw(seed, 5, 7)
    raised = scores.clone()
    raised[row, column] += rise
    loss = nf.InfoNCELoss(similarity="dot", temperature=0.5)
    before, after = (loss(nf.pairs(s, unit[:5], unit[5:])).item() for s in (scores, raised))
    if column == row:
        assert after <= before + 1e-12
    else:
        assert after >= before - 1e-12
    if rise > 0.1:
        assert after != before
