"""A person who presses Ctrl-C, once or twice, still has a model."""

from __future__ import annotations

import pytest

import nearfar as nf
from nearfar.training.measuring import Measuring
from nearfar.training.outcome import Step

TEXTS = [f"the {colour} {thing}" for colour in ("red", "green", "blue") for thing in ("cat", "dog", "car", "house")]


@pytest.mark.parametrize("twice", [False, True])
def test_an_interrupted_run_returns_a_model(twice: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    table = nf.Table.from_columns({"anchor": TEXTS, "positive": TEXTS[::-1]})
    plain = Measuring.measured

    def measured(measuring, resamples: int):
        if twice and resamples:  # the last measurement, with intervals
            raise KeyboardInterrupt
        return plain(measuring, resamples)

    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Measuring, "measured", measured)
    settings = nf.Settings(steps=5, vocabulary=100, width=8)
    outcome = nf.train(table, settings=settings, evaluate_on=[table], watch=stop)
    assert outcome.interrupted
    assert outcome.model.encode("the red cat").shape == (8,)
    assert bool(outcome.measurements) != twice
