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
from nearfar.data.streams import Stream
from nearfar.data.views import Views
from nearfar.data.views.embedding import Adversarial
from nearfar.encoders import Encoder, open_encoder
from nearfar.encoders.base import Change
from nearfar.errors import InputError, RunError
from nearfar.objectives import Objective, build_objective
from nearfar.settings import Settings
from nearfar.training.contrasting import Contrasting
from nearfar.training.feeds import Feed, TableFeed
from nearfar.training.fitting import Data, check_suited, check_usable
from nearfar.training.held_out import hold_out
from nearfar.training.memory import Memory
from nearfar.training.mining import Miner
from nearfar.training.mixing import mixer
from nearfar.training.perturbing import attacked, change_of
from nearfar.training.ready import make_feed, make_model, parse_views, resolved, token_dropout, with_end
from nearfar.training.schedule import Budget, warm_up_and_decay
from nearfar.training.sources import Batch

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


def train(
    data: Data | Sequence[Data],
    *,
    objective: Objective | None = None,
    model: SentenceTransformer | None = None,
    settings: Settings | None = None,
    evaluate_on: Sequence[Table] = (),
    watch: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Train an encoder so that near texts of the data lie near each other.

    Args:
        data: tables, or streams, of any roles that the objective can use; each batch comes from one of them.
        objective: what pulls and pushes; None builds the one that the settings name.
        model: the encoder to start from; None opens or builds the one that the settings name.
        settings: everything else; None takes the defaults.
        evaluate_on: tables to measure on; where there are none, a part of each training table is held out.
        watch: called after each step. Raising KeyboardInterrupt inside ends the run and keeps the best model.

    Returns:
        The outcome, whose model is the best that was measured.

    Raises:
        InputError: data, settings and objective do not fit each other.
        RunError: the loss became NaN or infinite.
    """
    data = [data] if isinstance(data, Table | Stream) else list(data)
    settings = settings or Settings()
    objective = objective or build_objective(settings.objective, temperature=settings.temperature)
    if not data:
        raise InputError("data: found none, wanted at least one table to train on")
    for one in data:
        check_usable(one, objective)
    views = parse_views(settings, data)
    check_suited(data, objective, settings, views.views)
    accelerator = Accelerator()
    if accelerator.num_processes > 1:
        raise InputError(
            f"found {accelerator.num_processes} processes, wanted 1: training across ranks is not built yet"
        )
    set_seed(settings.seed)
    model = model or make_model(data, settings)
    evaluate_on = list(evaluate_on)
    if not evaluate_on:
        data, evaluate_on = _held_out_parts(data, settings)
    settings = settings.model_copy(update={"token_dropout": token_dropout(settings, views, data)})
    encoder = open_encoder(
        accelerator.prepare_model(model),
        settings.encoder,
        token_dropout=settings.token_dropout or 0.0,
        weight_learning_rate=settings.weight_learning_rate,
    )
    settings = resolved(settings, encoder, views, data)
    feed = make_feed(data, encoder, objective, settings, views)
    settings = with_end(settings, encoder, feed)
    return _Run(accelerator, encoder, objective, settings, feed, views, evaluate_on, watch).run()


def _held_out_parts(data: Sequence[Data], settings: Settings) -> tuple[list[Data], list[Table]]:
    kept: list[Data] = []
    held: list[Table] = []
    for one in data:
        rest, part = hold_out(one, settings.held_out, settings.seed) if isinstance(one, Table) else (one, None)
        kept.append(rest)
        held += [] if part is None else [part]
    return kept, held


class _Run:
    """The state of one run."""

    SMOOTHING = 0.95

    def __init__(
        self,
        accelerator: Accelerator,
        encoder: Encoder,
        objective: Objective,
        settings: Settings,
        feed: Feed,
        views: Views,
        evaluate_on: Sequence[Table],
        watch: Callable[[Step], None],
    ) -> None:
        self.accelerator, self.encoder, self.objective = accelerator, encoder, objective
        self.settings, self.feed, self.views = settings, feed, views
        self.evaluate_on, self.watch = evaluate_on, watch
        assert settings.learning_rate is not None
        optimisers = [encoder.optimiser(settings.learning_rate)]
        if isinstance(objective, torch.nn.Module) and [*objective.parameters()]:
            optimisers.append(torch.optim.Adam(objective.parameters(), lr=OBJECTIVE_RATE))
        self.optimisers = [accelerator.prepare(optimiser) for optimiser in optimisers]
        self.rates = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.memory = Memory(encoder, size=settings.queue, momentum=settings.momentum) if settings.queue else None
        self.contrasting = Contrasting(
            encoder,
            objective.by_direction,
            settings.guide_margin,
            self.memory.queue if self.memory else None,
            mixer(settings.mixed) if settings.mixed else None,
        )
        self.change = change_of(views.views)
        self.adversary = next((view for view in views.views if isinstance(view, Adversarial)), None)
        self.miner = Miner(encoder, settings, feed.sources) if isinstance(feed, TableFeed) else None
        self.outcome = Outcome(encoder.model, settings, evaluate_on=tuple(evaluate_on))
        self.best_figure = -np.inf
        self.best_state: dict[str, torch.Tensor] = {}
        self.loss = float("nan")

    def run(self) -> Outcome:
        budget = Budget(self.settings.steps, 60 * self.settings.minutes if self.settings.minutes else None)
        batches = self.feed.batches()
        step, rows_done, due, busy = 0, 0, 1, 0.0
        try:
            self._measure(0, budget)
            self._compare("before")
            while (progress := budget.progress(step)) < 1:
                started = time.monotonic()
                note = self.miner.refresh(step) if self.miner else ""
                _, batch = next(batches)
                self._step(batch, progress)
                rows_done, busy = rows_done + len(batch.tokens[0]), busy + time.monotonic() - started
                step, progress = step + 1, budget.progress(step + 1)
                measurements: tuple[Measurement, ...] = ()
                if progress >= due / self.settings.evaluations:
                    due = int(progress * self.settings.evaluations) + 1
                    measurements = self._measure(step, budget)
                self.watch(Step(step, progress, self.loss, rows_done / busy, measurements, note))
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        self.outcome.seconds = time.monotonic() - budget.started
        self.outcome.unchanged = dict(self.views.unchanged)
        self._finish(step)
        return self.outcome

    def _finish(self, step: int) -> None:
        """Take the best model and measure it well."""
        if self.best_state:
            self.encoder.model.load_state_dict(self.best_state)
        else:
            self.encoder.fold()
            self.outcome.best_step = step
        try:
            self.outcome.measurements = self._measured(resamples=1000)
            self._compare("after")
        except KeyboardInterrupt:  # a second one: the model is worth more than its last measurement
            self.outcome.interrupted = True

    def _step(self, batch: Batch, progress: float) -> None:
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * warm_up_and_decay(progress, self.settings.warmup)
        self.encoder.model.train()
        loss = self._loss(batch)
        value = loss.item()
        if not np.isfinite(value):
            raise RunError(f"{batch.source}: the loss became {value}; try a lower learning rate")
        self.loss = value if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * value
        self.accelerator.backward(loss)
        if self.encoder.gradient_clip:
            self.accelerator.clip_grad_norm_(self.encoder.model.parameters(), self.encoder.gradient_clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if self.memory:
            self.memory.update(batch)

    def _loss(self, batch: Batch) -> torch.Tensor:
        def under(change: Change | None) -> torch.Tensor:
            return self.objective(self.contrasting(batch, change))

        change = self.change
        if self.adversary and len(batch.tokens) > 1:
            change = attacked(self.adversary, under, change)
        return under(change)

    def _measure(self, step: int, budget: Budget) -> tuple[Measurement, ...]:
        if not self.evaluate_on:
            return ()
        self.encoder.fold()
        measurements = self._measured(resamples=0)
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
