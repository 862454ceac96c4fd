"""Who is told apart, against planted figures: two alike, one clearly worse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from nearfar.comparing import Sample, recommendation, standings

ROWS, SEEDS = 600, 3


def hits(rate: float, seed: int) -> Sample:
    """Found or not, of each query, under three seeds."""
    return Sample((np.random.default_rng(seed).random((SEEDS, ROWS)) < rate).astype(float))


def cosines(noise: float, seed: int) -> Sample:
    """Cosines that follow the scores but for so much noise."""
    scores = np.random.default_rng(0).random(ROWS)
    draws = np.random.default_rng(seed).normal(size=(SEEDS, ROWS))
    return Sample(scores + noise * draws, scores)


@pytest.mark.parametrize("make", [lambda level, seed: hits(0.8 - level, seed), cosines])
def test_two_alike_and_one_worse(make: Callable[[float, int], Sample]) -> None:
    found = standings({"a": [make(0.2, 1)], "b": [make(0.2, 2)], "worse": [make(0.5, 3)]})
    assert {one.name for one in found if one.tied} == {"a", "b"}
    assert found[-1].name == "worse"
    assert found[-1].p_value < 0.05
    assert found[-1].difference_interval[1] < 0
    text = recommendation(found, "figure", "objective")
    assert "a and b cannot be told apart" in text or "b and a cannot be told apart" in text
    assert "worse falls behind" in text


def test_one_that_is_ahead_is_taken() -> None:
    found = standings({"first": [hits(0.9, 1)], "second": [hits(0.6, 2)], "third": [hits(0.4, 3)]})
    assert [one.tied for one in found] == [True, False, False]
    assert recommendation(found, "mrr@10", "view").startswith("Take first: its mrr@10 of 0.895 is ahead of every")


def test_who_stands_above_one_that_is_tied_is_tied() -> None:
    """The middle one is surely behind by the rows, the last one noisy: it takes a seed for itself."""
    last = hits(0.6, 3).values.copy()
    last[2] = 1.0
    last[:2] = hits(0.3, 4).values[:2]
    found = standings({"best": [hits(0.9, 1)], "middle": [hits(0.7, 2)], "last": [Sample(last)]})
    assert [one.name for one in found] == ["best", "middle", "last"]
    assert found[1].p_value < 0.05
    assert [one.tied for one in found] == [True, True, True]


def test_none_better_than_before_is_said() -> None:
    found = standings({"first": [hits(0.5, 1)], "second": [hits(0.5, 2)]})
    assert "None of them is better than the encoder before training, 0.900." in recommendation(found, "f", "view", 0.9)
    assert "before training" not in recommendation(found, "f", "view", 0.1)


def test_a_seed_that_says_otherwise_ties() -> None:
    """The rows may be sure, but one seed of three has the other ahead."""
    first, second = hits(0.9, 1).values, hits(0.7, 2).values
    swapped = first.copy(), second.copy()
    swapped[0][2], swapped[1][2] = second[2], first[2]
    found = standings({"a": [Sample(swapped[0])], "b": [Sample(swapped[1])]})
    assert found[1].p_value < 0.05
    assert found[1].tied


def test_many_alike_are_seldom_told_apart() -> None:
    """Of five comparisons of five equals each: a false alarm is due in one of twenty at the most."""
    alarms = 0
    for trial in range(5):
        found = standings({f"v{n}": [hits(0.7, 100 * trial + n)] for n in range(5)})
        alarms += any(not one.tied for one in found)
    assert alarms <= 1


@pytest.mark.parametrize("sample", [hits(0.7, 4), cosines(0.4, 4)])
def test_rows_and_figures_agree(sample: Sample) -> None:
    """The rows that the test swaps have the figure as their mean, and its interval holds it."""
    wanted = reference(sample)
    np.testing.assert_allclose(sample.figures, wanted, atol=1e-12)
    assert sample.by_row.mean() == pytest.approx(wanted.mean(), abs=1e-12)
    low, high = sample.interval()
    assert low < wanted.mean() < high
    assert high - low < 0.1


def reference(sample: Sample) -> NDArray[np.float64]:
    if sample.scores is None:
        return np.array([row.mean() for row in sample.values])
    return np.array([spearmanr(row, sample.scores).statistic for row in sample.values])


def test_several_tables_count_alike() -> None:
    """However long they are; and the interval narrows."""
    long, short = hits(0.8, 1), Sample(hits(0.4, 2).values[:, :150])
    low = [hits(0.1, 3), Sample(hits(0.1, 4).values[:, :150])]
    one, _ = standings({"a": [long, short], "b": low})
    assert one.figure == pytest.approx((long.values.mean() + short.values.mean()) / 2)
    own = short.interval()
    assert one.interval[1] - one.interval[0] < own[1] - own[0]
