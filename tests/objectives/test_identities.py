"""Equalities that tie the equations to each other, and what no choice of axes or order may change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, softplus

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


@given(SEEDS, TEMPERATURES)
def test_supcon_with_two_items_a_label_is_nt_xent(seed: int, temperature: float) -> None:
    first, second = draw(seed, 5, 3), draw(seed + 1, 5, 3)
    contrast = nf.labelled(torch.cat([first, second]), torch.arange(5).repeat(2))
    ours = nf.SupConLoss(temperature=temperature)(contrast).item()
    assert ours == pytest.approx(nf.NTXentLoss(temperature=temperature)(nf.views(first, second)).item(), abs=1e-10)


def test_supcon_with_more_is_infonce_no_longer() -> None:
    """The other near candidates stand in SupCon's denominator."""
    contrast = nf.labelled(draw(0, 6, 3), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert nf.SupConLoss(temperature=0.1)(contrast) > nf.InfoNCELoss(temperature=0.1)(contrast)


@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
@given(seed=SEEDS)
def test_n_pair_is_infonce_by_dot_product_at_temperature_1(kind: str, seed: int) -> None:
    contrast = make(kind, draw(seed, 5, 3), draw(seed + 1, 5, 3), torch.tensor([0, 1, 2, 1, 3]))
    wanted = nf.InfoNCELoss(similarity="dot", temperature=1.0)(contrast).item()
    assert nf.NPairLoss()(contrast).item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
@given(seed=SEEDS, temperature=TEMPERATURES)
def test_soft_nearest_neighbours_of_unit_vectors_with_one_near_is_infonce_at_half_the_temperature(
    kind: str, seed: int, temperature: float
) -> None:
    first, second = normalize(draw(seed, 5, 3)), normalize(draw(seed + 1, 5, 3))
    contrast = make(kind, first, second, torch.arange(5))
    wanted = nf.InfoNCELoss(temperature=temperature / 2)(contrast).item()
    ours = nf.SoftNearestNeighborsLoss(temperature=temperature)(contrast).item()
    assert ours == pytest.approx(wanted, rel=1e-10, abs=1e-10)


@given(SEEDS, st.integers(1, 5))
def test_neg_is_nce_where_k_times_the_noise_is_1(seed: int, k: int) -> None:
    rows = draw(seed, 4, 3), draw(seed + 1, 4, 3), draw(seed + 2, 4, k, 3)
    logs = (torch.full(shape, -np.log(k), dtype=torch.float64) for shape in ((4,), (4, k)))
    contrast = nf.sampled(*rows, *logs)
    assert nf.NCELoss()(contrast).item() == pytest.approx(nf.NEGLoss()(contrast).item(), abs=1e-10)


@given(SEEDS)
def test_shared_noise_is_the_same_noise_for_each(seed: int) -> None:
    x, p, noise = draw(seed, 4, 3), draw(seed + 1, 4, 3), draw(seed + 2, 3, 3)
    log_p, log_noise = draw(seed + 3, 4), draw(seed + 4, 3)
    shared = nf.sampled(x, p, noise, log_p, log_noise)
    own = nf.sampled(x, p, noise.expand(4, 3, 3), log_p, log_noise.expand(4, 3))
    for loss in (nf.NCELoss(), nf.NEGLoss(), nf.InfoNCELoss(), nf.ContrastiveLoss(), nf.LiftedStructuredLoss()):
        assert loss(shared).item() == pytest.approx(loss(own).item(), abs=1e-10)


@given(SEEDS, st.floats(0.01, 2.0))
def test_triplet_of_unit_vectors_is_a_hinge_on_cosines_with_half_the_margin(seed: int, margin: float) -> None:
    x, p, n = (normalize(draw(seed + side, 6, 3)) for side in range(3))
    hinge = ((x * n).sum(1) - (x * p).sum(1) + margin / 2).clamp(min=0).mean().item()
    ours = nf.TripletLoss(margin=margin)(nf.triplets(x, p, n)).item()
    assert ours == pytest.approx(2 * hinge, abs=1e-12)


@given(SEEDS, TEMPERATURES)
def test_infonce_of_triplets_is_the_logistic_triplet(seed: int, temperature: float) -> None:
    x, p, n = (draw(seed + side, 6, 3) for side in range(3))
    gap = (cosine_similarity(x, n) - cosine_similarity(x, p)) / temperature
    ours = nf.InfoNCELoss(temperature=temperature)(nf.triplets(x, p, n)).item()
    assert ours == pytest.approx(softplus(gap).mean().item(), rel=1e-10, abs=1e-12)


@given(SEEDS)
def test_one_far_candidate_leaves_nothing_to_mine(seed: int) -> None:
    contrast = nf.triplets(*(draw(seed + side, 6, 3) for side in range(3)))
    every = nf.TripletLoss(mining="all")(contrast).item()
    for mining in ("hard", "semihard"):
        assert nf.TripletLoss(mining=mining)(contrast).item() == pytest.approx(every, abs=1e-12)


@given(SEEDS)
def test_mining_the_hardest_is_never_below_all(seed: int) -> None:
    contrast = nf.labelled(draw(seed, 8, 3), torch.arange(4).repeat(2))
    every, hard = (nf.TripletLoss(mining=mining, reduction="none")(contrast) for mining in ("all", "hard"))
    assert (hard >= every / 6 - 1e-12).all()


@given(SEEDS)
def test_lifted_with_one_near_and_one_far_is_a_soft_margin_squared(seed: int) -> None:
    """Own candidates: J = D_ip + m - D_in."""
    x, p, n = (draw(seed + side, 6, 3) for side in range(3))
    j = ((x - p).norm(dim=1) + 1 - (x - n).norm(dim=1)).clamp(min=0)
    ours = nf.LiftedStructuredLoss()(nf.triplets(x, p, n)).item()
    assert ours == pytest.approx((j * j / 2).mean().item(), abs=1e-12)


@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
def test_options_at_0_are_the_plain_equation(kind: str) -> None:
    contrast = make(kind, draw(0, 5, 3), draw(1, 5, 3), torch.tensor([0, 1, 2, 1, 3]))
    plain = nf.InfoNCELoss()(contrast).item()
    assert nf.InfoNCELoss(debias=0.0, hardness=0.0, decoupled=False)(contrast).item() == plain
    for options in ({"debias": 1e-9}, {"hardness": 1e-9}):
        assert nf.InfoNCELoss(**options)(contrast).item() == pytest.approx(plain, rel=1e-6)


@given(SEEDS, TEMPERATURES)
def test_decoupled_is_below_the_plain_loss_by_the_positive(seed: int, temperature: float) -> None:
    """softplus(a) - a is -log sigma(a): plain less decoupled is -log(1 - p), p the positive's share."""
    contrast = nf.pairs(draw(seed, 5, 3), draw(seed + 1, 5, 3))
    plain, decoupled = (
        nf.InfoNCELoss(temperature=temperature, decoupled=option, reduction="none")(contrast)
        for option in (False, True)
    )
    torch.testing.assert_close(plain, softplus(decoupled), rtol=1e-8, atol=1e-12)


@given(SEEDS)
def test_hardness_of_equal_scores_changes_nothing(seed: int) -> None:
    far = torch.ones(4, 3, dtype=torch.float64)
    contrast = nf.triplets(draw(seed, 2, 3), draw(seed + 1, 2, 3), far.expand(2, 4, 3))
    assert nf.InfoNCELoss(hardness=3.0)(contrast).item() == pytest.approx(nf.InfoNCELoss()(contrast).item(), abs=1e-10)


@given(SEEDS)
def test_sigmoid_of_dot_1_is_neg_by_cosine(seed: int) -> None:
    """At scale 1 and bias 0, on unit vectors, but for the rows of NEG that have no near candidate."""
    contrast = nf.views(normalize(draw(seed, 5, 3)), normalize(draw(seed + 1, 5, 3)))
    ours = nf.SigmoidLoss(scale=1.0, bias=0.0)(contrast).item()
    assert ours == pytest.approx(nf.NEGLoss()(contrast).item(), abs=1e-6)


@given(SEEDS)
def test_multi_similarity_of_one_near_and_one_far_is_two_softplus(seed: int) -> None:
    """With alpha = beta = 1 and base 0."""
    x, p, n = (draw(seed + side, 6, 3) for side in range(3))
    near, far = cosine_similarity(x, p), cosine_similarity(x, n)
    ours = nf.MultiSimilarityLoss(alpha=1.0, beta=1.0, base=0.0, epsilon=None)(nf.triplets(x, p, n)).item()
    assert ours == pytest.approx((softplus(-near) + softplus(far)).mean().item(), abs=1e-12)


@given(SEEDS, TEMPERATURES)
def test_prototypes_are_infonce_over_centres(seed: int, temperature: float) -> None:
    contrast = nf.assigned(draw(seed, 6, 3), draw(seed + 1, 4, 3), torch.tensor([0, 3, 3, 1, 2, 0]))
    wanted = nf.InfoNCELoss(temperature=temperature)(contrast).item()
    assert nf.PrototypeLoss(temperature=temperature)(contrast).item() == pytest.approx(wanted, abs=1e-12)


@given(SEEDS)
def test_cosent_and_angle_of_two_pairs_are_a_softplus(seed: int) -> None:
    first, second = draw(seed, 2, 4), draw(seed + 1, 2, 4)
    low, high = (cosine_similarity(first, second) / 0.05).tolist()
    ours = nf.CoSENTLoss()(nf.graded(first, second, torch.tensor([0.0, 1.0]))).item()
    assert ours == pytest.approx(np.logaddexp(0, low - high), abs=1e-10)
    assert nf.AnglELoss()(nf.graded(first, first, torch.tensor([0.0, 1.0]))).item() == pytest.approx(np.log(2))


@given(SEEDS)
def test_margin_mse_learns_margins_alone(seed: int) -> None:
    """A constant on the teacher's scores changes nothing; a teacher who agrees has nothing to teach."""
    x, y = draw(seed, 4, 3), draw(seed + 1, 4, 3, 3)
    own = torch.einsum("nd,nkd->nk", x, y)
    loss = nf.MarginMSELoss()
    assert loss(nf.graded(x, y, own + 7)).item() == pytest.approx(0, abs=1e-12)
    teacher = draw(seed + 2, 4, 3)
    assert loss(nf.graded(x, y, teacher)).item() == pytest.approx(loss(nf.graded(x, y, teacher - 3)).item(), abs=1e-9)


@pytest.mark.parametrize(
    "loss",
    [nf.InfoNCELoss(), nf.ContrastiveLoss(), nf.LiftedStructuredLoss(), nf.TripletLoss(), nf.AlignUniformLoss()],
    ids=lambda loss: type(loss).__name__,
)
def test_matryoshka_is_the_sum_over_cut_rows(loss: Callable[[nf.Contrast], Tensor]) -> None:
    x, y = draw(0, 5, 6), draw(1, 5, 6)
    wanted = sum(w * loss(nf.pairs(x[:, :d], y[:, :d])).item() for d, w in ((6, 1.0), (2, 0.5)))
    ours = nf.Matryoshka(loss, dims=[6, 2], weights=[1.0, 0.5])(nf.pairs(x, y)).item()
    assert ours == pytest.approx(wanted, abs=1e-10)
    assert nf.Matryoshka(loss, dims=[6])(nf.pairs(x, y)).item() == pytest.approx(loss(nf.pairs(x, y)).item(), abs=1e-12)


WEIGHABLE = [
    pytest.param(subject, kind, id=f"{subject.name}-{kind}")
    for subject in SUBJECTS
    for kind in ("pairs", "views", "labelled", "triplets")
    if subject.suits(kind) and subject.name != "prototype"
]


def weighable(kind: str, weights: Tensor | None) -> nf.Contrast:
    first, second, third = draw(0, 4, 3), draw(1, 4, 3), draw(2, 4, 3)
    if kind == "triplets":
        return nf.triplets(first, second, third, weights=weights)
    if kind == "labelled":
        return nf.labelled(first, torch.tensor([0, 0, 1, 1]), weights=weights)
    return getattr(nf, kind)(first, second, weights=weights)


@pytest.mark.parametrize(("subject", "kind"), WEIGHABLE)
def test_one_factor_on_all_weights_changes_no_mean(subject: Subject, kind: str) -> None:
    plain = subject.make()(weighable(kind, None)).item()
    weighted = subject.make()(weighable(kind, torch.full((4,), 2.5, dtype=torch.float64))).item()
    assert weighted == pytest.approx(plain, abs=1e-10)


@pytest.mark.parametrize(("subject", "kind"), [param for param in WEIGHABLE if param.values[0].rows])
def test_weights_weigh_the_rows_and_what_they_count(subject: Subject, kind: str) -> None:
    weights = torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64)
    objective = subject.make(reduction="none")
    plain, weighted = objective(weighable(kind, None)), objective(weighable(kind, weights))
    rows = weights.repeat(2) if kind == "views" else weights
    torch.testing.assert_close(weighted, rows * plain, rtol=1e-10, atol=1e-12)
