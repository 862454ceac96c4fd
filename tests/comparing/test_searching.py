"""A search's next trial depends on those before it alone, stays in its range, and hopeless trials are cut short."""

from __future__ import annotations

import pytest

from nearfar.comparing.searching import Dimension, Trial, best_of, dimension_of, next_trial
from nearfar.objectives import REGISTRY, parse_objective

TEMPERATURE = Dimension("temperature", 0.01, 1.0, 0.05)


def search(count: int, dimension: Dimension = TEMPERATURE) -> list[Trial]:
    """Trials whose figure falls with the distance to 0.3."""
    past: list[Trial] = []
    for _ in range(count):
        _, value = next_trial(dimension, past, seed=7)
        figure = -abs(value - 0.3)
        past.append(Trial(value, [figure] * 4, figure, "complete"))
    return past


def test_the_first_is_the_usual_one_and_a_replay_gives_the_same() -> None:
    first, again = search(5), search(5)
    assert first[0].value == pytest.approx(0.05)
    assert first == again
    assert len({trial.value for trial in first}) == 5
    assert all(0.01 <= trial.value <= 1.0 for trial in first)
    assert next_trial(TEMPERATURE, first[:3], seed=7)[1] == first[3].value


def test_a_hopeless_trial_is_cut_short() -> None:
    trial, _ = next_trial(TEMPERATURE, search(3), seed=7)
    for place in range(4):
        trial.report(-100.0, place)
    assert trial.should_prune()
    trial, _ = next_trial(TEMPERATURE, search(3), seed=7)
    for place in range(4):
        trial.report(100.0, place)
    assert not trial.should_prune()


def test_what_diverged_or_was_cut_short_is_not_taken() -> None:
    past = [
        Trial(0.1, [0.9], 0.9, "pruned"),
        Trial(0.2, [], None, "diverged"),
        Trial(0.3, [0.4], 0.4, "complete"),
        Trial(0.4, [-0.2], -0.2, "complete"),
    ]
    assert best_of(past) == past[2]
    assert best_of(past[:2]) is None
    next_trial(TEMPERATURE, past, seed=0)  # takes them all


@pytest.mark.parametrize("name", REGISTRY)
def test_every_objective_can_be_built_over_its_whole_range(name: str) -> None:
    dimension = dimension_of(name, parse_objective(name))
    assert dimension is not None
    if dimension.name != "learning_rate":
        for value in (dimension.low, dimension.usual, dimension.high):
            assert getattr(parse_objective(f"{name}:{dimension.name}={value!r}"), dimension.name) == value


def test_what_is_given_is_not_searched() -> None:
    assert dimension_of("infonce:temperature=0.1", parse_objective("infonce:temperature=0.1")) is None
