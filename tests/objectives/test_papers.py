"""Numbers that papers and reference codes print, through the public API, with the factor where conventions differ."""

from __future__ import annotations

from math import exp, log, log1p

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses as peers
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, pairwise_distance

import nearfar as nf

EXACT = {"rel": 0, "abs": 1e-10}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def at_distances(*distances: float) -> tuple[Tensor, Tensor]:
    """Anchors at the origin and a partner at each distance."""
    partners = torch.zeros(len(distances), 2, dtype=torch.float64)
    partners[:, 0] = torch.tensor(distances)
    return torch.zeros_like(partners), partners


def test_contrastive_at_1_2_near_and_0_3_far() -> None:
    """Hadsell 0.720 and 0.245; Lil'Log leaves the halves out: 1.44 and 0.49."""
    near = torch.tensor([True, False])
    rows = nf.ContrastiveLoss(reduction="none")(nf.judged(*at_distances(1.2, 0.3), near))
    assert rows.tolist() == pytest.approx([0.720, 0.245])
    assert (2 * rows).tolist() == pytest.approx([1.44, 0.49])


def test_contrastive_is_the_mean_over_judged_pairs() -> None:
    """As sentence-transformers', whose distance is 1 - cosine, and no class is weighted up."""
    near = torch.tensor([True, False, False, False])
    loss = nf.ContrastiveLoss()(nf.judged(*at_distances(1.2, 0.3, 0.3, 2.0), near))
    assert loss.item() == pytest.approx((0.720 + 2 * 0.245) / 4)


def test_triplet_by_the_paper_is_a_sum() -> None:
    """Schroff sums [D_ap^2 - D_an^2 + alpha]_+; ours is the mean, so N times it."""
    x, p, n = draw(6, 3), draw(6, 3, seed=1), draw(6, 3, seed=2)
    paper = ((x - p).square().sum(1) - (x - n).square().sum(1) + 0.2).clamp(min=0).sum()
    contrast = nf.triplets(x, p, n)
    assert 6 * nf.TripletLoss()(contrast).item() == pytest.approx(paper.item(), **EXACT)
    assert nf.TripletLoss(reduction="sum")(contrast).item() == pytest.approx(paper.item(), **EXACT)


def test_triplet_by_pytorch() -> None:
    """torch.nn.TripletMarginLoss: unsquared, margin 1, 1e-6 added to each coordinate."""
    x, p, n = draw(6, 3), draw(6, 3, seed=1), draw(6, 3, seed=2)
    ours = nf.TripletLoss(distance="euclidean", margin=1.0)(nf.triplets(x, p, n)).item()
    assert ours == pytest.approx(torch.nn.TripletMarginLoss()(x, p, n).item(), abs=1e-5)
    assert ours == pytest.approx(torch.nn.TripletMarginLoss(eps=0)(x, p, n).item(), **EXACT)


def test_a_collapsed_triplet_sticks_at_the_margin() -> None:
    same = torch.ones(4, 3)
    assert nf.TripletLoss(mining="hard")(nf.pairs(same, same)).item() == pytest.approx(0.2)


def test_n_pair_of_unit_vectors_cannot_fall_below_2_25_at_64() -> None:
    """log(1 + (N - 1) e^-2), where every positive has score 1 and every negative -1, as a library that normalises."""
    x = torch.zeros(64, 64)
    own = torch.eye(64)
    x[:] = 2 * own - 1  # by dot product against unit candidates the anchors are the scores
    loss = nf.NPairLoss()(nf.pairs(x, own))
    assert loss.item() == pytest.approx(log1p(63 * exp(-2)), rel=1e-6)
    assert loss.item() == pytest.approx(2.25, abs=5e-3)


def test_n_pair_is_cross_entropy_over_the_row() -> None:
    f, positive = draw(8, 4), draw(8, 4, seed=1)
    wanted = cross_entropy(f @ positive.T, torch.arange(8))
    assert nf.NPairLoss()(nf.pairs(f, positive)).item() == pytest.approx(wanted.item(), abs=1e-12)


def test_n_pair_penalty_of_tensorflow() -> None:
    """TF: reg_lambda / 4 of both mean squared norms; ours l2 / 2 of them, so that l2 is half of reg_lambda."""
    f, positive = draw(8, 4), draw(8, 4, seed=1)
    reg_lambda = 0.002
    penalty = 0.25 * reg_lambda * (f.square().sum(1).mean() + positive.square().sum(1).mean())
    contrast = nf.pairs(f, positive)
    ours = nf.NPairLoss(l2=reg_lambda / 2)(contrast) - nf.NPairLoss()(contrast)
    assert ours.item() == pytest.approx(penalty.item(), abs=1e-12)


def sampled(k: int = 5) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    x, p, noise = draw(4, 3), draw(4, 3, seed=1), draw(k, 3, seed=2)
    return (x, p, noise), (draw(4, seed=3) - 3, draw(k, seed=4) - 3)


def test_nce_is_the_ratio_form() -> None:
    """p_m / (p_m + k p_n), with no log-sigmoid in sight; the noise summed, not averaged."""
    (x, p, noise), (log_p, log_noise) = sampled()
    near, far = (x * p).sum(1).exp(), (x @ noise.T).exp()
    wanted = -(near / (near + 5 * log_p.exp())).log() - (1 - far / (far + 5 * log_noise.exp())).log().sum(1)
    ours = nf.NCELoss(reduction="none")(nf.sampled(x, p, noise, log_p, log_noise))
    assert ours.tolist() == pytest.approx(wanted.tolist(), **EXACT)


def test_gutmann_and_hyvarinen_with_as_much_noise_as_data() -> None:
    """2010, eq. 3: J = 1/2T sum ln h(x) + ln(1 - h(y)) is maximised: with k = 1, -2 J."""
    x, p, noise = draw(4, 3), draw(4, 3, seed=1), draw(4, 1, 3, seed=2)
    log_p, log_noise = draw(4, seed=3) - 3, draw(4, 1, seed=4) - 3
    h_data = torch.sigmoid((x * p).sum(1) - log_p)
    h_noise = torch.sigmoid((x * noise[:, 0]).sum(1) - log_noise[:, 0])
    j = (h_data.log() + (1 - h_noise).log()).sum() / 8
    assert nf.NCELoss()(nf.sampled(x, p, noise, log_p, log_noise)).item() == pytest.approx(-2 * j.item(), **EXACT)


def test_nce_is_not_neg() -> None:
    """The correction by log(k p_n) is there: the same scores give more than twice the loss."""
    (x, p, noise), logs = sampled()
    contrast = nf.sampled(x, p, noise, *logs)
    assert nf.NCELoss()(contrast).item() > 2 * nf.NEGLoss()(contrast).item()


def test_neg_is_the_skip_gram_objective() -> None:
    """Mikolov 2013, eq. 4, of a word, its context, k draws; the sum over the draws."""
    (x, p, noise), _ = sampled()
    paper = torch.sigmoid((x * p).sum(1)).log() + torch.sigmoid(-(x @ noise.T)).log().sum(1)
    assert nf.NEGLoss()(nf.sampled(x, p, noise)).item() == pytest.approx(-paper.mean().item(), **EXACT)


@pytest.mark.parametrize(("count", "bound"), [(64, 4.16), (512, 6.24), (4096, 8.32), (65_536, 11.09)])
def test_the_bound_on_information_saturates_at_log_n(count: int, bound: float) -> None:
    """N counts the positive: one anchor, one positive, N - 1 others, all with the same score."""
    x = torch.ones(1, 2)
    loss = nf.InfoNCELoss()(nf.pairs(x, x, torch.ones(count - 1, 2)))
    assert loss.item() == pytest.approx(log(count), rel=1e-6)
    assert loss.item() == pytest.approx(bound, abs=5e-3)


def test_nt_xent_of_the_published_code_is_twice_the_papers() -> None:
    """google-research/simclr, objective.py: cross-entropy over [ab, aa] and over [ba, bb], means over N, added."""
    first, second, t = normalize(draw(8, 4)), normalize(draw(8, 4, seed=1)), 0.5
    masks = torch.eye(8) * 1e9
    logits_aa, logits_bb = first @ first.T / t - masks, second @ second.T / t - masks
    logits_ab, logits_ba = first @ second.T / t, second @ first.T / t
    labels = torch.arange(8)
    loss_a = cross_entropy(torch.cat([logits_ab, logits_aa], dim=1), labels)
    loss_b = cross_entropy(torch.cat([logits_ba, logits_bb], dim=1), labels)
    code = (loss_a + loss_b).item()
    assert code == pytest.approx(2 * nf.NTXentLoss(temperature=t)(nf.views(first, second)).item(), **EXACT)


def test_soft_nearest_neighbours_is_not_capped() -> None:
    """Cleverhans' 1e-5 within the logarithm caps it at 11.51, where its gradient is gone."""
    x = torch.tensor([[0.0], [10.0], [0.1], [10.1]]).requires_grad_()
    loss = nf.SoftNearestNeighborsLoss()(nf.labelled(x, torch.tensor([0, 0, 1, 1])))
    assert loss.item() > 90
    loss.backward()
    assert x.grad.abs().min() > 1


def test_soft_nearest_neighbours_sums_within_the_logarithm() -> None:
    """Below SupCon's mean outside it, on the same scores (as 5.108 is below 7.766), for unit vectors and T = 2 tau."""
    x, labels = normalize(draw(9, 3)), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    contrast = nf.labelled(x, labels)
    within = nf.SoftNearestNeighborsLoss(temperature=0.2, reduction="none")(contrast)
    outside = nf.SupConLoss(temperature=0.1, reduction="none")(contrast)
    # Jensen: the log of the mean is at least the mean of the logs; of two near candidates the sum is twice the mean.
    assert (within + log(2) <= outside).all()
    scores = x @ x.T / 0.1
    same = (labels[:, None] == labels[None]) & ~torch.eye(9, dtype=torch.bool)
    whole = scores.masked_fill(torch.eye(9, dtype=torch.bool), -torch.inf).logsumexp(1)
    assert within.tolist() == pytest.approx((whole - scores.masked_fill(~same, -torch.inf).logsumexp(1)).tolist())


def lifted_by_the_definition(x: Tensor, labels: list[int], margin: float) -> tuple[float, float, float]:
    """Oh Song 2016, eq. 4 over unordered pairs; TF-addons' over ordered ones; the mean of J^2 / 2 over ordered ones."""
    d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    y = torch.tensor(labels)
    far = torch.where(y[:, None] != y[None], (margin - d).exp(), 0.0).sum(1)
    j = (d + (far[:, None] + far[None]).log()).clamp(min=0).square()
    same = (y[:, None] == y[None]) & ~torch.eye(len(x), dtype=torch.bool)
    ordered = int(same.sum())
    unordered = torch.triu(same, diagonal=1)
    return (
        (j[unordered].sum() / (2 * int(unordered.sum()))).item(),
        (0.25 * j[same].sum() / (ordered / 2)).item(),
        (j[same] / 2).mean().item(),
    )


def test_three_conventions_of_lifted_agree() -> None:
    x, labels = draw(8, 3), [0, 0, 1, 1, 2, 2, 2, 0]
    ours = nf.LiftedStructuredLoss()(nf.labelled(x, torch.tensor(labels))).item()
    assert lifted_by_the_definition(x, labels, 1.0) == pytest.approx((ours,) * 3, **EXACT)


def test_uniformity_of_random_directions_of_width_768() -> None:
    """About -2 t: -3.990 at t = 2, over distinct pairs."""
    x = torch.randn(500, 768, generator=torch.Generator().manual_seed(0))
    alone = nf.labelled(x, torch.arange(500))
    assert nf.AlignUniformLoss(t=2.0)(alone).item() == pytest.approx(-3.990, abs=2e-3)


def test_align_and_uniform_as_published() -> None:
    """SsnL/align_uniform: align_loss of pairs, uniform_loss by pdist of one side."""
    x, y = normalize(draw(16, 4)), normalize(draw(16, 4, seed=1))
    align = (x - y).norm(p=2, dim=1).pow(2).mean().item()
    uniform = torch.pdist(x, p=2).pow(2).mul(-2).exp().mean().log().item()
    near = nf.judged(x, y, torch.ones(16, dtype=torch.bool))
    assert nf.AlignUniformLoss()(near).item() == pytest.approx(align, **EXACT)
    alone = nf.labelled(x, torch.arange(16))
    assert nf.AlignUniformLoss(uniformity=0.5)(alone).item() == pytest.approx(uniform / 2, **EXACT)


def test_debias_and_hardness_as_published() -> None:
    """chingyaoc/DCL and joshr17/HCL: unit vectors, both views, a floor of N exp(-1 / t)."""
    x, y, t, tau_plus, beta = normalize(draw(8, 4)), normalize(draw(8, 4, seed=1)), 0.5, 0.1, 1.0
    out = torch.cat([x, y])
    mask = ~torch.eye(8, dtype=torch.bool).repeat(2, 2)
    neg = torch.exp(out @ out.T / t).masked_select(mask).view(16, -1)
    pos = torch.exp((x * y).sum(1) / t).repeat(2)
    reweighted = ((beta * neg.log()).exp() * neg).sum(1) / (beta * neg.log()).exp().mean(1)
    for far, options in ((neg.sum(1), {}), (reweighted, {"hardness": beta})):
        ng = ((far - tau_plus * 14 * pos) / (1 - tau_plus)).clamp(min=14 * exp(-1 / t))
        wanted = -(pos / (pos + ng)).log().mean()
        ours = nf.NTXentLoss(temperature=t, debias=tau_plus, **options)(nf.views(x, y))
        assert ours.item() == pytest.approx(wanted.item(), **EXACT)


def test_sigmoid_as_published() -> None:
    """Zhai 2023, algorithm 1: all pairs, divided by n; a batch of one starts near softplus(0)."""
    x, y = normalize(draw(6, 3)), normalize(draw(6, 3, seed=1))
    labels = 2 * torch.eye(6) - 1
    wanted = -torch.nn.functional.logsigmoid(labels * (10 * x @ y.T - 10)).sum() / 6
    assert nf.SigmoidLoss()(nf.pairs(x, y)).item() == pytest.approx(wanted.item(), rel=1e-6)
    assert nf.SigmoidLoss()(nf.pairs(x[:1], x[:1])).item() == pytest.approx(log(2), rel=1e-5)


def test_margins_of_unit_vectors_end_at_their_diameter() -> None:
    """A contrastive margin above 2 is never reached: opposite points are 2 apart."""
    x = normalize(draw(4, 3))
    loss = nf.ContrastiveLoss(margin=2.5)(nf.judged(x, -x, torch.zeros(4, dtype=torch.bool)))
    assert loss.item() == pytest.approx(0.5**2 / 2)
    assert pairwise_distance(x, -x, eps=0).tolist() == pytest.approx([2.0] * 4)


@pytest.mark.parametrize("width", [4, 5])
def test_angle_by_sentence_transformers(width: int) -> None:
    """A row of odd width gets a 0 at its end."""
    x, y, scores = draw(6, width), draw(6, width, seed=1), torch.tensor([0.2, 3.0, 0.2, 1.5, 4.0, 0.0])
    wanted = peers.AnglELoss(torch.nn.Identity(), scale=20.0).compute_loss_from_embeddings([x, y], scores)
    assert nf.AnglELoss(temperature=0.05)(nf.graded(x, y, scores)).item() == pytest.approx(wanted.item(), **EXACT)


def test_cosent_by_sentence_transformers() -> None:
    x, y, scores = draw(6, 5), draw(6, 5, seed=1), torch.tensor([0.2, 3.0, 0.2, 1.5, 4.0, 0.0])
    wanted = peers.CoSENTLoss(torch.nn.Identity(), scale=20.0).compute_loss_from_embeddings([x, y], scores)
    assert nf.CoSENTLoss()(nf.graded(x, y, scores)).item() == pytest.approx(wanted.item(), **EXACT)


def test_margin_mse_by_sentence_transformers() -> None:
    x, y, scores = draw(6, 5), draw(6, 3, 5, seed=1), draw(6, 3, seed=2)
    wanted = peers.MarginMSELoss(torch.nn.Identity()).compute_loss_from_embeddings([x, *y.unbind(1)], scores)
    assert nf.MarginMSELoss()(nf.graded(x, y, scores)).item() == pytest.approx(wanted.item(), **EXACT)


def test_ranking_by_sentence_transformers() -> None:
    x, p, n = draw(6, 5), draw(6, 5, seed=1), draw(6, 5, seed=2)
    wanted = peers.MultipleNegativesRankingLoss(torch.nn.Identity()).compute_loss_from_embeddings([x, p, n], None)
    assert nf.InfoNCELoss(temperature=0.05)(nf.pairs(x, p, n)).item() == pytest.approx(wanted.item(), **EXACT)


@pytest.mark.parametrize(
    ("peer", "mining", "average"),
    [
        (peers.BatchAllTripletLoss, "all", "active"),
        (peers.BatchHardTripletLoss, "hard", "all"),
        (peers.BatchSemiHardTripletLoss, "semihard", "all"),
    ],
)
def test_mining_by_sentence_transformers(peer: type, mining: str, average: str) -> None:
    x, labels = draw(8, 3), torch.tensor([4, 1, 4, 4, 1, 1, 0, 0])
    wanted = peer(torch.nn.Identity(), margin=0.5).compute_loss_from_embeddings([x], labels).item()
    loss = nf.TripletLoss(margin=0.5, distance="euclidean", mining=mining, average=average)
    assert loss(nf.labelled(x, labels)).item() == pytest.approx(wanted, abs=1e-6)
