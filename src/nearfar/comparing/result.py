"""What a comparison comes to: comparison.json, table.md and report.html out of the runs that are over."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.analysis.report import Grid, Page, Picture, write_page
from nearfar.analysis.report.charts import line_chart
from nearfar.analysis.report.forces import force_chart
from nearfar.comparing.engine import Finished, Record
from nearfar.comparing.plan import Plan
from nearfar.comparing.standing import Sample, Standing, recommendation, standings
from nearfar.data.writing import whole_file
from nearfar.training.journal import plain
from nearfar.training.recorded import versions

SPACE = {"alignment": 3, "uniformity": 2, "effective_rank": 0}
"""Figures of the space, and the digits that are shown."""

READING = (
    "The figure is the mean over seeds and test tables; its interval a bootstrap over the test's rows. p: of the paired"
    " permutation test against the best, corrected for all pairs. Told apart: p below 0.05, and behind with every seed."
    " Time and memory (the largest of the process) are of one training."
)


@dataclass(frozen=True)
class Result:
    """A comparison that is over.

    Attributes:
        vary: what was compared.
        plan: that it followed.
        finished: by name.
        standings: the best first.
        left_out: name -> reason.
        before: main figure of the test part before training, the mean over seeds.
    """

    vary: str
    plan: Plan
    finished: Mapping[str, Finished]
    standings: Sequence[Standing]
    left_out: Mapping[str, str]
    before: float

    @classmethod
    def of(
        cls, vary: str, plan: Plan, finished: Sequence[Finished], left_out: Mapping[str, str], starts: Sequence[Record]
    ) -> Result:
        """From the runs."""
        tables = range(len(plan.test))
        samples = {one.variant.name: [Sample.of(one.runs, table) for table in tables] for one in finished}
        before = float(np.mean([Sample.of(starts, table).figures for table in tables]))
        return cls(vary, plan, {one.variant.name: one for one in finished}, standings(samples), dict(left_out), before)

    @property
    def figure(self) -> str:
        """The name of what is compared, or of several such."""
        (first, *_) = self.finished.values()
        return " and ".join(dict.fromkeys(test["main"] for test in first.runs[0]["test"]))

    @property
    def recommendation(self) -> str:
        """In words."""
        return recommendation(self.standings, self.figure, self.vary, self.before)

    @property
    def budget(self) -> str:
        """What each variant was given, in words."""
        each = self.plan.run_minutes
        length = (
            f"{60 * each:.1f} seconds of training a run, {self.plan.minutes:g} minutes in all"
            if each is not None
            else "as many epochs or steps a run as the settings say, and no limit of time"
        )
        return f"{self.plan.trials} trials to search with, {self.plan.seeds} seeds that count; {length}."

    def headings(self) -> tuple[str, ...]:
        """Of `rows`."""
        return (
            self.vary, "searched", self.figure, "95 %", "seeds ±", "to the best", "p", "", "validation", "seconds",
            "MiB", "alignment", "uniformity", "effective rank",
        )  # fmt: skip

    def rows(self) -> list[tuple[str, ...]]:
        """The table, numbers formatted."""
        return [self._row(standing) for standing in self.standings]

    def _row(self, one: Standing) -> tuple[str, ...]:
        runs = self.finished[one.name]
        space = [_mean(run["space"][name] for run in runs.runs) for name in SPACE]
        verdict = "best" if one.p_value is None else "cannot be told apart" if one.tied else "behind"
        spread = float(np.std(one.by_seed, ddof=1)) if len(one.by_seed) > 1 else 0.0
        gap = one.difference_interval
        return (
            one.name,
            searched(runs),
            f"{one.figure:.3f}",
            f"{one.interval[0]:.3f} to {one.interval[1]:.3f}",
            f"{spread:.3f}",
            f"{one.difference:+.3f} ({gap[0]:+.3f} to {gap[1]:+.3f})" if gap else "",
            "" if one.p_value is None else f"{one.p_value:.3f}",
            verdict,
            _shown(_mean(run["validation"] for run in runs.runs), 3),
            _shown(_mean(run["seconds"] for run in runs.runs), 1),
            _shown(_mean(run["peak_mib"] for run in runs.runs), 0),
            *(_shown(value, digits) for value, digits in zip(space, SPACE.values(), strict=True)),
        )

    def notes(self) -> list[str]:
        """Sentences that belong beside the table."""
        found = [self.plan.note, self.budget, f"Before training: {self.before:.3f}."]
        for name, one in self.finished.items():
            if one.variant.note:
                found.append(f"{name}: {one.variant.note}.")
            if idle := sum(run["best_step"] == 0 for run in one.runs):
                found.append(f"{name}: with {idle} of {len(one.runs)} seeds nothing was better than before training.")
        return found + [f"{name} is left out: {reason}." for name, reason in self.left_out.items()]

    def markdown(self) -> str:
        """table.md."""
        head = self.headings()
        table = [_line(head), _line(["---"] * len(head)), *map(_line, self.rows())]
        notes = [f"- {note}" for note in self.notes()]
        return "\n".join([self.recommendation, "", *table, "", READING, "", *notes]) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """comparison.json, plain values."""
        values: dict[str, Any] = plain(
            {
                "recommendation": self.recommendation,
                "compared": self.vary,
                "figure": self.figure,
                "before": self.before,
                "standings": [
                    asdict(one)
                    | {"searched": searched(self.finished[one.name]), "value": self.finished[one.name].value}
                    | {"runs": [_brief(run) for run in self.finished[one.name].runs]}
                    | {"trials": [asdict(trial) for trial in self.finished[one.name].trials]}
                    for one in self.standings
                ],
                "left_out": dict(self.left_out),
                "notes": self.notes(),
                "plan": self.plan.identity,
                "versions": versions(),
            }
        )
        return values

    def page(self, title: str) -> Page:
        """report.html."""
        grids = [
            Grid(f"By {self.vary}", self.headings(), self.rows(), READING),
            Grid("Notes", ("note",), [(note,) for note in self.notes()]),
        ]
        return Page(title, self.recommendation, [self._courses(), *self._forces()], grids)

    def _courses(self) -> Picture:
        first = self.standings[0]
        lines = {one.name: _course(self.finished[one.name].runs) for one in self.standings}
        course = [y for _, y in lines[first.name]]
        return Picture(
            "Learning curves",
            line_chart(lines, x="share of the run", y=f"{self.figure}, validation"),
            "The figure on the validation part during training, the mean over seeds; the best point of each run is the"
            " model that was kept. A line still rising at its end asks for a longer run.",
            f"{first.name} began at {course[0]:.3f} and came to {max(course):.3f}.",
        )

    def _forces(self) -> list[Picture]:
        """At the chosen settings; of objectives alone, since the others share theirs."""
        made = []
        for one in self.standings if self.vary in ("objective", "temperature") else ():
            finished = self.finished[one.name]
            objective = finished.variant.built(finished.value)
            made.append(
                Picture(
                    f"{one.name}: what it pulls and pushes" if self.vary == "objective" else f"Temperature {one.name}",
                    force_chart(one.name, objective),
                    "Minus the slope of the loss along the cosine of one candidate, while the other stays at 0.5: above"
                    " 0 it is drawn to the anchor, below 0 pushed away, at 0 left alone.",
                    f"At {searched(finished)}." if searched(finished) else "",
                )
            )
        return made


def write_result(result: Result, out: Path) -> None:
    """comparison.json, table.md and report.html, each whole or not at all, the first of them last."""
    with whole_file(out / "report.html") as place:
        write_page(result.page(f"Comparison: {out.name}"), place)
    with whole_file(out / "table.md") as place:
        place.write_text(result.markdown(), "utf-8")
    with whole_file(out / "comparison.json") as place:
        place.write_text(json.dumps(result.to_dict(), indent=2, ensure_ascii=False) + "\n", "utf-8")


def searched(finished: Finished) -> str:
    """What the search took, in words; "" where there was none."""
    dimension = finished.variant.searched
    return "" if dimension is None or finished.value is None else dimension.shown(finished.value)


def _course(runs: Sequence[Record]) -> list[tuple[float, float]]:
    """The mean over seeds, as far as all of them go."""
    points = zip(*(run["course"] for run in runs), strict=False)
    return [(float(np.mean([x for x, _ in some])), float(np.mean([y for _, y in some]))) for some in points]


def _brief(run: Record) -> Record:
    """A run without the values of each row."""
    tests = [{name: value for name, value in test.items() if name != "by_row"} for test in run["test"]]
    return run | {"test": tests}


def _mean(values: Any) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else None


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
