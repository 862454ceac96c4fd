"""What a watcher of a run is shown, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfar.analysis import Measurement
from nearfar.analysis.geometry import Sample
from nearfar.data import Table
from nearfar.errors import RunError
from nearfar.settings import Settings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Reading:
    """What a step looked like from inside, on a sample of its batch; see `nearfar.training.space`.

    Attributes:
        learning_rate: at this step, of the first group of parameters.
        gradient_norm: of all that the encoder learns, before it is clipped.
        alignment, uniformity, mean_cosine, effective_rank, rank_bound, effective_negatives: see `space_of`; None where
            one has no meaning.
        shared: share of the batch's rows that share a text with another row in the same column.
        crossed: share of its rows whose text stands under several labels.
    """

    learning_rate: float
    gradient_norm: float
    alignment: float | None
    uniformity: float | None
    mean_cosine: float | None
    effective_rank: float | None
    rank_bound: float | None
    effective_negatives: float | None
    shared: float
    crossed: float


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
        reading: what it looked like from inside, where it was watched.
        warnings: what is wrong and what to do about it, each cause once a run.
    """

    number: int
    progress: float
    loss: float
    rows_per_second: float
    measurements: tuple[Measurement, ...] = ()
    note: str = ""
    reading: Reading | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class Outcome:
    """A finished run.

    Attributes:
        model: the best model by the settings' metric; the last where nothing is measured.
        settings: with every None resolved.
        measurements: of `model`, with bootstrap intervals; empty where nothing is measured.
        evaluate_on: the tables that were measured on, held-out parts included.
        similarities: "before" and "after" -> cosines of near and of far pairs of the first of these tables.
        history: one entry a measurement: step, progress, seconds, loss, figures of each table.
        readings: one entry a watched step: step, progress, seconds, loss and what `Reading` holds.
        followed: one entry a measurement, where a journal is written: what `Following.look` says.
        warnings: one entry a warning: step, cause, message.
        best_step: the step that `model` is from.
        seconds: of training, measuring included.
        interrupted: a person stopped the run early.
        stopped_early: no measurement was better for as long as the settings' patience.
        unchanged: view -> how many texts it could not change, over the whole run.
    """

    model: SentenceTransformer
    settings: Settings
    measurements: tuple[Measurement, ...] = ()
    evaluate_on: tuple[Table, ...] = ()
    similarities: dict[str, tuple[Sample, Sample]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    followed: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    best_step: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    stopped_early: bool = False
    unchanged: dict[str, int] = field(default_factory=dict)


class DivergedError(RunError):
    """The loss, or what it is made of, became NaN or infinite; the message says at which step and batch.

    Attributes:
        outcome: the run up to there, with the best model that was measured.
    """

    def __init__(self, message: str, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome
