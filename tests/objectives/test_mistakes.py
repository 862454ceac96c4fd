"""Mistakes that other libraries have made: house.md section 4 and the pitfalls of papers.md, each as a test of ours."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

import nearfar as nf
from tests.objectives.subjects import ONE_SIDED, SUBJECTS, Subject


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def subjects(*kinds: str, but: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """Every objective that takes all of these kinds, but for those whose name starts with one of `but`."""
    chosen = [s for s in SUBJECTS if all(s.suits(kind) for kind in kinds) and not s.name.startswith(but)]
    return pytest.mark.parametrize("subject", chosen, ids=[subject.name for subject in chosen])


# An exponent that is capped, a probability with 1e-5 added: no gradient where it is needed most


@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.001])
def test_the_hardest_cases_keep_their_whole_gradient(temperature: float) -> None:
    """The positive opposite, a negative beside the anchor: the loss is 2 cos(angle) / t, its slope 2 sin(angle) / t."""
    for angle in (0.1, 0.3):
        x = torch.tensor([[1.0, 0.0]], dtype=torch.float64, requires_grad=True)
        turn = torch.tensor([[torch.tensor(angle).cos(), torch.tensor(angle).sin()]], dtype=torch.float64)
        loss = nf.InfoNCELoss(temperature=temperature)(nf.triplets(x, -turn, turn))
        assert loss.item() == pytest.approx(2 * turn[0, 0].item() / temperature, rel=1e-6)
        loss.backward()
        assert x.grad.norm().item() == pytest.approx(2 * turn[0, 1].item() / temperature, rel=1e-6)


def test_far_apart_neighbours_keep_their_gradient() -> None:
    """exp(-D^2) is 0 in float32 from D = 11 on."""
    x = torch.tensor([[0.0], [30.0], [1.0], [31.0]], requires_grad=True)
    loss = nf.SoftNearestNeighborsLoss()(nf.labelled(x, torch.tensor([0, 0, 1, 1])))
    loss.backward()
    assert loss.item() > 800
    assert x.grad.abs().min() > 10


# A class with one member


@subjects("labelled")
def test_a_class_of_one_member_makes_no_nan(subject: Subject) -> None:
    x = draw(7, 3).requires_grad_()
    loss = subject.make()(nf.labelled(x, torch.tensor([0, 0, 0, 1, 1, 2, 3])))
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


@subjects("labelled", but=("contrastive", "sigmoid", "prototype", "alignuniform"))
def test_the_others_do_not_lose_by_it(subject: Subject) -> None:
    """A lone member is a far candidate more, and no row of the mean, where the equation asks for a near one."""
    x, labels = draw(6, 3), torch.tensor([0, 0, 1, 1, 2, 0])
    rows = subject.make(reduction="none")(nf.labelled(x, labels))
    assert rows[4] == 0
    if "triplet" not in subject.name and subject.name != "lifted":
        wanted = rows.sum().item() / 5
        assert subject.make()(nf.labelled(x, labels)).item() == pytest.approx(wanted, rel=1e-5)


def test_a_class_whose_members_cancel_has_a_centre_of_no_direction() -> None:
    """What rounding leaves of x and -x would be brought to length 1, with a gradient of 1e8 or more."""
    x = draw(9, 6)
    opposite = torch.cat([x, -x]).requires_grad_()
    loss = nf.PrototypeLoss(temperature=0.5)(nf.labelled(opposite, (torch.arange(9) // 3).repeat(2)))
    loss.backward()
    assert loss.item() == pytest.approx(log(3), rel=1e-6)  # every cosine is 0
    assert opposite.grad.abs().max() < 1e3


# 3.78 without a valid triplet


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3]], ids=["one-class", "single-members"])
@subjects("labelled", but=ONE_SIDED)
def test_no_valid_row_is_exactly_0(subject: Subject, labels: list[int]) -> None:
    x = (3 * draw(4, 3)).requires_grad_()
    loss = subject.make()(nf.labelled(x, torch.tensor(labels)))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


# The size of the loss follows the batch


@subjects("triplets")
def test_the_mean_of_a_batch_twice_is_the_mean(subject: Subject) -> None:
    x, p, n = (draw(5, 3, seed=seed).double() for seed in range(3))
    once = subject.make()(nf.triplets(x, p, n)).item()
    twice = subject.make()(nf.triplets(*(torch.cat([part, part]) for part in (x, p, n)))).item()
    assert twice == pytest.approx(once, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["marginmse", "contrastive", "triplet", "infonce"])
def test_the_size_of_the_loss_does_not_follow_the_batch(name: str) -> None:
    """Own candidates of the same distribution, 64 rows or 1,024: the same within what chance allows."""

    def loss(count: int) -> float:
        x, y, z = (draw(count, 16, seed=seed) for seed in range(3))
        if name == "marginmse":
            return nf.MarginMSELoss()(nf.graded(x, torch.stack([y, z], dim=1), draw(count, 2, seed=3))).item()
        if name == "contrastive":
            return nf.ContrastiveLoss(margin=8.0)(nf.judged(x, y, torch.arange(count) % 2 == 0)).item()
        objective = nf.TripletLoss() if name == "triplet" else nf.InfoNCELoss()
        return objective(nf.triplets(x, y, z)).item()

    assert 0.6 < loss(1024) / loss(64) < 1.6


# A guide filter that builds N x N x d


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that an operation made."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor):
                self.entries = max(self.entries, part.numel())
        return result


@pytest.mark.parametrize("kind", ["pairs", "views", "labelled"])
def test_a_guide_costs_no_more_than_strips(kind: str) -> None:
    count, width = 256, 16
    x, y, g, h = (draw(count, width, seed=seed) for seed in range(4))
    with Largest() as watch:
        if kind == "labelled":
            contrast = nf.labelled(x, torch.arange(count) // 2, guide=g)
        else:
            contrast = getattr(nf, kind)(x, y, guide=(g, h))
        nf.InfoNCELoss()(contrast, strip_rows=8)
    assert watch.entries <= 2 * count * width  # of items, not 8 x 512 x 16, let alone 256 x 256 x 16
    assert watch.entries < count * count


# A temperature that one path forgets


@subjects("pairs")
def test_settings_count_in_every_execution(subject: Subject) -> None:
    x, y = draw(6, 3).double(), draw(6, 3, seed=1).double()
    dense = subject.make()(nf.pairs(x, y), strip_rows=6).item()
    for strip_rows in (1, 4):
        assert subject.make()(nf.pairs(x, y), strip_rows=strip_rows).item() == pytest.approx(dense, abs=1e-10)


@pytest.mark.parametrize("name", ["infonce", "ntxent", "softnn", "supcon"])
def test_the_temperature_is_not_the_default_in_strips(name: str) -> None:
    make = {"infonce": nf.InfoNCELoss, "ntxent": nf.NTXentLoss, "softnn": nf.SoftNearestNeighborsLoss}.get(
        name, nf.SupConLoss
    )
    contrast = nf.views(draw(6, 3), draw(6, 3, seed=1))
    for strip_rows in (1, None):
        warm, cold = (make(temperature=t)(contrast, strip_rows=strip_rows).item() for t in (5.0, 0.2))
        assert abs(warm - cold) > 0.1


# A log-sum without a shift


@subjects("pairs")
def test_scores_that_overflow_an_exponential(subject: Subject) -> None:
    """Rows of length 100 have dot products of 1e4 and squared distances of 4e4; exp gives up at 88."""
    x, y = (100 * normalize(draw(6, 3, seed=seed)).detach() for seed in (0, 1))
    found = []
    for dtype in (torch.float32, torch.float64):
        leaf = x.to(dtype, copy=True).detach().requires_grad_()
        objective = subject.make().to(dtype) if isinstance(subject.make(), torch.nn.Module) else subject.make()
        loss = objective(nf.pairs(leaf, y.to(dtype)))
        loss.backward()
        assert loss.isfinite()
        assert leaf.grad.isfinite().all()
        found.append((loss.item(), leaf.grad.double()))
    (loss, gradient), (exact, wanted) = found
    assert loss == pytest.approx(exact, rel=1e-4)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-3 * wanted.abs().max().item() + 1e-9)


def test_graded_scores_that_overflow_an_exponential() -> None:
    x, y = draw(6, 4).requires_grad_(), draw(6, 4, seed=1)
    for loss in (nf.CoSENTLoss(temperature=0.001), nf.AnglELoss(temperature=0.001)):
        value = loss(nf.graded(x, y, torch.arange(6.0)))
        (gradient,) = torch.autograd.grad(value, x)
        assert 88 < value.item() < 2e4
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_mask_of_1e9_in_half_precision(dtype: torch.dtype) -> None:
    """0 x inf where the item itself is taken out by subtracting 1e9."""
    x = draw(6, 8).to(dtype).requires_grad_()
    loss = nf.NTXentLoss(temperature=0.05)(nf.views(x, draw(6, 8, seed=1).to(dtype)))
    loss.backward()
    assert loss.isfinite()
    assert x.grad.isfinite().all()


# Equal texts counted as negatives


DUPLICATED = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 0]]
GROUPS = torch.tensor([0, 1, 2, 0])


def test_the_published_loss_of_a_perfect_encoder_with_one_duplicate() -> None:
    """0.347 without groups, 0 with them."""
    loss = nf.InfoNCELoss(temperature=0.01)
    assert loss(nf.pairs(DUPLICATED, DUPLICATED)).item() == pytest.approx(0.347, abs=1e-3)
    assert loss(nf.pairs(DUPLICATED, DUPLICATED, groups=GROUPS)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", ["pairs", "views"])
@subjects("pairs", "views", but=("alignuniform", "lifted"))
def test_duplicates_of_one_group_do_not_push_each_other(subject: Subject, kind: str) -> None:
    """Where one of the two moves, the rows of the other keep their loss; lifted's look at their partner's rows too."""
    x, y = draw(4, 3).double(), draw(4, 3, seed=1).double()
    moved = y.clone()
    moved[3] += draw(3, seed=2)
    before, after = (
        subject.make(reduction="none")(getattr(nf, kind)(x, second, groups=GROUPS)) for second in (y, moved)
    )
    assert after[0].item() == pytest.approx(before[0].item(), abs=1e-12)
    assert after[1].item() != before[1].item() or "triplet" in subject.name


# Pitfalls of papers.md section 1


def test_no_gradient_of_a_root_at_0() -> None:
    """D = 0 has gradient 0, near or far."""
    for subject in SUBJECTS:
        if subject.suits("judged"):
            x = draw(4, 3).requires_grad_()
            loss = subject.make()(nf.judged(x, x.detach(), torch.tensor([True, False, True, False])))
            loss.backward()
            assert x.grad.isfinite().all(), subject.name
    x = draw(4, 3).requires_grad_()
    nf.ContrastiveLoss()(nf.judged(x, x.detach(), torch.tensor([True, False, True, False]))).backward()
    assert not x.grad.any()


def test_true_is_near() -> None:
    """The polarity of a label: Hadsell's 0, sentence-transformers' 1."""
    x, y = torch.zeros(2, 2), torch.full((2, 2), 0.1)
    near, far = nf.ContrastiveLoss(reduction="none")(nf.judged(x, y, torch.tensor([True, False]))).tolist()
    assert near < 0.02 < far


def test_noise_is_summed_and_not_averaged() -> None:
    x, p, noise = draw(4, 3), draw(4, 3, seed=1), draw(4, 1, 3, seed=2)
    near, one = (nf.NEGLoss(reduction="none")(nf.sampled(x, p, part)) for part in (torch.zeros(4, 1, 3), noise))
    many = nf.NEGLoss(reduction="none")(nf.sampled(x, p, noise.expand(4, 5, 3)))
    torch.testing.assert_close(many, (near - log(2)) + 5 * (one - (near - log(2))))


def test_log_k_counts_in_nce() -> None:
    """Twice the noise with half the probability each is the same k p_n: but for the sum, the same decisions."""
    x, p, noise = draw(4, 3), draw(4, 3, seed=1), draw(4, 2, 3, seed=2)
    log_p, log_noise = torch.full((4,), -2.0), torch.full((4, 2), -2.5)
    once = nf.NCELoss(reduction="none")(nf.sampled(x, p, noise, log_p, log_noise))
    twice = nf.NCELoss(reduction="none")(
        nf.sampled(x, p, noise.repeat(1, 2, 1), log_p - log(2), log_noise.repeat(1, 2) - log(2))
    )
    near = torch.nn.functional.softplus(-((x * p).sum(1) + 2 - log(2)))
    torch.testing.assert_close(twice - near, 2 * (once - near))


def test_noise_too_rare_for_an_exponential() -> None:
    """exp(-200) is 0 in float32, and its logarithm -inf: the log-probability is what is stored."""
    x, p, noise = draw(4, 3).requires_grad_(), draw(4, 3, seed=1), draw(4, 2, 3, seed=2)
    rare = torch.full((4,), -200.0), torch.full((4, 2), -200.0)
    loss = nf.NCELoss()(nf.sampled(x, p, noise, *rare))
    loss.backward()
    assert 390 < loss.item() < 420
    assert x.grad.any()


def test_an_item_is_not_its_own_negative() -> None:
    """Its own logit 1 / t would keep NT-Xent above log 2."""
    x = torch.eye(8)
    assert nf.NTXentLoss(temperature=0.01)(nf.views(x, x)).item() < 1e-6


def test_the_positive_is_in_the_denominator() -> None:
    """Without it the loss has no bound below: with it, it is above 0, and decoupled it is not."""
    contrast = nf.pairs(torch.eye(4), torch.eye(4))
    assert nf.InfoNCELoss(temperature=0.05)(contrast).item() > 0
    assert nf.InfoNCELoss(temperature=0.05, decoupled=True)(contrast).item() == pytest.approx(log(3) - 20, rel=1e-6)


def test_symmetric_is_an_average_and_no_sum() -> None:
    x, y = draw(6, 3), draw(6, 3, seed=1)
    one, other = nf.InfoNCELoss()(nf.pairs(x, y)).item(), nf.InfoNCELoss()(nf.pairs(y, x)).item()
    assert one != other
    assert nf.InfoNCELoss(symmetric=True)(nf.pairs(x, y)).item() == pytest.approx((one + other) / 2, rel=1e-6)


def test_the_queue_is_far_and_has_no_gradient() -> None:
    x, y, queue = draw(4, 3), draw(4, 3, seed=1), draw(5, 3, seed=2).requires_grad_()
    leaf = x.clone().requires_grad_()
    loss = nf.InfoNCELoss()(nf.pairs(leaf, y, queue=queue))
    loss.backward()
    assert queue.grad is None
    assert leaf.grad.any()
    assert loss.item() == pytest.approx(nf.InfoNCELoss()(nf.pairs(x, y, queue.detach())).item(), rel=1e-6)


def test_the_floor_of_debias() -> None:
    """N exp(-1 / t) and no less: the negatives do nothing there, the positive still pulls."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    p = torch.tensor([[0.8, 0.6]], dtype=torch.float64, requires_grad=True)
    n = torch.tensor([[-0.6, 0.8]], dtype=torch.float64, requires_grad=True)
    loss = nf.InfoNCELoss(temperature=0.5, debias=0.3)(nf.triplets(x, p, n))
    assert loss.item() == pytest.approx(log(1 + exp(-2 - 1.6)), rel=1e-9)
    loss.backward()
    assert n.grad.abs().max() < 1e-15
    assert p.grad.abs().max() > 1e-3


def test_hardness_multiplies_the_score_over_temperature() -> None:
    """Robinson's beta stands before s / t, so it scales with 1 / t."""
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    far = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    p = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    t, beta = 0.5, 0.7
    scores = [1 / t, 0.0]
    weights = [exp(beta * s) for s in scores]
    mass = sum(w * exp(s) for w, s in zip(weights, scores, strict=True)) / (sum(weights) / 2)
    ours = nf.InfoNCELoss(temperature=t, hardness=beta)(nf.triplets(x, p, far))
    assert ours.item() == pytest.approx(log(1 + mass), rel=1e-9)


def test_lifted_pairs_without_any_far_are_left_out() -> None:
    """The log of an empty sum is -inf, and 0 x inf is NaN."""
    x = draw(4, 3).requires_grad_()
    loss = nf.LiftedStructuredLoss()(nf.labelled(x, torch.tensor([0, 0, 0, 0])))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


def test_circle_trains_through_the_scores_and_not_the_weights() -> None:
    """For one near and one far: the slope to the near score is -scale a_p sigma."""
    s_p, s_n, m, scale = 0.6, 0.3, 0.25, 4.0
    x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    p, n = (torch.tensor([[s, (1 - s * s) ** 0.5]], dtype=torch.float64, requires_grad=True) for s in (s_p, s_n))
    loss = nf.CircleLoss(margin=m, scale=scale)(nf.triplets(x, p, n))
    loss.backward()
    a_p, a_n = 1 + m - s_p, s_n + m
    exponent = scale * (a_n * (s_n - m) - a_p * (s_p - (1 - m)))
    share = 1 / (1 + exp(-exponent))
    across = 1 - s_p * s_p  # of d s_p / d p, (x - s_p p), the part along x
    assert p.grad[0, 0].item() == pytest.approx(-scale * a_p * share * across, rel=1e-9)
