"""The search of a variant: a few trials over its temperature, margin or rate, the hopeless ones cut short.

Optuna proposes and prunes (Akiba et al. 2019): the tree-structured Parzen estimator, and the median rule. A study is
made anew of the trials so far for each trial, with a seed of its own, so that the next one depends on nothing but
these: a comparison that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.errors import InputError
from nearfar.objectives import Objective

if TYPE_CHECKING:
    import optuna

RANGES = {"temperature": (0.01, 1.0), "margin": (0.05, 2.0)}
"""Of what an objective has: the first of these is searched."""

RATES = (0.2, 5.0)
"""Times the usual learning rate, for an objective with neither."""

UNPRUNED = 2
"""Trials to compare with before one is cut short."""

WARMUP = 2
"""Measurements of a trial before it may be."""


@dataclass(frozen=True)
class Dimension:
    """What the trials of a variant vary, evenly in its logarithm.

    Attributes:
        name: an option of the objective, or "learning_rate", whose values are times the usual one.
        low, high: ends.
        usual: what the first trial has.
    """

    name: str
    low: float
    high: float
    usual: float

    def shown(self, value: float) -> str:
        """A value in words."""
        return f"{self.name.replace('_', ' ')}{' ×' if self.name == 'learning_rate' else ''} {value:.3g}"


@dataclass(frozen=True)
class Trial:
    """A trial that is over.

    Attributes:
        value: of the dimension.
        course: the validation figure at each measurement of the run.
        figure: at the end of the run, since its best point may be one at which it had hardly begun; None where it
            diverged.
        state: "complete", "pruned" or "diverged".
    """

    value: float
    course: Sequence[float]
    figure: float | None
    state: str


def dimension_of(text: str, objective: Objective) -> Dimension | None:
    """What there is to search for an objective; None where its options already say it.

    Args:
        text: name and options, as `parse_objective` takes them.
        objective: that.
    """
    for name, (low, high) in RANGES.items():
        if hasattr(objective, name):
            usual = float(getattr(objective, name))
            given = f"{name}=" in text
            return None if given else Dimension(name, min(low, usual), max(high, usual), usual)
    return Dimension("learning_rate", *RATES, 1.0)


def next_trial(dimension: Dimension, past: Sequence[Trial], seed: int) -> tuple[optuna.Trial, float]:
    """The trial that follows those so far, and its value.

    Raises:
        InputError: optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise InputError(
            "found no optuna, which searches; wanted it installed: pip install 'nearfar[compare]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=_seed_of(seed, len(past)), n_startup_trials=UNPRUNED + 1),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED, n_warmup_steps=WARMUP),
    )
    study.add_trials([_frozen(dimension, trial) for trial in past])
    if not past:
        study.enqueue_trial({dimension.name: dimension.usual})
    trial = study.ask()
    return trial, trial.suggest_float(dimension.name, dimension.low, dimension.high, log=True)


def _seed_of(seed: int, number: int) -> int:
    """Of a trial: seeds that follow each other have first draws that lie near each other."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def best_of(past: Sequence[Trial]) -> Trial | None:
    """The trial to take: the highest figure of those that were not cut short; None where all diverged."""
    whole = [trial for trial in past if trial.state == "complete" and trial.figure is not None]
    return max(whole, key=lambda trial: -math.inf if trial.figure is None else trial.figure, default=None)


def _frozen(dimension: Dimension, trial: Trial) -> Any:
    import optuna

    states = optuna.trial.TrialState
    return optuna.trial.create_trial(
        params={dimension.name: trial.value},
        distributions={dimension.name: optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=True)},
        intermediate_values=dict(enumerate(trial.course)),
        value=None if trial.state == "diverged" else trial.figure,
        state={"complete": states.COMPLETE, "pruned": states.PRUNED, "diverged": states.FAIL}[trial.state],
    )
