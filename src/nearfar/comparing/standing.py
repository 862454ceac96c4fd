"""Who is ahead, by how much, and what cannot be told apart.

A variant's figure on a table is the mean over seeds, on several tables the mean of these. Two variants count as told
apart where both of these hold:

- the paired permutation test over the test's rows rejects at 5 % (Fisher; Noreen 1989), each row's values of the two
  swapped together for all seeds. Since the best is found by the same figures, all N (N - 1) / 2 pairs of variants are
  hypotheses, and the p-value is multiplied by as many (Bonferroni);
- the better one is ahead with every seed, which share their encoder at the start and the order of their batches.

A variant whose figure is higher than that of one that cannot be told apart from the best counts as such too. So the
rows and the seeds both have a say. Spearman's correlation is the mean over rows of the product of standardised
ranks, which is what the test swaps. Intervals are 95 % percentile bootstraps over rows of the figure itself; those of
several tables are put together as Zou & Donner (2008) do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.comparison import paired_means
from nearfar.analysis.correlation import spearman
from nearfar.analysis.intervals import bootstrap, means

Floats = NDArray[np.float64]

LEVEL = 0.05
RESAMPLES = 1000
"""Of the bootstrap."""

TOSSES = 200
"""Tosses of the permutation test for each pair of variants, so that the correction leaves something to find; at least
`RESAMPLES`."""


@dataclass(frozen=True)
class Sample:
    """A variant on one table.

    Attributes:
        values: `(seeds, n)`: of each row the value whose mean is the figure, or, with scores, the cosine.
        scores: `(n,)` that the cosines are correlated with, or None.
    """

    values: Floats
    scores: Floats | None = None

    @classmethod
    def of(cls, runs: Sequence[Mapping[str, Any]], table: int) -> Sample:
        """From what `judging.judged` says of each seed's model."""
        found = [run["test"][table] for run in runs]
        name = "cosine" if found[0]["task"] == "sts" else found[0]["main"]
        values = np.asarray([one["by_row"][name] for one in found], np.float64)
        return cls(values, np.asarray(found[0]["by_row"]["score"]) if name == "cosine" else None)

    @property
    def figures(self) -> Floats:
        """`(seeds,)`."""
        return self.values.mean(axis=-1) if self.scores is None else spearman(self.values, self.scores[None])

    @property
    def by_row(self) -> Floats:
        """`(n,)`, whose mean is the mean of `figures`."""
        if self.scores is None:
            return np.asarray(self.values.mean(axis=0))
        from scipy.stats import rankdata

        return np.asarray((_standard(rankdata(self.values, axis=-1)) * _standard(rankdata(self.scores))).mean(axis=0))

    def interval(self, other: Sample | None = None) -> tuple[float, float]:
        """95 % of the mean figure, or of the difference to that of another variant on the same table."""
        signs = np.concatenate([np.ones(len(self.values)), -np.ones(0 if other is None else len(other.values))])
        weights = signs / len(self.values)
        rows = self.values if other is None else np.concatenate([self.values, other.values])
        if self.scores is None:
            ends = bootstrap((weights @ rows)[None], means, resamples=RESAMPLES, seed=0)
        else:
            columns = np.concatenate([self.scores[None], rows])
            ends = bootstrap(columns, lambda c: _weighed(weights, c), resamples=RESAMPLES, seed=0)
        return ends[0]


def _weighed(weights: Floats, columns: Floats) -> Floats:
    """Sum of weighted correlations of the first column `(..., n)` with each other: `(1, ...)`."""
    found = np.stack([spearman(columns[0], column) for column in columns[1:]])
    return np.asarray(np.tensordot(weights, found, 1))[None]


def _standard(ranks: Floats) -> Floats:
    spread = ranks.std(axis=-1, keepdims=True)
    return np.asarray((ranks - ranks.mean(axis=-1, keepdims=True)) / np.where(spread > 0, spread, 1.0))


@dataclass(frozen=True)
class Standing:
    """Where a variant stands.

    Attributes:
        name: of the variant.
        figure: mean over seeds and tables.
        interval: 95 % of it, over rows.
        by_seed: the figure of each seed.
        difference: to the best, 0 or below.
        difference_interval: 95 % of it, over rows; None of the best.
        p_value: of the test against the best, corrected; None of the best.
        tied: whether it cannot be told apart from the best.
    """

    name: str
    figure: float
    interval: tuple[float, float]
    by_seed: tuple[float, ...]
    difference: float = 0.0
    difference_interval: tuple[float, float] | None = None
    p_value: float | None = None
    tied: bool = True


def standings(found: Mapping[str, Sequence[Sample]]) -> list[Standing]:
    """Where each variant stands, the best first.

    Args:
        found: name -> its sample of each table, the tables in one order.
    """
    by_seed = {name: np.mean([one.figures for one in samples], axis=0) for name, samples in found.items()}
    order = sorted(found, key=lambda name: -float(by_seed[name].mean()))
    best = order[0]
    pairs = len(order) * (len(order) - 1) // 2
    ranked = [_standing(name, best, found, by_seed, pairs) for name in order]
    lowest = max(place for place, one in enumerate(ranked) if one.tied)
    return [replace(one, tied=place <= lowest) for place, one in enumerate(ranked)]


def _standing(
    name: str, best: str, found: Mapping[str, Sequence[Sample]], by_seed: Mapping[str, Floats], pairs: int
) -> Standing:
    own, others = found[name], found[best]
    figures = by_seed[name]
    figure = float(figures.mean())
    interval = _together([(float(one.figures.mean()), one.interval()) for one in own])
    seeds = tuple(figures.tolist())
    if name == best:
        return Standing(name, figure, interval, seeds)
    rows = [_joined(samples) for samples in (own, others)]
    test = paired_means(*rows, resamples=max(RESAMPLES, TOSSES * pairs))
    corrected = min(1.0, test.p_value * pairs)
    apart = [(float(a.figures.mean() - b.figures.mean()), a.interval(b)) for a, b in zip(own, others, strict=True)]
    tied = corrected >= LEVEL or not bool((figures < by_seed[best]).all())
    gap = float(figures.mean() - by_seed[best].mean())
    return Standing(name, figure, interval, seeds, gap, _together(apart), corrected, tied)


def _joined(samples: Sequence[Sample]) -> Floats:
    """The rows of all tables, weighted so that their mean is the mean of the tables' figures."""
    rows = [one.by_row for one in samples]
    total = sum(map(len, rows))
    return np.concatenate([own * (total / (len(rows) * len(own))) for own in rows])


def _together(parts: Sequence[tuple[float, tuple[float, float]]]) -> tuple[float, float]:
    """The interval of a mean of independent figures, out of each one's value and interval."""
    middle = np.mean([value for value, _ in parts])
    below = np.sqrt(np.sum([(value - low) ** 2 for value, (low, _) in parts])) / len(parts)
    above = np.sqrt(np.sum([(value - high) ** 2 for value, (_, high) in parts])) / len(parts)
    return float(middle - below), float(middle + above)


def recommendation(found: Sequence[Standing], figure: str, what: str, before: float | None = None) -> str:
    """What the figures bear out, in a few sentences.

    Args:
        found: of `standings`.
        figure: its name.
        what: is compared: "objective", "view" ...
        before: the figure of the encoder before training, or None.
    """
    best, tied, behind = found[0], [one for one in found if one.tied], [one for one in found if not one.tied]
    if len(tied) == 1:
        second = found[1]
        text = (
            f"Take {best.name}: its {figure} of {best.figure:.3f} is ahead of every other {what} with every seed and"
            f" told apart from them ({second.name} follows at {second.figure:.3f}, p {_shown(second.p_value)} after"
            " correction)."
        )
    else:
        names = f"{', '.join(one.name for one in tied[:-1])} and {tied[-1].name}"
        text = (
            f"{names} cannot be told apart on this data, at a {figure} of {tied[-1].figure:.3f} to {best.figure:.3f}:"
            " choose among them by what else matters, such as time, memory or the shape of the space."
        )
        if behind:
            text += (
                f" {_listed(behind)} fall{'s' if len(behind) == 1 else ''} behind {best.name}, {behind[0].name} the"
                f" least, at {behind[0].figure:.3f} (p {_shown(behind[0].p_value)} after correction)."
            )
    if before is not None and best.figure <= before:
        text += f" None of them is better than the encoder before training, {before:.3f}."
    return text


def _listed(some: Sequence[Standing]) -> str:
    names = [one.name for one in some]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _shown(p_value: float | None) -> str:
    return "" if p_value is None else "below 0.001" if p_value < 0.001 else f"{p_value:.3f}"
