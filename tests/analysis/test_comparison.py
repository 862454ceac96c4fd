"""Paired tests between two models: what they find, what they do not, and that they are scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nearfar.analysis import analyse, compare, paired_correlations, paired_means
from nearfar.errors import InputError


def test_means_agree_with_a_t_test() -> None:
    random = np.random.default_rng(0)
    first = random.normal(size=300)
    second = first + random.normal(0.1, 1, size=300)
    found = paired_means(first, second, resamples=2000)
    assert found.difference == pytest.approx((first - second).mean())
    wanted = stats.ttest_rel(first, second)
    assert found.p_value == pytest.approx(wanted.pvalue, abs=0.03)
    np.testing.assert_allclose(found.interval, wanted.confidence_interval(), atol=0.02)


def test_pairing_sees_what_two_intervals_would_not() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(size=200)
    first, second = hard + 0.05 + 0.1 * random.normal(size=200), hard + 0.1 * random.normal(size=200)
    found = paired_means(first, second)
    assert found.told_apart
    assert found.interval[0] > 0
    same = paired_means(first, first)
    assert (same.difference, same.interval, same.p_value, same.told_apart) == (0, (0, 0), 1, False)


def test_chance_is_called_a_difference_one_time_in_twenty() -> None:
    random = np.random.default_rng(0)
    called = [paired_means(*random.normal(size=(2, 40)), resamples=200, seed=i).told_apart for i in range(150)]
    assert sum(called) <= 15


@pytest.mark.parametrize("rank", [True, False])
def test_correlations(rank: bool) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=400)
    good, bad = scores + random.normal(size=400), 9 * (scores + 1.6 * random.normal(size=400))
    correlation = stats.spearmanr if rank else stats.pearsonr
    found = paired_correlations(scores, good, bad, rank=rank, resamples=400)
    assert found.difference == pytest.approx(correlation(scores, good)[0] - correlation(scores, bad)[0], abs=1e-12)
    assert found.told_apart
    assert found.interval[0] > 0
    alike = paired_correlations(scores, good, 3 * good, rank=rank, resamples=100)
    assert alike.difference == pytest.approx(0, abs=1e-12)
    assert not alike.told_apart


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(InputError, match=r"shapes \[\(3,\), \(4,\)\]"):
        paired_means(np.ones(3), np.ones(4))


def test_two_analyses_of_the_same_data() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 16))
    near, loose = x + 0.3 * random.normal(size=x.shape), x + 2 * random.normal(size=x.shape)
    first, second = analyse(x, near, resamples=0), analyse(x, loose, resamples=0)
    found = compare(first, second, resamples=200)
    assert list(found) == [name for name in first.figures if name in found]
    assert found["alignment"].told_apart
    assert found["alignment"].difference == pytest.approx(
        first.figures["alignment"].value - second.figures["alignment"].value
    )
    assert found["mrr@10"].interval[0] > 0
    assert not any(test.told_apart for test in compare(first, first, resamples=50).values())
    with pytest.raises(InputError, match="analyses with different rows"):
        compare(first, analyse(x[:200], near[:200], resamples=0))


def test_two_analyses_of_scored_pairs() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 16))
    y = x + random.normal(size=x.shape) * random.uniform(0, 3, (200, 1))
    scores = np.einsum("nd,nd->n", x, y) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    first = analyse(x, y, scores=scores, resamples=0)
    second = analyse(x, y[:, ::-1], scores=scores, resamples=0)
    assert first.figures["spearman"].value == pytest.approx(1)
    assert compare(first, second, resamples=200)["spearman"].told_apart
