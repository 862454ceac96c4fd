"""The engine of a comparison: run after run, each on disk as soon as it is over, so that an interrupted one goes on."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.analysis.tasks import MAIN
from nearfar.comparing.judging import Peak, judged
from nearfar.comparing.plan import Plan
from nearfar.comparing.runs import Runs
from nearfar.comparing.searching import Dimension, Trial, best_of, next_trial
from nearfar.comparing.variants import Variant
from nearfar.errors import RunError
from nearfar.settings import Settings
from nearfar.training import DivergedError, Outcome, Step, train
from nearfar.training.output import save, whole_folder
from nearfar.training.ready import make_model

if TYPE_CHECKING:
    import optuna
    from sentence_transformers import SentenceTransformer

Tell = Callable[[str], None]
Record = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """A variant whose runs are over.

    Attributes:
        variant: that it is.
        value: of what was searched, that was taken; None where nothing was.
        trials: of the search.
        runs: what `judging.judged` says of each seed's model, with seed, validation figure, course, seconds, memory.
    """

    variant: Variant
    value: float | None
    trials: Sequence[Trial]
    runs: Sequence[Record]


def compare_variants(
    plan: Plan, runs: Runs, *, tell: Tell, model: Path | None = None
) -> tuple[list[Finished], dict[str, str], list[Record]]:
    """Search, train and judge every variant; what is on disk already is not done again.

    Args:
        plan: of the comparison.
        runs: where each run is kept.
        tell: is given a line on each run.
        model: folder for the model with the best validation figure of all, or None.

    Returns:
        The variants whose runs all ended well; name -> reason of the others; what is said of the encoder of each seed
        before training.

    Raises:
        RunError: fewer than two variants have ended well.
        KeyboardInterrupt: a person stopped it.
    """
    engine = _Engine(plan, runs, tell, model)
    starts = [engine.start(seed) for seed in engine.seeds]
    finished, failed = [], {}
    for variant in plan.variants:
        found = engine.variant(variant)
        if isinstance(found, Finished):
            finished.append(found)
        else:
            failed[variant.name] = found
            tell(f"{variant.name}: left out: {found}")
    if len(finished) < 2:
        raise RunError(f"{len(finished)} of {len(plan.variants)} could be trained: {'; '.join(failed.values())}")
    return finished, failed, starts


@dataclass
class _Engine:
    plan: Plan
    runs: Runs
    tell: Tell
    model: Path | None
    made: dict[int, SentenceTransformer] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Of the runs that count."""
        return range(self.plan.settings.seed, self.plan.settings.seed + self.plan.seeds)

    def start(self, seed: int) -> Record:
        """What is said of the encoder before training."""
        return self.runs.once(f"start-{seed}", lambda: judged(self._encoder(seed), self.plan.test))

    def variant(self, variant: Variant) -> Finished | str:
        """All runs of a variant, or why it has none that count."""
        trials: list[Trial] = []
        rate: float | None = None
        for number in range(self.plan.trials_of(variant)):
            record = self.runs.once(f"{variant.name}.trial-{number}", lambda: self._trial(variant, trials, rate))  # noqa: B023
            rate = record["learning_rate"] if rate is None else rate
            trials.append(Trial(*(record[name] for name in ("value", "course", "figure", "state"))))
        best = best_of(trials)
        if trials and best is None:
            return "every trial diverged"
        value = best.value if best else None
        found = [
            self.runs.once(f"{variant.name}.seed-{seed}", lambda: self._counted(variant, value, rate, seed))  # noqa: B023
            for seed in self.seeds
        ]
        reasons = [record["diverged"] for record in found if "diverged" in record]
        return reasons[0] if reasons else Finished(variant, value, trials, found)

    def _trial(self, variant: Variant, past: Sequence[Trial], rate: float | None) -> Record:
        assert variant.searched is not None
        began, seed = time.monotonic(), self.plan.settings.seed
        trial, value = next_trial(variant.searched, past, seed)
        watched = _Watched(trial)
        record: Record = {"value": value, "figure": None, "learning_rate": rate}
        try:
            outcome = self._train(variant, value, rate, seed, watched)
            figure = course_of(outcome)[-1][1]
            record |= {"state": "complete", "figure": figure, "learning_rate": outcome.settings.learning_rate}
        except _Pruned:
            record |= {"state": "pruned", "figure": watched.course[-1]}
        except DivergedError as error:
            record |= {"state": "diverged", "learning_rate": error.outcome.settings.learning_rate}
        record |= {"course": watched.course, "seconds": time.monotonic() - began}
        shown = "" if record["figure"] is None else f" {record['figure']:.4f}"
        self._tell(variant, f"trial {len(past) + 1}", variant.searched, value, f"validation{shown}, {record['state']}")
        return record

    def _counted(self, variant: Variant, value: float | None, rate: float | None, seed: int) -> Record:
        """A run that counts: trained as the search says, judged on the test part."""
        with Peak() as peak:
            try:
                outcome = self._train(variant, value, rate, seed)
            except DivergedError as error:
                return {"diverged": f"seed {seed}: {error}"}
        course = course_of(outcome)
        record: Record = {
            "seed": seed,
            "validation": max(figure for _, figure in course),
            "course": course,
            "best_step": outcome.best_step,
            "steps": outcome.settings.steps,
            "seconds": outcome.seconds,
            "peak_mib": peak.mib,
            **judged(outcome.model, self.plan.test),
        }
        self._keep(outcome, variant, record["validation"])
        shown = f"validation {record['validation']:.4f}, {outcome.seconds:.1f} s"
        self._tell(variant, f"seed {seed}", variant.searched, value, shown)
        return record

    def _train(
        self,
        variant: Variant,
        value: float | None,
        rate: float | None,
        seed: int,
        watch: Callable[[Step], None] = lambda step: None,
    ) -> Outcome:
        changes: dict[str, Any] = {"objective": variant.objective.partition(":")[0], "seed": seed, **variant.changes}
        if self.plan.run_minutes is not None:
            changes["minutes"] = self.plan.run_minutes
        if variant.searched and variant.searched.name == "learning_rate" and rate is not None and value is not None:
            changes["learning_rate"] = rate * value
        outcome = train(
            variant.tables(self.plan.train),
            objective=variant.built(value),
            model=copy.deepcopy(self._encoder(seed)),
            settings=Settings.build(self.plan.settings.model_dump() | changes, variant.name),
            evaluate_on=self.plan.validation,
            watch=watch,
        )
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome

    def _encoder(self, seed: int) -> SentenceTransformer:
        """The encoder that every variant of a seed starts from."""
        if seed not in self.made:
            settings = self.plan.settings.model_copy(update={"seed": seed})
            self.made[seed] = make_model(list(self.plan.train), settings)
        return self.made[seed]

    def _keep(self, outcome: Outcome, variant: Variant, validation: float) -> None:
        """Save the model where its validation figure is the best so far; before its run counts as done."""
        if self.model is None or validation <= self.runs.best_validation:
            return
        with whole_folder(self.model, overwrite=True) as folder:
            save(folder, outcome, variant.tables(self.plan.train), title=variant.name)

    def _tell(self, variant: Variant, run: str, searched: Dimension | None, value: float | None, what: str) -> None:
        at = f" ({searched.shown(value)})" if searched and value is not None else ""
        self.tell(f"{variant.name}: {run}{at}: {what}")


class _Pruned(Exception):  # noqa: N818
    """A trial is not worth its end."""


class _Watched:
    """Reports a run's validation figures to a trial, and ends it where it falls behind the others."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial
        self.course: list[float] = []

    def __call__(self, step: Step) -> None:
        if not step.measurements:
            return
        figure = float(np.mean([m.figures[m.main] for m in step.measurements]))
        self.trial.report(figure, len(self.course))
        self.course.append(figure)
        if self.trial.should_prune():
            raise _Pruned


def course_of(outcome: Outcome) -> list[tuple[float, float]]:
    """(progress, validation figure) of each measurement, the one before training first."""
    return [(entry["progress"], _figure(entry["measurements"])) for entry in outcome.history]


def _figure(measurements: Sequence[Mapping[str, Any]]) -> float:
    return float(np.mean([m[MAIN[m["task"]]] for m in measurements]))
