"""The loop: draw a batch, contrast it, pull and push, measure now and then, keep the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from nearfar.analysis import Measurement, evaluate
from nearfar.analysis.geometry import Sample, near_and_far
from nearfar.data import Table
from nearfar.encoders import Encoder, build_static, open_encoder, open_model
from nearfar.errors import InputError, RunError
from nearfar.objectives import Objective
from nearfar.training.schedule import Budget, plan, steps_in_epoch, warm_up_and_decay
from nearfar.training.settings import Settings
from nearfar.training.sources import Source, check_usable, hold_out, prepare

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


OBJECTIVE_RATE = 1e-2
"""Learning rate of what an objective itself learns, a scale or a bias."""


@dataclass(frozen=True)
class Step:
    """What a watcher of the run is shown after each step.

    Attributes:
        number: steps done.
        progress: share of the run that is over, 0 to 1.
        loss: a smoothed loss.
        rows_per_second: rows of the tables trained on, a second of training.
        measurements: the latest measurements, where this step made some.
    """

    number: int
    progress: float
    loss: float
    rows_per_second: float
    measurements: tuple[Measurement, ...] = ()


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


def train(
    tables: Table | Sequence[Table],
    *,
    objective: Objective | None = None,
    model: SentenceTransformer | None = None,
    settings: Settings | None = None,
    evaluate_on: Sequence[Table] = (),
    watch: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Train an encoder so that near texts of the tables lie near each other.

    Args:
        tables: one or more, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes; None builds the one that the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: tables, settings and objective do not fit each other.
        RunError: the loss became NaN or infinite.
    """
    tables = [tables] if isinstance(tables, Table) else list(tables)
    settings = settings or Settings()
    objective = objective or settings.build_objective()
    if not tables:
        raise InputError("tables: found none, wanted at least one to train on")
    for table in tables:
        check_usable(table, objective)
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise InputError(
            f"found {accelerator.num_processes} processes, wanted 1: training across ranks is not built yet"
        )
    set_seed(settings.seed)
    model = model or make_model(tables, settings)
    evaluate_on, tables = list(evaluate_on), list(tables)
    if not evaluate_on:
        tables, evaluate_on = _held_out_parts(tables, settings)
    settings = settings.model_copy(update={"token_dropout": _token_dropout(settings, tables)})
    encoder = open_encoder(
        accelerator.prepare_model(model),
        settings.encoder,
        token_dropout=settings.token_dropout or 0.0,
        weight_learning_rate=settings.weight_learning_rate,
    )
    settings = _resolve(settings, encoder, tables)
    sources = [prepare(table, encoder, objective) for table in tables]
    return _Run(accelerator, encoder, objective, settings, sources, evaluate_on, watch).run()


def make_model(tables: Sequence[Table], settings: Settings) -> SentenceTransformer:
    """The encoder that the settings name: built from the tables' texts if "static", else opened."""
    if settings.encoder != "static":
        return open_model(settings.encoder)
    return build_static(
        lambda: (batch[role] for table in tables for batch in table.batches() for role in table.text_roles),
        width=settings.width,
        vocabulary=settings.vocabulary,
        tokenizer=settings.tokenizer,
        sif=settings.sif,
        seed=settings.seed,
    )


def _held_out_parts(tables: Sequence[Table], settings: Settings) -> tuple[list[Table], list[Table]]:
    parts = [hold_out(table, settings.held_out, settings.seed) for table in tables]
    return [kept for kept, _ in parts], [held for _, held in parts if held is not None]


def _token_dropout(settings: Settings, tables: Sequence[Table]) -> float:
    if settings.token_dropout is not None:
        return settings.token_dropout
    return 0.3 if any(table.kind == "texts" for table in tables) else 0.0


def _resolve(settings: Settings, encoder: Encoder, tables: Sequence[Table]) -> Settings:
    """The settings with what the encoder and the data decide filled in."""
    batch_size = settings.batch_size or encoder.batch_size
    values: dict[str, Any] = {
        "batch_size": batch_size,
        "learning_rate": encoder.learning_rate if settings.learning_rate is None else settings.learning_rate,
    }
    if settings.epochs or not (settings.steps or settings.minutes):
        epochs = settings.epochs or encoder.epochs
        in_epoch = steps_in_epoch([len(table) for table in tables], batch_size)
        values |= {"epochs": epochs, "steps": min(epochs * in_epoch, settings.steps or epochs * in_epoch)}
    return settings.model_copy(update=values)


class _Run:
    """The state of one run."""

    SMOOTHING = 0.95

    def __init__(
        self,
        accelerator: Accelerator,
        encoder: Encoder,
        objective: Objective,
        settings: Settings,
        sources: Sequence[Source],
        evaluate_on: Sequence[Table],
        watch: Callable[[Step], None],
    ) -> None:
        self.accelerator, self.encoder, self.objective = accelerator, encoder, objective
        self.settings, self.sources, self.evaluate_on, self.watch = settings, sources, evaluate_on, watch
        assert settings.learning_rate is not None
        optimisers = [encoder.optimiser(settings.learning_rate)]
        if isinstance(objective, torch.nn.Module) and [*objective.parameters()]:
            optimisers.append(torch.optim.Adam(objective.parameters(), lr=OBJECTIVE_RATE))
        self.optimisers = [accelerator.prepare(optimiser) for optimiser in optimisers]
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.outcome = Outcome(encoder.model, settings, evaluate_on=tuple(evaluate_on))
        self.best_figure = -np.inf
        self.best_state: dict[str, torch.Tensor] = {}
        self.loss = float("nan")

    def run(self) -> Outcome:
        budget = Budget(self.settings.steps, 60 * self.settings.minutes if self.settings.minutes else None)
        assert self.settings.batch_size is not None
        batches = plan([len(s) for s in self.sources], self.settings.batch_size, self.settings.seed)
        step, rows_done, due, busy = 0, 0, 1, 0.0
        try:
            self._measure(0, budget)
            self._compare("before")
            while (progress := budget.progress(step)) < 1:
                started = time.monotonic()
                number, rows = next(batches)
                self._step(self.sources[number], rows, progress)
                step, rows_done, busy = step + 1, rows_done + len(rows), busy + time.monotonic() - started
                progress = budget.progress(step)
                measurements: tuple[Measurement, ...] = ()
                if progress >= due / self.settings.evaluations:
                    due = int(progress * self.settings.evaluations) + 1
                    measurements = self._measure(step, budget)
                self.watch(Step(step, progress, self.loss, rows_done / busy, measurements))
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        if self.best_state:
            self.encoder.model.load_state_dict(self.best_state)
        else:
            self.encoder.fold()
            self.outcome.best_step = step
        self.outcome.seconds = time.monotonic() - budget.started
        try:
            self.outcome.measurements = self._measured(resamples=1000)
            self._compare("after")
        except KeyboardInterrupt:  # a second one: the model is worth more than its last measurement
            self.outcome.interrupted = True
        return self.outcome

    def _step(self, source: Source, rows: Any, progress: float) -> None:
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm_up_and_decay(progress, self.settings.warmup)
        self.encoder.model.train()
        loss = self.objective(source.contrast(rows, self.encoder, self.objective))
        value = loss.item()
        if not np.isfinite(value):
            raise RunError(f"{source.table.source}: the loss became {value}; try a lower learning rate")
        self.loss = value if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * value
        self.accelerator.backward(loss)
        if self.encoder.gradient_clip:
            self.accelerator.clip_grad_norm_(self.encoder.model.parameters(), self.encoder.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def _measure(self, step: int, budget: Budget) -> tuple[Measurement, ...]:
        self.encoder.fold()
        measurements = self._measured(resamples=0)
        if not measurements:
            return ()
        figure = float(np.mean([m.figures[m.main] for m in measurements]))
        if figure > self.best_figure:
            self.best_figure, self.outcome.best_step = figure, step
            state = self.encoder.model.state_dict()
            self.best_state = {name: value.detach().clone() for name, value in state.items()}
        self.outcome.history.append(
            {
                "step": step,
                "progress": round(budget.progress(step), 4),
                "seconds": round(time.monotonic() - budget.started, 2),
                "loss": None if np.isnan(self.loss) else self.loss,
                "measurements": [{"source": m.source, "task": m.task, **m.figures} for m in measurements],
            }
        )
        return measurements

    def _measured(self, resamples: int) -> tuple[Measurement, ...]:
        self.encoder.model.eval()
        return tuple(evaluate(self.encoder.model, table, resamples=resamples) for table in self.evaluate_on)

    def _compare(self, when: str) -> None:
        if self.evaluate_on:
            encode = partial(self.encoder.model.encode, show_progress_bar=False)
            self.outcome.similarities[when] = near_and_far(self.evaluate_on[0], encode)
