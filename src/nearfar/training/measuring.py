"""Measurements during a run, and the best model by them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from nearfar.analysis import Measurement, evaluate
from nearfar.analysis.geometry import Sample, near_and_far
from nearfar.data import Table
from nearfar.encoders import Encoder
from nearfar.errors import NotFiniteError
from nearfar.settings import Settings
from nearfar.training.choosing import check_measured, chosen_figure
from nearfar.training.ranks import from_first


class Measuring:
    """Measures an encoder on tables, and keeps the state that the chosen figure likes best.

    Attributes:
        best_step: the step that `best_state` is from; 0 before anything is measured.
        worse: measurements since then.

    Args:
        encoder: that is measured.
        tables: to measure on.
        settings: their `metric`, `patience` and `evaluations`.

    Raises:
        InputError: nothing is measured, or so seldom, that a metric or patience means nothing.
    """

    def __init__(self, encoder: Encoder, tables: Sequence[Table], settings: Settings) -> None:
        check_measured(tables, settings)
        self.encoder, self.tables, self.settings = encoder, tables, settings
        self.best_step, self.best_figure, self.worse = 0, -np.inf, 0
        self.best_state: dict[str, torch.Tensor] = {}

    def measure(self, step: int) -> tuple[Measurement, ...]:
        """Measure the encoder as it is after `step` steps, and keep its state where it is the best so far.

        Raises:
            NotFiniteError: a parameter is not finite.
            InputError: the metric is none of the figures.
        """
        self.check_finite()
        if not self.tables:
            self.encoder.fold()
            return ()
        self.encoder.fold()
        measurements = self.measured(resamples=0)
        figure = chosen_figure(measurements, self.settings.metric)
        self.worse += 1
        if figure > self.best_figure:
            self.best_figure, self.best_step, self.worse = figure, step, 0
            state = self.encoder.model.state_dict()
            self.best_state = {name: value.detach().clone() for name, value in state.items()}
        return measurements

    def check_finite(self) -> None:
        """Raise a NotFiniteError where a parameter is not finite, before it is measured or kept."""
        if not all(bool(torch.isfinite(one.detach().sum())) for one in self.encoder.parameters()):
            raise NotFiniteError("a parameter became NaN or infinite")

    @property
    def settled(self) -> bool:
        """Whether nothing better has come for as long as the patience lasts."""
        patience = self.settings.patience
        return patience is not None and self.worse >= patience

    def state(self) -> dict[str, Any]:
        """The best so far, for `load`."""
        figure = self.best_figure if self.best_state else None
        return {"step": self.best_step, "figure": figure, "worse": self.worse, "state": self.best_state}

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.best_step, self.worse, self.best_state = state["step"], state["worse"], state["state"]
        self.best_figure = -np.inf if state["figure"] is None else state["figure"]

    def take_best(self, step: int) -> None:
        """Give the encoder the best state; where nothing was measured the last, that of `step`, is the best."""
        if self.best_state:
            self.encoder.model.load_state_dict(self.best_state)
        else:
            self.encoder.fold()
            self.best_step = step
        self.encoder.finish()

    def measured(self, resamples: int) -> tuple[Measurement, ...]:
        """The measurements of each table, with intervals of so many bootstrap samples."""
        self.encoder.model.eval()
        return from_first(
            lambda: tuple(evaluate(self.encoder.model, table, resamples=resamples) for table in self.tables)
        )

    def similarities(self) -> tuple[Sample, Sample] | None:
        """Cosines of near and of far pairs of the first table; None where there is none."""
        if not self.tables:
            return None
        self.encoder.model.eval()
        embed = partial(self.encoder.model.encode, show_progress_bar=False)
        return from_first(lambda: near_and_far(self.tables[0], embed))
