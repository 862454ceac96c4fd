"""Measurements during a run, and the best model by them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from nearfar.analysis import Measurement, evaluate
from nearfar.analysis.geometry import Sample, near_and_far
from nearfar.data import Table
from nearfar.encoders import Encoder


class Measuring:
    """Measures an encoder on tables, and keeps the state that the mean of the main figures likes best.

    Attributes:
        best_step: the step that `best_state` is from; 0 before anything is measured.
    """

    def __init__(self, encoder: Encoder, tables: Sequence[Table]) -> None:
        self.encoder, self.tables = encoder, tables
        self.best_step, self.best_figure = 0, -np.inf
        self.best_state: dict[str, torch.Tensor] = {}

    def measure(self, step: int) -> tuple[Measurement, ...]:
        """Measure the encoder as it is after `step` steps, and keep its state where it is the best so far."""
        if not self.tables:
            return ()
        self.encoder.fold()
        measurements = self.measured(resamples=0)
        figure = float(np.mean([m.figures[m.main] for m in measurements]))
        if figure > self.best_figure:
            self.best_figure, self.best_step = figure, step
            state = self.encoder.model.state_dict()
            self.best_state = {name: value.detach().clone() for name, value in state.items()}
        return measurements

    def take_best(self, step: int) -> None:
        """Give the encoder the best state; where nothing was measured the last, that of `step`, is the best."""
        if self.best_state:
            self.encoder.model.load_state_dict(self.best_state)
        else:
            self.encoder.fold()
            self.best_step = step

    def measured(self, resamples: int) -> tuple[Measurement, ...]:
        """The measurements of each table, with intervals of so many bootstrap samples."""
        self.encoder.model.eval()
        return tuple(evaluate(self.encoder.model, table, resamples=resamples) for table in self.tables)

    def similarities(self) -> tuple[Sample, Sample] | None:
        """Cosines of near and of far pairs of the first table; None where there is none."""
        if not self.tables:
            return None
        self.encoder.model.eval()
        return near_and_far(self.tables[0], partial(self.encoder.model.encode, show_progress_bar=False))
