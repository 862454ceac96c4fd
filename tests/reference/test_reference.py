"""The references are right without nearfar: by hand values, the authors' own code, peers and finite differences."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import e, exp, log

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses as peers
from sentence_transformers.util import pairwise_angle_sim
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, pdist

from tests.reference import decisions, distances, geometry, graded, relations, softmax
from tests.reference.gradient import complex_step
from tests.reference.relations import Plain

EXACT = {"rel": 0, "abs": 1e-10}
LABELS = [4, 1, 4, 4, 1, 1, 0]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def mean(rows: softmax.Rows, plain: Plain) -> float:
    return complex(softmax.mean(rows, plain.weights)).real


def both(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array)


# Who is near, who is far


def test_pairs() -> None:
    x, p = draw(3, 2), draw(3, 2, seed=1)
    plain = relations.pairs(x, p, draw(2, 2, seed=2), queue=draw(1, 2, seed=3), groups=[5, 6, 5])
    assert plain.near == [[0], [1], [2]]
    assert plain.far == [[1, 3, 4, 5], [0, 2, 3, 4, 5], [1, 3, 4, 5]]
    assert len(plain.candidates) == 6


def test_pairs_with_own_negatives_shows_them_to_everybody() -> None:
    plain = relations.pairs(draw(2, 2), draw(2, 2, seed=1), draw(2, 2, 2, seed=2))
    assert plain.far == [[1, 2, 3, 4, 5], [0, 2, 3, 4, 5]]


def test_views() -> None:
    plain = relations.views(
        draw(3, 2), draw(3, 2, seed=1), groups=[0, 1, 0], queue=draw(1, 2, seed=3), weights=[1, 2, 3]
    )
    assert plain.near == [[3], [4], [5], [0], [1], [2]]
    assert plain.far == [[1, 4, 6], [0, 2, 3, 5, 6], [1, 4, 6]] * 2
    assert plain.weights == [1, 2, 3, 1, 2, 3]


def test_labelled() -> None:
    plain = relations.labelled(draw(4, 2), [7, 8, 7, 9], queue=draw(1, 2, seed=3))
    assert plain.near == [[2], [], [0], []]
    assert plain.far == [[1, 3, 4], [0, 2, 3, 4], [1, 3, 4], [0, 1, 2, 4]]


def test_own_candidates() -> None:
    triplets = relations.triplets(draw(2, 2), draw(2, 2, seed=1), draw(2, 3, 2, seed=2))
    assert (triplets.near, triplets.far) == ([[0], [4]], [[1, 2, 3], [5, 6, 7]])
    judged = relations.judged(draw(2, 2), draw(2, 2, seed=1), [True, False])
    assert (judged.near, judged.far) == ([[0], []], [[], [1]])
    graded = relations.graded(draw(2, 2), draw(2, 2, 2, seed=1), [[1.0, 2.0], [3.0, 4.0]])
    assert (graded.near, graded.far, graded.own) == ([[], []], [[], []], [[0, 1], [2, 3]])


def test_sampled() -> None:
    noise, logs = draw(2, 2, seed=2), [-3.0, -4.0]
    plain = relations.sampled(draw(2, 2), draw(2, 2, seed=1), noise, [-1.0, -2.0], logs)
    assert (plain.near, plain.far) == ([[0], [3]], [[1, 2], [4, 5]])
    assert plain.candidates[1:3] == plain.candidates[4:6] == noise.tolist()
    assert plain.log_noise == [-1.0, -3.0, -4.0, -2.0, -3.0, -4.0]


def test_assigned() -> None:
    plain = relations.assigned(draw(3, 2), draw(2, 2, seed=1), [1, 0, 1])
    assert (plain.near, plain.far) == ([[1], [0], [1]], [[0], [1], [0]])


def angles(*degrees: float) -> np.ndarray:
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in degrees])


def test_a_guide_drops_what_it_finds_as_near_as_the_near_one() -> None:
    x, p, n = draw(3, 2), draw(3, 2, seed=1), draw(1, 2, seed=2)
    guide = (angles(0, 0, 90), angles(20, 10, 80), angles(15))
    assert relations.pairs(x, p, n, guide=guide).far == [[2], [0, 2, 3], [0, 1, 3]]
    assert relations.pairs(x, p, n, guide=guide[:2]).far == [[2, 3], [0, 2, 3], [0, 1, 3]]
    assert relations.pairs(x, p, n, guide=guide, guide_margin=0.1).far == [[2], [2], [0, 1, 3]]


def test_a_guide_of_labels_goes_by_the_nearest_of_the_near() -> None:
    guide = angles(0, 10, 5, 60)
    plain = relations.labelled(draw(4, 2), [0, 0, 1, 1], guide=guide, queue=draw(1, 2, seed=3))
    assert plain.far == [[3, 4], [3, 4], [4], [0, 4]]


# Values by hand


def test_hadsell_at_the_published_distances() -> None:
    """D = 1.2 near: 0.72; D = 0.3 far: 0.245."""
    plain = relations.judged(np.zeros((2, 2)), np.array([[0, 1.2], [0.3, 0]]), [True, False])
    rows = distances.contrastive(plain, margin=1.0)
    assert [value for value, _ in rows] == pytest.approx([0.72, 0.245])
    assert mean(rows, plain) == pytest.approx((0.72 + 0.245) / 2)


def test_a_triplet_by_hand() -> None:
    """Distances 5 and 1: 25 - 1 + 0.2, or 5 - 1 + 0.2."""
    plain = relations.triplets(np.zeros((1, 2)), np.array([[3.0, 4.0]]), np.array([[0.0, 1.0]]))
    for distance, value in (("squared", 24.2), ("euclidean", 4.2)):
        for mining in ("all", "hard", "semihard"):
            rows = distances.triplet(plain, 0.2, distance, mining, "all")
            assert mean(rows, plain) == pytest.approx(value)


def line(*places: float) -> np.ndarray:
    return np.array([[place] for place in places])


def test_which_triplets_are_chosen() -> None:
    """On a line: anchor 0, near at 2 and 4, far at 1, 3, 7."""
    plain = relations.labelled(line(0, 2, 4, 1, 3, 7), [0, 0, 0, 1, 1, 1])
    near, far = plain.near[0], plain.far[0]
    d = {j: distances.euclidean(plain.anchors[0], plain.candidates[j]) for j in range(6)}
    assert distances.hard(near, far, d) == [(2, 3)]
    assert distances.semihard(near, far, d) == [(1, 4), (2, 5)]
    assert len(distances.every(near, far, d)) == 6
    assert distances.semihard([5], [3, 4], d) == [(5, 4)]  # no far one is further: the furthest


def test_active_counts_the_terms_above_0() -> None:
    plain = relations.triplets(line(0), line(2), line(1, 2.5, 9)[None])
    (row,) = distances.triplet(plain, 1.0, "euclidean", "all", "active")
    assert row == (pytest.approx(2.5), 2.0)


def test_log_n_where_all_scores_are_equal() -> None:
    same = np.ones((6, 3))
    plain = relations.pairs(same, same)
    assert mean(softmax.infonce(plain, 0.05), plain) == pytest.approx(log(6), **EXACT)
    assert mean(softmax.n_pair(plain), plain) == pytest.approx(log(6), **EXACT)
    assert softmax.nt_xent(same, same, 0.5) == pytest.approx(log(11), **EXACT)


def test_nce_and_neg_by_hand() -> None:
    """Score 2 near, -1 and 1 far; p_n = 1/4 near, 1/8 and 1/2 far; k = 2, so that k p_n = 1/2, 1/4, 1."""
    x, p, noise = np.array([[1.0]]), np.array([[2.0]]), np.array([[-1.0], [1.0]])
    plain = relations.sampled(x, p, noise, [log(1 / 4)], [log(1 / 8), log(1 / 2)])
    posterior = [e**2 / (e**2 + 1 / 2), 0.25 / (e**-1 + 0.25), 1 / (e + 1)]
    assert mean(decisions.nce(plain), plain) == pytest.approx(-sum(map(log, posterior)), **EXACT)
    neg = log(1 + e**-2) + log(1 + e**-1) + log(1 + e)
    assert mean(decisions.neg(plain), plain) == pytest.approx(neg, **EXACT)


def test_soft_nearest_neighbours_by_hand() -> None:
    """Near at distances 1 and 2, far at 3: the near sum is within the logarithm."""
    plain = relations.labelled(line(0, 1, -2, 3), [0, 0, 0, 1])
    value, counts = distances.soft_nearest_neighbours(plain, 2.0)[0]
    near = exp(-1 / 2) + exp(-4 / 2)
    assert (value, counts) == (pytest.approx(-log(near / (near + exp(-9 / 2)))), 1.0)
    assert distances.soft_nearest_neighbours(plain, 2.0)[3] == (0.0, 0.0)


def test_lifted_by_hand() -> None:
    """One near pair at distance 1; the anchor's far one at 3 from it, at 2 from its partner."""
    plain = relations.labelled(line(0, 1, 3), [0, 0, 1])
    j = 1 + log(exp(1 - 3) + exp(1 - 2))
    assert mean(distances.lifted(plain, 1.0), plain) == pytest.approx(j * j / 2, **EXACT)


def test_align_and_uniform_by_hand() -> None:
    """Unit vectors at a right angle: D squared is 2; opposite: 4."""
    near = relations.judged(angles(0) * 3, angles(90) / 7, [True])
    far = relations.judged(angles(0) * 3, angles(180), [False])
    assert complex(geometry.align_uniform(near, 2.0, 2.0, 1.0)).real == pytest.approx(2.0)
    assert complex(geometry.align_uniform(near, 4.0, 2.0, 1.0)).real == pytest.approx(4.0)
    assert complex(geometry.align_uniform(far, 2.0, 2.0, 0.5)).real == pytest.approx(0.5 * -2 * 4)


def test_nothing_is_0() -> None:
    nobody = relations.labelled(draw(3, 2), [0, 1, 2])
    assert softmax.mean(softmax.infonce(nobody, 0.1), nobody.weights) == 0.0
    assert softmax.mean(distances.triplet(nobody, 0.1, "squared", "all", "active"), nobody.weights) == 0.0


# The authors' code, as they publish it


def test_sup_con_by_the_authors_code() -> None:
    """HobbitLong/SupContrast, losses.py: masks, mean log-probability over the positives."""
    x, t = draw(7, 3), 0.3
    z, y = normalize(both(x), dim=1), torch.tensor(LABELS)
    logits_mask = 1 - torch.eye(7, dtype=torch.float64)
    mask = (y[:, None] == y[None]).double() * logits_mask
    logits = z @ z.T / t
    log_prob = logits - torch.log((torch.exp(logits) * logits_mask).sum(1, keepdim=True))
    rows = (mask * log_prob).sum(1)[mask.sum(1) > 0] / mask.sum(1)[mask.sum(1) > 0]
    plain = relations.labelled(x, LABELS)
    assert mean(softmax.sup_con(plain, t), plain) == pytest.approx(-rows.mean().item(), **EXACT)


def out_pairs(first: Tensor, second: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """chingyaoc/DCL, main.py: exp(s / t) of each of 2N items with its positive, and with its 2N - 2 negatives."""
    out = torch.cat([first, second])
    n = len(first)
    mask = ~torch.eye(n, dtype=torch.bool).repeat(2, 2)
    negatives = torch.exp(out @ out.T / t).masked_select(mask).view(2 * n, -1)
    positive = torch.exp((first * second).sum(1) / t)
    return torch.cat([positive, positive]), negatives


@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("beta", [0.0, 0.7, 2.0])
def test_debias_and_hardness_by_the_authors_code(tau_plus: float, beta: float) -> None:
    """joshr17/HCL, image/main.py, and DCL's own at beta 0, whose floor is reached at tau_plus 0.4."""
    x, y, t = unit(draw(6, 3)), unit(draw(6, 3, seed=1)), 0.5
    pos, neg = out_pairs(both(x), both(y), t)
    count = neg.shape[1]
    imp = (beta * neg.log()).exp()
    reweight_neg = (imp * neg).sum(dim=-1) / imp.mean(dim=-1)
    ng = (-tau_plus * count * pos + reweight_neg) / (1 - tau_plus)
    if tau_plus:
        ng = torch.clamp(ng, min=count * e ** (-1 / t))
    plain = relations.views(x, y)
    rows = softmax.infonce_options(plain, t, debias=tau_plus, hardness=beta)
    assert mean(rows, plain) == pytest.approx((-torch.log(pos / (pos + ng))).mean().item(), **EXACT)


def test_the_floor_of_debias_is_reached_above() -> None:
    """Otherwise the test above would not see it."""
    pos, neg = out_pairs(both(unit(draw(6, 3))), both(unit(draw(6, 3, seed=1))), 0.5)
    ng = (-0.4 * 10 * pos + neg.sum(1)) / 0.6
    assert 0 < int((ng < 10 * e**-2).sum()) < 12


def test_decoupled_by_the_authors_code() -> None:
    """raminnakhli/Decoupled-Contrastive-Learning, loss/dcl.py: both blocks, the diagonal out of both, for one view."""
    x, y, t = unit(draw(6, 3)), unit(draw(6, 3, seed=1)), 0.5
    a, b = both(x), both(y)
    cross = a @ b.T
    positive = -torch.diag(cross) / t
    similarity = torch.cat((a @ a.T, cross), dim=1) / t
    similarity = similarity.masked_fill(torch.eye(6, dtype=torch.bool).repeat(1, 2), -torch.inf)
    wanted = positive + torch.logsumexp(similarity, dim=1)
    rows = softmax.infonce_options(relations.views(x, y), t, decoupled=True)[:6]
    assert [complex(value).real for value, _ in rows] == pytest.approx(wanted.tolist(), **EXACT)


def test_sigmoid_by_the_authors_code() -> None:
    """Zhai et al. 2023, algorithm 1: labels 2 I - 1, the sum over all pairs, divided by n."""
    x, y = draw(6, 3), draw(6, 3, seed=1)
    t, b = 0.5, -1.25
    logits = normalize(both(x)) @ normalize(both(y)).T * np.exp(t) + b
    labels = 2 * torch.eye(6) - torch.ones(6, 6)
    wanted = -nn.functional.logsigmoid(labels * logits).sum() / 6
    plain = relations.pairs(x, y)
    assert mean(decisions.sigmoid(plain, exp(t), b), plain) == pytest.approx(wanted.item(), **EXACT)


def test_align_uniform_by_the_authors_code() -> None:
    """SsnL/align_uniform: the uniformity of one set is that of all its pairs, each once."""
    x, y = normalize(both(draw(6, 3))), normalize(both(draw(6, 3, seed=1)))
    uniform = pdist(x).pow(2).mul(-2).exp().mean().log().item()
    everybody_alone = relations.labelled(x.numpy(), range(6))
    assert complex(geometry.align_uniform(everybody_alone, 2, 2, 1)).real == pytest.approx(uniform, **EXACT)
    align = (x - y).norm(dim=1).pow(3).mean().item()
    near = relations.judged(x.numpy(), y.numpy(), [True] * 6)
    assert complex(geometry.align_uniform(near, 3, 2, 1)).real == pytest.approx(align, **EXACT)


def test_spectral_by_the_whole_matrix() -> None:
    x, y = both(draw(6, 3)), both(draw(6, 3, seed=1))
    scores = x @ y.T
    off = ~torch.eye(6, dtype=torch.bool)
    wanted = -2 * scores.diagonal().mean() + scores[off].square().mean()
    plain = relations.pairs(x.numpy(), y.numpy())
    assert mean(decisions.spectral(plain), plain) == pytest.approx(wanted.item(), **EXACT)


def test_circle_by_the_authors_code() -> None:
    """TinyZeaMays/CircleLoss, circle_loss.py, for each anchor: softplus of the two log-sums, weights detached."""
    x, m, gamma = draw(7, 3), 0.25, 8.0
    z = normalize(both(x))
    plain = relations.labelled(x, LABELS)
    wanted = []
    for i, (near, far) in enumerate(zip(plain.near, plain.far, strict=True)):
        sp, sn = z[near] @ z[i], z[far] @ z[i]
        ap, an = torch.clamp_min(-sp + 1 + m, min=0.0), torch.clamp_min(sn + m, min=0.0)
        logit_p, logit_n = -ap * (sp - (1 - m)) * gamma, an * (sn - m) * gamma
        if near:
            wanted.append(nn.functional.softplus(torch.logsumexp(logit_n, dim=0) + torch.logsumexp(logit_p, dim=0)))
    assert mean(decisions.circle(plain, m, gamma), plain) == pytest.approx(torch.stack(wanted).mean().item(), **EXACT)


@pytest.mark.parametrize("epsilon", [0.1, None])
def test_multi_similarity_by_the_authors_code(epsilon: float | None) -> None:
    """msight-tech/research-ms-loss, multi_similarity_loss.py: thresh 0.5, margin 0.1, one anchor after another."""
    x = draw(7, 3)
    sim_mat = normalize(both(x)) @ normalize(both(x)).T
    margin = 1e9 if epsilon is None else epsilon
    plain = relations.labelled(x, LABELS)
    wanted = []
    for i, (near, far) in enumerate(zip(plain.near, plain.far, strict=True)):
        if not near:
            continue
        pos_pair, neg_pair = sim_mat[i][near], sim_mat[i][far]
        neg_kept = neg_pair[neg_pair + margin > min(pos_pair)]
        pos_kept = pos_pair[pos_pair - margin < max(neg_pair)]
        pos_loss = 1.0 / 2 * torch.log(1 + torch.sum(torch.exp(-2 * (pos_kept - 0.5))))
        neg_loss = 1.0 / 5 * torch.log(1 + torch.sum(torch.exp(5 * (neg_kept - 0.5))))
        wanted.append(pos_loss + neg_loss)
    rows = decisions.multi_similarity(plain, 2.0, 5.0, 0.5, epsilon)
    assert mean(rows, plain) == pytest.approx(torch.stack(wanted).mean().item(), **EXACT)


def test_lifted_over_unordered_pairs_as_the_paper_has_it() -> None:
    """Oh Song et al. 2016, eq. 4: half the mean over unordered pairs, each row's far sum once on either side."""
    x = draw(7, 3)
    d = (both(x)[:, None] - both(x)[None]).norm(dim=2)
    y = torch.tensor(LABELS)
    far = torch.where(y[:, None] != y[None], torch.exp(0.7 - d), 0.0).sum(1)
    pairs = [(i, j) for i in range(7) for j in range(i) if LABELS[i] == LABELS[j]]
    terms = [torch.clamp(torch.log(far[i] + far[j]) + d[i, j], min=0) ** 2 for i, j in pairs]
    plain = relations.labelled(x, LABELS)
    assert mean(distances.lifted(plain, 0.7), plain) == pytest.approx(sum(terms).item() / (2 * len(pairs)), **EXACT)


# Peers


class Nothing(nn.Module):
    """Where a loss wants a model and the embeddings are here already."""


def test_infonce_against_multiple_negatives_ranking() -> None:
    x, p, n = draw(6, 3), draw(6, 3, seed=1), draw(6, 3, seed=2)
    parts = [both(part) for part in (x, p, n)]
    wanted = peers.MultipleNegativesRankingLoss(Nothing(), scale=20.0).compute_loss_from_embeddings(parts, None)
    plain = relations.pairs(x, p, n)
    assert mean(softmax.infonce(plain, 0.05), plain) == pytest.approx(wanted.item(), **EXACT)


def test_triplets_against_the_peer() -> None:
    x, p, n = draw(6, 3), draw(6, 3, seed=1), draw(6, 3, seed=2)
    peer = peers.TripletLoss(Nothing(), triplet_margin=0.5)
    wanted = peer.compute_loss_from_embeddings([both(part) for part in (x, p, n)], None).item()
    plain = relations.triplets(x, p, n)
    # The peer's distance adds 1e-6 to each coordinate.
    assert mean(distances.triplet(plain, 0.5, "euclidean", "all", "all"), plain) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("peer", "mining", "average"),
    [
        (peers.BatchAllTripletLoss, "all", "active"),
        (peers.BatchHardTripletLoss, "hard", "all"),
        (peers.BatchSemiHardTripletLoss, "semihard", "all"),
    ],
)
@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_mining_against_the_peers(peer: type, mining: str, average: str, margin: float) -> None:
    labels = [4, 1, 4, 4, 1, 1, 0, 0]  # the peer's batch-hard counts rows without a partner
    x = draw(8, 3)
    wanted = peer(Nothing(), margin=margin).compute_loss_from_embeddings([both(x)], torch.tensor(labels)).item()
    plain = relations.labelled(x, labels)
    assert mean(distances.triplet(plain, margin, "euclidean", mining, average), plain) == pytest.approx(
        wanted, abs=1e-6
    )


@pytest.mark.parametrize("width", [3, 4])
@pytest.mark.parametrize(("peer", "reference"), [(peers.CoSENTLoss, graded.cosent), (peers.AnglELoss, graded.angle)])
def test_graded_pairs_against_the_peers(peer: type, reference: Callable[..., complex], width: int) -> None:
    x, y, scores = draw(6, width), draw(6, width, seed=1), [0.2, 3.0, 0.2, 1.5, 4.0, 0.0]
    wanted = peer(Nothing(), scale=20.0).compute_loss_from_embeddings([both(x), both(y)], torch.tensor(scores))
    assert complex(reference(relations.graded(x, y, scores), 0.05)).real == pytest.approx(wanted.item(), **EXACT)


def test_angle_similarity_against_the_peer() -> None:
    x, y = draw(6, 5), draw(6, 5, seed=1)
    ours = [complex(graded.angle_similarity(a, b)).real for a, b in zip(x, y, strict=True)]
    assert ours == pytest.approx(pairwise_angle_sim(both(x), both(y)).tolist(), **EXACT)


@pytest.mark.parametrize("k", [2, 4])
def test_margin_mse_against_the_peer(k: int) -> None:
    x, y, scores = draw(5, 3), draw(5, k, 3, seed=1), draw(5, k, seed=2)
    parts = [both(x), *(both(y[:, j]) for j in range(k))]
    wanted = peers.MarginMSELoss(Nothing()).compute_loss_from_embeddings(parts, both(scores)).item()
    plain = relations.graded(x, y, scores.tolist())
    assert mean(graded.margin_mse(plain), plain) == pytest.approx(wanted, **EXACT)


def test_prototypes_against_cross_entropy() -> None:
    x, centres, own = draw(6, 3), draw(4, 3, seed=1), [3, 0, 0, 2, 3, 1]
    logits = normalize(both(x)) @ normalize(both(centres)).T / 0.1
    plain = relations.assigned(x, centres, own)
    wanted = cross_entropy(logits, torch.tensor(own)).item()
    assert mean(geometry.prototype(plain, 0.1), plain) == pytest.approx(wanted, **EXACT)


def test_prototypes_of_classes_are_the_means_of_unit_vectors() -> None:
    x, labels = draw(7, 3), torch.tensor([2, 1, 2, 2, 1, 1, 0])
    z = normalize(both(x))
    centres = torch.stack([z[labels == name].mean(0) for name in range(3)])
    plain = relations.labelled(x, labels.tolist())
    wanted = cross_entropy(z @ normalize(centres).T / 0.1, labels).item()
    assert mean(geometry.prototype(plain, 0.1), plain) == pytest.approx(wanted, **EXACT)


# Gradients


def weighted(rows: Callable[[Plain], softmax.Rows], plain: Plain) -> complex:
    return softmax.mean(rows(plain), plain.weights)


BY_ROW: dict[str, Callable[[Plain], softmax.Rows]] = {
    "infonce": partial(softmax.infonce, temperature=0.3),
    "infonce-dot": partial(softmax.infonce, temperature=2.0, similarity="dot"),
    "options": partial(softmax.infonce_options, temperature=0.3, debias=0.1, hardness=0.7),
    "decoupled": partial(softmax.infonce_options, temperature=0.3, decoupled=True),
    "npair": partial(softmax.n_pair, l2=0.02),
    "supcon": partial(softmax.sup_con, temperature=0.3),
    "contrastive": partial(distances.contrastive, margin=2.5),
    **{
        f"triplet-{mining}": partial(distances.triplet, margin=0.5, distance=distance, mining=mining, average="active")
        for mining, distance in (("all", "squared"), ("hard", "euclidean"), ("semihard", "squared"))
    },
    "softnn": partial(distances.soft_nearest_neighbours, temperature=2.0),
    "lifted": partial(distances.lifted, margin=0.7),
    "neg": decisions.neg,
    "sigmoid": partial(decisions.sigmoid, scale=1.5, bias=-1.25),
    "spectral": decisions.spectral,
    "multisimilarity": partial(decisions.multi_similarity, alpha=2.0, beta=5.0, base=0.5, epsilon=0.1),
    "prototype": partial(geometry.prototype, temperature=0.3),
}
LABELLED: dict[str, Callable[[Plain], complex]] = {
    **{name: partial(weighted, rows) for name, rows in BY_ROW.items()},
    "alignuniform": partial(geometry.align_uniform, alpha=3.0, t=2.0, uniformity=0.5),
}
GRADED: dict[str, Callable[[Plain], complex]] = {
    "cosent": partial(graded.cosent, temperature=0.3),
    "angle": partial(graded.angle, temperature=0.3),
    "marginmse": partial(weighted, graded.margin_mse),
}


def assert_differences_agree(function: Callable[..., complex], inputs: list[np.ndarray]) -> None:
    """The complex step against central differences, whose own error is of the order of 1e-8."""
    _, gradients = complex_step(function, inputs)
    step = 1e-6
    for array, gradient in zip(inputs, gradients, strict=True):
        for entry in np.ndindex(array.shape):
            real = array[entry]
            sides = []
            for moved in (real + step, real - step):
                array[entry] = moved
                sides.append(complex(function(*inputs)).real)
            array[entry] = real
            assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(gradient[entry], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", LABELLED)
def test_gradients_by_finite_differences(name: str) -> None:
    weights = [0.5, 2.0, 0.0, 1.0, 0.25, 3.0, 9.0]
    loss = LABELLED[name]
    assert_differences_agree(lambda x: loss(relations.labelled(x, LABELS, weights=weights)), [draw(7, 3, seed=5)])


@pytest.mark.parametrize("name", GRADED)
def test_gradients_of_graded_pairs_by_finite_differences(name: str) -> None:
    shape, scores = ((5, 2, 3), draw(5, 2, seed=2).tolist()) if name == "marginmse" else ((5, 3), [3.0, 0.5, 4, 0.5, 2])
    loss = GRADED[name]
    assert_differences_agree(lambda x, y: loss(relations.graded(x, y, scores)), [draw(5, 3), draw(*shape, seed=1)])


def test_gradient_of_nce_by_finite_differences() -> None:
    def loss(x: np.ndarray, p: np.ndarray, noise: np.ndarray) -> complex:
        plain = relations.sampled(x, p, noise, [-1.0, -2.0, -0.5], [-1.5, -0.5])
        return softmax.mean(decisions.nce(plain), plain.weights)

    assert_differences_agree(loss, [draw(3, 2), draw(3, 2, seed=1), draw(2, 2, seed=2)])


def test_the_weights_of_circle_have_no_gradient() -> None:
    """With them held at the point, finite differences are the complex step's: autograd with detached weights."""
    x, m, gamma = draw(7, 3), 0.25, 8.0

    def loss(rows: np.ndarray) -> complex:
        plain = relations.labelled(rows, LABELS)
        return softmax.mean(decisions.circle(plain, m, gamma), plain.weights)

    _, (found,) = complex_step(loss, [x])
    leaf = both(x).requires_grad_()
    z = normalize(leaf)
    plain = relations.labelled(x, LABELS)
    terms = []
    for i, (near, far) in enumerate(zip(plain.near, plain.far, strict=True)):
        if near:
            sp, sn = z[near] @ z[i], z[far] @ z[i]
            ap, an = (1 + m - sp.detach()).clamp(min=0), (sn.detach() + m).clamp(min=0)
            pull, push = torch.logsumexp(-gamma * ap * (sp - 1 + m), 0), torch.logsumexp(gamma * an * (sn - m), 0)
            terms.append(nn.functional.softplus(pull + push))
    (wanted,) = torch.autograd.grad(torch.stack(terms).mean(), leaf)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-10)
