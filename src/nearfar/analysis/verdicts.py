"""The measurements in one table: formula, source, how exact, how many rows at least, and where good ends.

The thresholds are rules of thumb, set so that a space known to be sound or broken is called so (tests/analysis holds
the cases) and so that sentence encoders in good use come out mostly good. They say where to look, not which model to
choose: that is for the figures of a task, and for a paired test. Uniformity in particular is no verdict by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "watch", "bad"]
Range = tuple[float, float]
INF = float("inf")


@dataclass(frozen=True)
class Measure:
    """A line of the table.

    Attributes:
        name: of the figure.
        formula: in one line.
        source: the paper.
        of: what it is worked out of.
        exact: how exact it is.
        good, watch: from and to, both included; what is in neither is bad.
        judged: what the ranges are about, where that is not the value itself.
        least: rows that it wants.
        form: how a number is written.
    """

    name: str
    formula: str
    source: str
    of: str
    exact: str
    good: Range
    watch: Range = (-INF, INF)
    judged: str = ""
    least: int = 10
    form: str = ".3f"

    def verdict(self, judged: float) -> Verdict:
        """Good, watch or bad; NaN is bad."""
        for name, (low, high) in (("good", self.good), ("watch", self.watch)):
            if low <= judged <= high:
                return name  # type: ignore[return-value]
        return "bad"


def up_to(value: float) -> Range:
    """From minus infinity."""
    return (-INF, value)


def at_least(value: float) -> Range:
    """To infinity."""
    return (value, INF)


POINTS, NEAR, LABELS = "distinct texts", "near pairs", "labelled texts"
BATCHES = "rows in random batches"
ALL, DRAWN = "exact", "exact for the batches drawn"
CHANCE = "(value − share of the largest label) / (1 − that share)"

TABLE: tuple[Measure, ...] = (
    Measure("alignment", "mean |u − v|² over near pairs", "Wang & Isola 2020", NEAR, ALL, up_to(0.6), up_to(1.2)),
    Measure("uniformity", "log mean exp(−2 |u − v|²) over all pairs", "Wang & Isola 2020", POINTS,
            "every pair, float32 products", up_to(-2.0), up_to(-1.0)),
    Measure("mean_cosine", "mean u·v over all pairs", "Ethayarajh 2019", POINTS, ALL, (-0.2, 0.2), (-0.5, 0.5)),
    Measure("effective_rank", "exp H(σ / Σσ), σ singular values of centred unit rows", "Roy & Vetterli 2007", POINTS,
            ALL, at_least(0.5), at_least(0.2), "value / min(width, texts − 1)", 20, ".1f"),
    Measure("participation_ratio", "(Σλ)² / Σλ², λ variances along principal axes", "Gao et al. 2017", POINTS, ALL,
            at_least(0.1), at_least(0.04), "value / min(width, texts − 1)", 20, ".1f"),
    Measure("largest_dimension", "largest share that one dimension has of the mean squared length",
            "Timkey & van Schijndel 2021", POINTS, ALL, up_to(1.5), up_to(5.0), "value × √width", 10, ".1%"),
    Measure("hubness", "skewness of N_k, how often a text is among the k nearest of others (k 10)",
            "Radovanović et al. 2010", POINTS, ALL, up_to(2.0), up_to(4.0), "", 100, ".2f"),
    Measure("antihubs", "share of texts with N_k = 0", "Radovanović et al. 2010", POINTS, ALL, up_to(0.1), up_to(0.3),
            "", 100, ".1%"),
    Measure("auc", "chance that a near pair has the higher cosine than a far one", "Hanley & McNeil 1982",
            "near pairs, far pairs drawn at random", "near all, far 10 a row", at_least(0.95), at_least(0.8), "", 30),
    Measure("overlap", "Σ over 50 bins of min(near, far)", "Inman & Bradley 1989",
            "near pairs, far pairs drawn at random", "near all, far 10 a row", up_to(0.2), up_to(0.5), "", 30, ".1%"),
    Measure("effective_negatives", "mean 1 / Σ r², r softmax of cosines / τ over the negatives", "Wang & Liu 2021",
            BATCHES, DRAWN, (0.02, 0.7), (0.004, 0.95), "value / negatives of an anchor", 20, ".1f"),
    Measure("hardest_share", "Σ r over the hardest tenth of the negatives", "Wang & Liu 2021", BATCHES, DRAWN,
            (0.2, 0.95), (0.12, 0.999), "", 20, ".1%"),
    Measure("gradient_norm", "mean |τ ∂ℓ/∂u|, ℓ the anchor's InfoNCE", "Xiong et al. 2021",
            "near pairs in random batches", DRAWN, (0.05, 0.8), (-INF, INF), "", 20),
    Measure("gradient_tail", "99th percentile / median of |∂ℓ/∂u|", "Xiong et al. 2021",
            "near pairs in random batches", DRAWN, up_to(10.0), (-INF, INF), "", 100, ".1f"),
    Measure("suspects", "far pairs of an anchor in a batch with at least the median near cosine", "ours",
            "near pairs, far pairs drawn at random", "far 10 a row", up_to(0.5), up_to(5.0), "", 30, ".2f"),
    Measure("invariance", "share of texts that a view moves less far than their nearest neighbour is", "ours",
            "texts and their views", "texts drawn, all neighbours", at_least(0.9), at_least(0.6), "", 20, ".1%"),
    Measure("cka", "|Y'X|² / (|X'X| |Y'Y|), centred", "Kornblith et al. 2019", "texts under two models", ALL,
            at_least(0.8), at_least(0.5), "", 20),
    Measure("neighbour_overlap", "mean share of common ones of the 10 nearest", "Hamilton et al. 2016",
            "texts under two models", ALL, at_least(0.5), at_least(0.2), "", 100, ".1%"),
    Measure("knn_accuracy", "10 nearest of other folds vote", "Cover & Hart 1967", LABELS, "5 folds",
            at_least(0.7), at_least(0.3), CHANCE, 20, ".1%"),
    Measure("linear_accuracy", "logistic regression on other folds", "Alain & Bengio 2016", LABELS, "5 folds",
            at_least(0.75), at_least(0.4), CHANCE, 20, ".1%"),
    Measure("v_measure", "harmonic mean of homogeneity and completeness of k-means clusters",
            "Rosenberg & Hirschberg 2007", LABELS, "one start of k-means", at_least(0.5), at_least(0.2), "", 20),
    Measure("silhouette", "mean (b − a) / max(a, b) by cosine distance", "Rousseeuw 1987", LABELS, ALL,
            at_least(0.1), at_least(0.0), "", 20),
    Measure("spearman", "rank correlation of cosines and scores", "Reimers et al. 2016", "scored pairs", ALL,
            at_least(0.75), at_least(0.5), "", 3),
    Measure("pearson", "correlation of cosines and scores", "Reimers et al. 2016", "scored pairs", ALL,
            at_least(0.75), at_least(0.5), "", 3),
    Measure("mrr@10", "mean 1 / rank of the first relevant, 0 beyond 10", "Voorhees 1999", "pairs", ALL,
            at_least(0.6), at_least(0.2), "", 2),
    Measure("recall@1", "mean share of the relevant at rank 1", "Manning et al. 2008", "pairs", ALL,
            at_least(0.5), at_least(0.15), "", 2, ".1%"),
    Measure("recall@10", "mean share of the relevant in the first 10", "Manning et al. 2008", "pairs", ALL,
            at_least(0.8), at_least(0.3), "", 2, ".1%"),
    Measure("ndcg@10", "mean Σ 1 / log₂(1 + rank) over the best possible", "Järvelin & Kekäläinen 2002", "pairs", ALL,
            at_least(0.65), at_least(0.25), "", 2),
)  # fmt: skip
MEASURES: dict[str, Measure] = {measure.name: measure for measure in TABLE}


def measure_named(figure: str) -> Measure:
    """The line for a figure; `invariance:delete` is one of `invariance`."""
    return MEASURES[figure.partition(":")[0]]


def judge(figure: str, judged: float) -> Verdict:
    """The verdict on a figure's value, or on what is `judged` in its place."""
    return measure_named(figure).verdict(judged)
