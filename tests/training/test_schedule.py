"""When a run ends, how the learning rate moves."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.training import schedule
from nearfar.training.schedule import Budget, warm_up_and_decay


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
