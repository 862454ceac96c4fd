"""An analysis: figures with intervals and verdicts, samples for pictures, lists to read, and what was left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.comparison import Paired, paired_correlations, paired_means
from nearfar.analysis.verdicts import Verdict, judge
from nearfar.analysis.words import Language, Text, meaning, reading, title
from nearfar.errors import InputError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One number, with what is known about it.

    Attributes:
        name: as in `verdicts.TABLE`; with the view behind a colon for `invariance`.
        value: the number.
        interval: 95 %, or None where nothing can be said.
        rows: that it goes over.
        judged: what the thresholds are about, where that is not the value.
        by_row: `(n,)` whose mean is the value, for a paired test; None where it is no such figure. Groups of rows for
            ranks and CKA.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    rows: int
    judged: float
    by_row: Values | None = field(default=None, compare=False, repr=False)

    @property
    def verdict(self) -> Verdict:
        """Good, watch or bad, by the thresholds of `verdicts.TABLE`."""
        return judge(self.name, self.judged)

    def title(self, language: Language = "en") -> str:
        """What it is called."""
        return title(self.name, language)

    def reading(self, language: Language = "en") -> str:
        """One sentence on how to read it."""
        return reading(self.name, language)

    def meaning(self, language: Language = "en") -> str:
        """One sentence on what this value means here."""
        return meaning(self.name, self.value, self.judged, language)

    def to_dict(self, language: Language = "en") -> dict[str, Any]:
        """Plain values for JSON; what is not finite becomes None."""
        return {
            "title": self.title(language),
            "value": _plain(self.value),
            "interval": None if self.interval is None else [_plain(end) for end in self.interval],
            "rows": self.rows,
            "verdict": self.verdict,
            "reading": self.reading(language),
            "meaning": self.meaning(language),
        }


@dataclass(frozen=True)
class Hub:
    """A text that is among the nearest of many: its row among the points, how often, and the text if there is one."""

    row: int
    count: int
    text: str | None


@dataclass(frozen=True)
class Suspect:
    """A far pair that looks near: rows, cosine, that of the anchor's own near pair, and texts if there are any."""

    row: int
    other: int
    cosine: float
    own: float | None
    text: str | None
    other_text: str | None


@dataclass(frozen=True)
class Analysis:
    """What `analyse` found.

    Attributes:
        source: what the data is called.
        kind: "texts", "labelled", "pairs" or "scored".
        rows: of the data; `used` of them were looked at, which `notes` says where it is fewer.
        width: of the embeddings.
        figures: name -> figure, in the order of `verdicts.TABLE`.
        left_out: name -> why it is not there.
        notes: what a reader must know of how it was done.
        samples: arrays for pictures: `near` and `far` (cosines), `spectrum`, `k_occurrence`, `neighbours` (places among
            the points), `dimension_length`, `dimension_shared`, `dimension_gap`, `temperatures`, `fractions`,
            `effective_share` (temperatures), `hardest_shares` (temperatures, fractions), `gradient_norms` beside
            `near_cosines`, `scores` beside `pair_cosines`, `point_scores` (of a point's pairs, the mean),
            `invariance:VIEW` (ratios).
        points: `(n, d)`, the distinct texts' embeddings that the figures of the space go over.
        texts, labels: of the points, or None.
        hubs, false_negatives: lists, the worst first.
        settings: what else decided the figures.
    """

    source: str
    kind: str
    rows: int
    used: int
    width: int
    figures: Mapping[str, Figure]
    left_out: Mapping[str, Text]
    notes: tuple[Text, ...]
    samples: Mapping[str, NDArray[Any]] = field(compare=False, repr=False)
    points: NDArray[Any] = field(compare=False, repr=False)
    texts: tuple[str, ...] | None = field(repr=False)
    labels: tuple[Any, ...] | None = field(repr=False)
    hubs: tuple[Hub, ...] = field(repr=False)
    false_negatives: tuple[Suspect, ...] = field(repr=False)
    settings: Mapping[str, Any]

    def to_dict(self, language: Language = "en") -> dict[str, Any]:
        """Plain values for JSON, words in `language` ("en" or "ko"); of the samples only the curves."""
        curves = ("spectrum", "temperatures", "fractions", "effective_share", "hardest_shares")
        return {
            "source": self.source,
            "kind": self.kind,
            "rows": self.rows,
            "used": self.used,
            "points": len(self.points),
            "width": self.width,
            "settings": dict(self.settings),
            "notes": [note[language] for note in self.notes],
            "figures": {name: figure.to_dict(language) for name, figure in self.figures.items()},
            "left_out": {name: why[language] for name, why in self.left_out.items()},
            "hubs": [vars(hub) for hub in self.hubs],
            "false_negatives": [vars(suspect) for suspect in self.false_negatives],
            "curves": {name: self.samples[name].tolist() for name in curves if name in self.samples},
        }


def compare(first: Analysis, second: Analysis, *, resamples: int = 1000, seed: int = 0) -> dict[str, Paired]:
    """Paired tests between two models on the same rows: figure -> first less second, for every figure that allows one.

    Raises `InputError` where the two are of different data or settings.
    """
    for name in ("kind", "rows", "used", "texts", "settings"):
        if getattr(first, name) != getattr(second, name):
            raise InputError(f"found analyses with different {name}, wanted one set of data and settings, two models")
    found: dict[str, Paired] = {}
    for name in first.figures.keys() & second.figures.keys():
        one, other = (analysis.figures[name].by_row for analysis in (first, second))
        if name in ("spearman", "pearson"):
            cosines = (analysis.samples["pair_cosines"] for analysis in (first, second))
            scores, rank = first.samples["scores"], name == "spearman"
            found[name] = paired_correlations(scores, *cosines, rank=rank, resamples=resamples, seed=seed)
        elif one is not None and other is not None and len(one) == len(other) > 1:
            found[name] = paired_means(one, other, resamples=resamples, seed=seed)
    return {name: found[name] for name in first.figures if name in found}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
