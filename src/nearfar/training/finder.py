"""The learning-rate finder: a rate that rises step by step, and the loss that goes with it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError, NotFiniteError, RunError
from nearfar.execution import execution
from nearfar.settings import Settings
from nearfar.training.fitting import Data
from nearfar.training.objectives import Given
from nearfar.training.preparing import Asked, Prepared, prepare

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

RANGE = 1e3
"""Times the encoder's usual rate, down and up, that are tried."""

SMOOTHING = 0.9
"""Of the losses, as a running mean that knows how many it has seen."""

WORSE = 4.0
"""Times the lowest loss at which nothing more is to be learnt from higher rates."""

LEAST = 10
"""Losses that it takes to say anything."""


@dataclass(frozen=True)
class RateTest:
    """What came of a range test.

    Attributes:
        rates: ``(n,)`` rising, evenly in their logarithms.
        losses: ``(n,)`` of one batch each, before it was learnt from.
        smoothed: ``(n,)`` the same as a running mean.
        suggestion: to take as `learning_rate`.
        lowest: the rate at the lowest smoothed loss; from about there on it is too high.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float
    lowest: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def find_rate(
    data: Data | Sequence[Data],
    *,
    objective: Given | None = None,
    model: SentenceTransformer | None = None,
    settings: Settings | None = None,
    steps: int = 100,
    lowest: float | None = None,
    highest: float | None = None,
    watch: Callable[[int, float, float], None] = lambda step, rate, loss: None,
) -> RateTest:
    """Find a learning rate by a range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", 3.3).

    The real batches of the data are learnt from by the real objective and optimiser while the rate rises from `lowest`
    to `highest`, evenly in its logarithm. The suggestion is where the smoothed loss falls most steeply, as the learning
    rate at the top of the schedule. Model and objective are copied first and left as they are.

    Args:
        data, objective, model, settings: see `nearfar.train`; rate, warm-up and the end of the run do not matter.
        steps: batches to learn from at most; the test ends early where the loss is far above its lowest.
        lowest, highest: rates; a thousandth and a thousand times the encoder's usual one.
        watch: called with step, rate and smoothed loss after each step.

    Raises:
        InputError: data, settings and objective do not fit each other, or `lowest` is not below `highest`.
        RunError: the loss was not finite before there was anything to go by, or it never fell.
    """
    given = (settings or Settings()).model_copy(update={"learning_rate": 1.0, "warmup": 0.0, "steps": steps})
    ready = prepare(Asked(data, copy.deepcopy(objective), copy.deepcopy(model), given))
    usual = ready.encoder.learning_rate
    low, high = usual / RANGE if lowest is None else lowest, usual * RANGE if highest is None else highest
    if not 0 < low < high < math.inf:
        raise InputError(f"lowest: found {low:g}, wanted a number above 0 and below the highest rate, {high:g}")
    rates = np.geomspace(low, high, steps)
    with execution(strip_rows=ready.settings.strip_rows, max_bytes=ready.settings.max_bytes):
        losses = _losses(ready, rates, watch)
    return suggested(rates[: len(losses)].tolist(), losses)


def _losses(ready: Prepared, rates: NDArray[np.float64], watch: Callable[[int, float, float], None]) -> list[float]:
    """The loss at each rate, as far as there is something to learn from it."""
    losses: list[float] = []
    batches = ready.feed.batches()
    for step, rate in enumerate(rates.tolist(), start=1):
        try:
            # Without a warm-up the factor of the rate, 1, is 1 - progress.
            losses.append(ready.stepper.step([next(batches)[1]], 1 - rate))
        except NotFiniteError:
            break
        now = smooth(losses)
        watch(step, rate, now[-1])
        if now[-1] > WORSE * min(now) and now[-1] > now[0]:
            break
    return losses


def smooth(losses: Sequence[float]) -> list[float]:
    """The running mean of losses, each weighing `SMOOTHING` of the next."""
    found, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = SMOOTHING * total + loss, SMOOTHING * weight + 1
        found.append(total / weight)
    return found


def suggested(rates: Sequence[float], losses: Sequence[float]) -> RateTest:
    """What the losses at rising rates say.

    Raises:
        RunError: there are fewer than `LEAST`, or they never fell.
    """
    if len(losses) < LEAST:
        raise RunError(
            f"the loss was far above its lowest or no number after {len(losses)} steps of the range test, wanted"
            f" {LEAST} or more; try lower rates (--lowest, --highest)"
        )
    found = smooth(losses)
    bottom = int(np.argmin(found))
    if bottom == 0:
        raise RunError(
            "the loss never fell during the range test; try other rates (--lowest, --highest), data or objective"
        )
    first = min(LEAST, bottom)  # before it the mean is one of a few losses, and falls or rises by chance
    slopes = np.gradient(found, np.log(rates))
    steepest = first + int(np.argmin(slopes[first : bottom + 1]))
    return RateTest(tuple(rates), tuple(losses), tuple(found), rates[steepest], rates[bottom])
