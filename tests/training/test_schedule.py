"""Which batch comes next, when a run ends, how the learning rate moves."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.training import schedule
from nearfar.training.schedule import Budget, plan, steps_in_epoch, warm_up_and_decay

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=4)
BATCH_SIZES = st.integers(2, 16)
Batch = tuple[int, tuple[int, ...]]


def epochs(lengths: list[int], batch_size: int, seed: int, count: int) -> list[list[Batch]]:
    """The batches of the first epochs, as plain tuples."""
    batches = ((table, tuple(rows.tolist())) for table, rows in plan(lengths, batch_size, seed))
    return [list(islice(batches, steps_in_epoch(lengths, batch_size))) for _ in range(count)]


@given(LENGTHS, BATCH_SIZES, st.integers(0, 2**32 - 1))
def test_every_row_once_an_epoch(lengths: list[int], batch_size: int, seed: int) -> None:
    for epoch in epochs(lengths, batch_size, seed, 3):
        for table, length in enumerate(lengths):
            assert sorted(row for number, rows in epoch if number == table for row in rows) == list(range(length))


@given(LENGTHS, BATCH_SIZES)
def test_no_batch_is_a_lone_row_or_much_smaller_than_the_others(lengths: list[int], batch_size: int) -> None:
    """A lone row has no in-batch negative and teaches nothing."""
    (epoch,) = epochs(lengths, batch_size, 0, 1)
    for table in range(len(lengths)):
        sizes = [len(rows) for number, rows in epoch if number == table]
        assert min(sizes) >= 2
        assert max(sizes) - min(sizes) <= 1


@given(LENGTHS, st.integers(3, 16))
def test_no_batch_is_larger_than_asked_for(lengths: list[int], batch_size: int) -> None:
    (epoch,) = epochs(lengths, batch_size, 0, 1)
    assert max(len(rows) for _, rows in epoch) <= batch_size


def test_the_order_depends_on_the_arguments_alone() -> None:
    np.random.seed(1)
    first = epochs([20, 9], 4, 7, 2)
    np.random.seed(2)
    assert epochs([20, 9], 4, 7, 2) == first


def test_seeds_and_epochs_differ() -> None:
    first, second = epochs([50, 30], 8, 0, 2)
    assert first != second
    assert sorted(first) != sorted(second)  # other batches, not the same ones in another order
    assert epochs([50, 30], 8, 1, 1)[0] != first


def test_tables_alternate() -> None:
    (epoch,) = epochs([80, 80], 4, 0, 1)
    tables = [table for table, _ in epoch]
    assert tables != sorted(tables)
    assert tables != sorted(tables, reverse=True)


class Clock:
    """Stands in for the time module."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    return clock


def test_a_budget_of_steps() -> None:
    budget = Budget(steps=4, seconds=None)
    assert [budget.progress(step) for step in (0, 1, 2, 4, 5)] == [0, 0.25, 0.5, 1, 1]


def test_a_budget_of_seconds(clock: Clock) -> None:
    budget = Budget(steps=None, seconds=20, started=clock.now)
    assert budget.progress(1000) == 0
    clock.now += 5
    assert budget.progress(0) == 0.25
    clock.now += 100
    assert budget.progress(0) == 1


def test_the_first_limit_ends_the_run(clock: Clock) -> None:
    budget = Budget(steps=10, seconds=20, started=clock.now)
    clock.now += 10
    assert budget.progress(2) == 0.5
    assert budget.progress(8) == 0.8


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.99])
def test_warm_up_and_decay(warmup: float) -> None:
    rates = np.array([warm_up_and_decay(progress, warmup) for progress in np.linspace(0, 1, 1001)])
    assert warm_up_and_decay(warmup, warmup) == 1
    assert rates.max() <= 1
    assert rates[-1] == 0
    assert rates.min() >= 0
    top = round(warmup * 1000)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    if warmup:
        assert rates[0] == 0
        assert warm_up_and_decay(warmup / 2, warmup) == pytest.approx(0.5)
    assert warm_up_and_decay((1 + warmup) / 2, warmup) == pytest.approx(0.5)
