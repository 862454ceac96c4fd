"""What a watcher of a run is shown, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfar.analysis import Measurement
from nearfar.analysis.geometry import Sample
from nearfar.data import Table
from nearfar.settings import Settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Step:
    """What a watcher of the run is shown after each step.

    Attributes:
        number: steps done.
        progress: share of the run that is over, 0 to 1.
        loss: a smoothed loss.
        rows_per_second: rows of the tables trained on, a second of training.
        measurements: the latest measurements, where this step made some.
        note: something that a person may want to know of this step, or "".
    """

    number: int
    progress: float
    loss: float
    rows_per_second: float
    measurements: tuple[Measurement, ...] = ()
    note: str = ""


@dataclass
class Outcome:
    """A finished run.

    Attributes:
        model: the best model by the mean of the measurements' main figures; the last where nothing is measured.
        settings: with every None resolved.
        measurements: of `model`, with bootstrap intervals; empty where nothing is measured.
        evaluate_on: the tables that were measured on, held-out parts included.
        similarities: "before" and "after" -> cosines of near and of far pairs of the first of these tables.
        history: one entry a measurement: step, progress, seconds, loss, figures of each table.
        best_step: the step that `model` is from.
        seconds: of training, measuring included.
        interrupted: a person stopped the run early.
        unchanged: view -> how many texts it could not change, over the whole run.
    """

    model: SentenceTransformer
    settings: Settings
    measurements: tuple[Measurement, ...] = ()
    evaluate_on: tuple[Table, ...] = ()
    similarities: dict[str, tuple[Sample, Sample]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    unchanged: dict[str, int] = field(default_factory=dict)
