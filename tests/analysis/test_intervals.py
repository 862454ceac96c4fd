"""Bootstrap intervals: what they hold, how they shrink, and that they are what their docstring says."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.analysis import intervals, measure_sts
from nearfar.analysis.intervals import bootstrap, means


def test_means_have_the_interval_of_theory() -> None:
    values = np.random.default_rng(0).normal(size=(1, 2000))
    ((low, high),) = bootstrap(values, means, resamples=2000, seed=0)
    error = values.std() / np.sqrt(values.size)
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.004)


def test_is_the_percentile_interval_of_figures_recomputed_row_by_row() -> None:
    """Transcribed with a loop: the same generator draws the rows, each draw is one call of the statistic."""
    columns = np.random.default_rng(1).normal(size=(2, 30))
    random = np.random.default_rng(7)
    drawn = [means(columns[:, rows]) for rows in random.integers(0, 30, (200, 30))]
    wanted = np.quantile(drawn, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(bootstrap(columns, means, resamples=200, seed=7), wanted, atol=1e-12)


def test_memory_bound_does_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(2).normal(size=(3, 40))
    whole = bootstrap(columns, means, resamples=300, seed=3)
    monkeypatch.setattr(intervals, "VALUES_AT_ONCE", 500)
    np.testing.assert_allclose(bootstrap(columns, means, resamples=300, seed=3), whole, atol=1e-12)


def scored(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(rows)
    first = random.normal(size=(rows, 8))
    second = first + random.normal(size=(rows, 8))
    return (first * second).sum(axis=1) + random.normal(size=rows), first, second


def test_contains_its_figure_and_shrinks_with_rows() -> None:
    widths = []
    for rows in (50, 500, 5000):
        found = measure_sts(*scored(rows), resamples=200)
        assert found.intervals.keys() == found.figures.keys()
        for name, (low, high) in found.intervals.items():
            assert low < found.figures[name] < high
        low, high = found.intervals["spearman"]
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_follows_the_seed_alone() -> None:
    assert measure_sts(*scored(40), seed=1) == measure_sts(*scored(40), seed=1)
    assert measure_sts(*scored(40), seed=1).intervals != measure_sts(*scored(40), seed=2).intervals


def test_empty_where_nothing_can_be_said() -> None:
    assert bootstrap(np.ones((2, 9)), means, resamples=0, seed=0) == []
    assert bootstrap(np.ones((2, 1)), means, resamples=100, seed=0) == []
    assert bootstrap(np.ones((2, 9)), means, resamples=100, seed=0) == [(1.0, 1.0), (1.0, 1.0)]
