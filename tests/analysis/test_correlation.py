"""Correlations against scipy and against ranks counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nearfar.analysis.correlation import pearson, spearman


def ranks_by_hand(values: list[float]) -> list[float]:
    """The mean of the places that a value and its equals take in ascending order, from 1."""
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def pearson_by_hand(first: list[float], second: list[float]) -> float:
    mean1, mean2 = sum(first) / len(first), sum(second) / len(second)
    covariance = sum((a - mean1) * (b - mean2) for a, b in zip(first, second, strict=True))
    spread1 = math.sqrt(sum((a - mean1) ** 2 for a in first))
    spread2 = math.sqrt(sum((b - mean2) ** 2 for b in second))
    return covariance / (spread1 * spread2)


@pytest.mark.parametrize("seed", range(5))
def test_equals_scipy_and_the_definition_with_many_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    first = random.integers(0, 6, 40).astype(float)
    second = first + random.normal(size=40).round(1)
    by_hand = pearson_by_hand(ranks_by_hand(first.tolist()), ranks_by_hand(second.tolist()))
    assert spearman(first, second) == pytest.approx(by_hand, abs=1e-12)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)
    assert pearson(first, second) == pytest.approx(stats.pearsonr(first, second).statistic, abs=1e-12)
    assert pearson(first, second) == pytest.approx(pearson_by_hand(first.tolist(), second.tolist()), abs=1e-12)


def test_works_over_the_last_axis() -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 3, 4, 20))
    for correlation in (pearson, spearman):
        together = correlation(first, second)
        assert together.shape == (3, 4)
        assert together[1, 2] == pytest.approx(correlation(first[1, 2], second[1, 2]), abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3])
def test_a_constant_side_says_nothing(constant: float) -> None:
    # Three times 0.1 have a mean of 0.10000000000000002.
    flat, rising = np.full(3, constant), np.arange(3.0)
    assert pearson(flat, rising) == pearson(rising, flat) == spearman(flat, rising) == 0.0
    assert pearson(flat, flat) == spearman(flat, flat) == 0.0


def test_never_leaves_its_range() -> None:
    values = np.random.default_rng(0).normal(size=(500, 7))
    assert pearson(values, 3 * values + 1).max() <= 1.0
    assert pearson(values, -3 * values).min() >= -1.0
