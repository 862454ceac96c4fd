"""The learning-rate finder: what it suggests is better than a tenth and ten times of it, and it leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import nearfar as nf
from nearfar.encoders import build_static
from nearfar.errors import RunError
from nearfar.training.finder import find_rate, smooth, suggested
from tests.training.made import translations

SMALL: dict[str, Any] = {"vocabulary": 400, "width": 32, "batch_size": 64, "epochs": 3, "evaluations": 1}


def test_the_suggestion_trains_better_than_a_tenth_and_ten_times_it() -> None:
    data, held_out = translations(1500), translations(300, seed=1)
    found = find_rate(data, settings=nf.Settings(**SMALL))

    def figure(rate: float) -> float:
        settings = nf.Settings(**SMALL, learning_rate=rate)
        return nf.train(data, settings=settings, evaluate_on=[held_out]).history[-1]["measurements"][0]["mrr@10"]

    best = figure(found.suggestion)
    assert best > figure(found.suggestion / 10)
    assert best > figure(found.suggestion * 10)


def test_model_and_objective_stay_as_they_were() -> None:
    data = translations(200)
    model = build_static(lambda: [data.column("anchor"), data.column("positive")], width=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sigmoid = nf.SigmoidLoss()
    scale = [value.clone() for value in sigmoid.parameters()]
    find_rate(data, model=model, objective=sigmoid, settings=nf.Settings(batch_size=32), steps=30)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(old, new) for old, new in zip(scale, sigmoid.parameters(), strict=True))
    assert not any(value.grad is not None for value in model.parameters())


def test_rates_are_those_asked_for_and_each_is_taken() -> None:
    seen: list[float] = []
    found = find_rate(
        translations(200),
        settings=nf.Settings(**SMALL),
        steps=20,
        lowest=1e-4,
        highest=1e-1,
        watch=lambda step, rate, loss: seen.append(rate),
    )
    assert list(found.rates) == seen
    assert (found.rates[0], found.rates[-1]) == (pytest.approx(1e-4), pytest.approx(1e-1))
    assert len(found.losses) == len(found.smoothed) == 20


def test_the_steepest_fall_before_the_lowest_is_suggested() -> None:
    rates = [10.0 ** (k / 10 - 3) for k in range(40)]
    losses = [3 - 2 / (1 + 2.0 ** (12 - k)) + max(0, k - 25) ** 2 / 50 for k in range(40)]
    found = suggested(rates, losses)
    assert rates[10] < found.suggestion < rates[20]  # the running mean comes a little late
    assert found.suggestion < found.lowest < rates[34]
    assert smooth([2.0, 2.0]) == pytest.approx([2.0, 2.0])
    for bad in ([3.0] * 5, [1.0 + k for k in range(40)]):
        with pytest.raises(RunError):
            suggested(rates[: len(bad)], bad)
