"""Every measurement that a set allows: each function takes what is given and adds its figures, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis import clustering, drift, geometry, neighbours, similarity, tasks
from nearfar.analysis.analysis import Figure
from nearfar.analysis.given import Given, Pairs
from nearfar.analysis.hardness import BATCH, FRACTIONS, TEMPERATURES, gradient_norms, hardness
from nearfar.analysis.intervals import bootstrap, interval
from nearfar.analysis.invariance import ratios
from nearfar.analysis.labels import codes_of
from nearfar.analysis.retrieval import search_of
from nearfar.analysis.spectrum import dimension_importance, length_shares, ranks_by_group, spectrum
from nearfar.analysis.vectors import cosines
from nearfar.analysis.verdicts import MEASURES, measure_named
from nearfar.analysis.words import Text
from nearfar.errors import InputError


@dataclass(frozen=True)
class Options:
    """What decides the figures besides the data; see `analyse`."""

    temperature: float = 0.05
    batch_size: int = BATCH
    k: int = 10
    seed: int = 0
    resamples: int = 1000


@dataclass
class Gathering:
    """What has been found so far."""

    given: Given
    options: Options
    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: dict[str, Text] = field(default_factory=dict)
    samples: dict[str, NDArray[Any]] = field(default_factory=dict)

    def allows(self, *names: str, rows: int) -> bool:
        """Whether there are rows enough for these figures; if not, they are left out with the reason."""
        least = max(MEASURES[name].least for name in names)
        if rows >= least:
            return True
        of = MEASURES[names[0]].of
        english, korean = (
            f"{rows} {of}, wanted at least {least}",
            f"{_KOREAN.get(of, of)} {rows}개, 적어도 {least}개가 필요합니다",
        )
        self.leave_out(Text(english, korean), *names)
        return False

    def leave_out(self, why: Text, *names: str) -> None:
        """Say why these figures are not there."""
        self.left_out.update(dict.fromkeys(names, why))

    def add(
        self,
        name: str,
        by_row: ArrayLike | None = None,
        *,
        value: float | None = None,
        ends: tuple[float, float] | None = None,
        rows: int | None = None,
        judged: Callable[[float], float] = lambda value: value,
    ) -> None:
        """A figure that is the mean of `by_row`, or a `value` with its interval `ends`."""
        if by_row is not None:
            by_row = np.asarray(by_row, dtype=np.float64)
            value, rows = float(by_row.mean()), len(by_row) if rows is None else rows
            ends = interval(by_row, resamples=self.options.resamples, seed=self.options.seed)
        assert value is not None
        assert rows is not None
        self.figures[name] = Figure(name, value, ends, rows, judged(value), by_row)

    def spread(self, sample: NDArray[np.float64], statistic: Callable[..., Any]) -> tuple[float, float] | None:
        """The bootstrap interval of `statistic` over the last axis of `sample` `(n,)`."""
        found = bootstrap(
            sample[None],
            lambda draws: np.asarray(statistic(draws[0]))[None],
            resamples=self.options.resamples,
            seed=self.options.seed,
        )
        return found[0] if found else None


def space(out: Gathering) -> None:
    """Uniformity, mean cosine, ranks, dimensions: of the points alone."""
    points, options = out.given.points, out.options
    names = ("uniformity", "mean_cosine", "largest_dimension")
    if out.allows(*names, rows=len(points)):
        out.add("uniformity", geometry.uniformity_by_row(points))
        out.add("mean_cosine", geometry.mean_cosine_by_row(points))
        dimensions = dimension_importance(points)
        heaviest = int(dimensions.length.argmax())
        share = length_shares(points, heaviest)
        out.add("largest_dimension", share, judged=lambda value: value * points.shape[1] ** 0.5)
        out.samples |= {"dimension_length": dimensions.length, "dimension_shared": dimensions.shared}
    if out.allows("effective_rank", "participation_ratio", rows=len(points)):
        out.samples["spectrum"] = spectrum(points)
        largest = min(points.shape[1], len(points) - 1)
        by_group = ranks_by_group(points, seed=options.seed)
        for name, groups in zip(("effective_rank", "participation_ratio"), by_group, strict=True):
            out.add(name, groups, rows=len(points), judged=lambda value: value / largest)


def hubs(out: Gathering) -> None:
    """Hubness of the points."""
    from scipy.stats import skew

    if not out.allows("hubness", "antihubs", rows=len(out.given.points)):
        return
    k = min(out.options.k, len(out.given.points) - 1)
    out.samples["neighbours"] = neighbours.nearest(out.given.points, k=k).places
    found = neighbours.hubness_of(out.samples["neighbours"])
    out.samples["k_occurrence"] = counts = found.counts
    ends = out.spread(counts.astype(np.float64), lambda draws: np.nan_to_num(skew(draws, axis=-1)))
    out.add("hubness", value=found.skewness, ends=ends, rows=len(counts))
    out.add("antihubs", counts == 0)


def near_pairs(out: Gathering) -> None:
    """Alignment, and the cosines of near against those of far pairs."""
    pairs, between = out.given.pairs, out.given.cosines
    if pairs is None:
        out.leave_out(NO_NEAR, "alignment", "auc", "overlap", "suspects")
        return
    if out.allows("alignment", rows=len(pairs.anchors)):
        out.add("alignment", geometry.alignment_by_row(pairs.anchors, pairs.positives))
        gap = dimension_importance(pairs.anchors, pairs.positives).gap
        assert gap is not None
        out.samples["dimension_gap"] = gap
    if between is None:
        out.leave_out(NO_FAR, "auc", "overlap", "suspects")
        return
    out.samples |= {"near": between.near, "far": between.far}
    if out.allows("auc", "overlap", "suspects", rows=len(pairs.anchors)):
        sides = between.near, between.far, between.near_rows, between.far_rows
        out.add("auc", similarity.auc_by_row(*sides))
        out.add("overlap", similarity.overlap_by_row(*sides))
        others = min(out.options.batch_size, len(pairs.anchors)) - 1
        of, rows = np.unique(between.far_rows, return_inverse=True)
        near_looking = np.bincount(rows, between.far >= np.median(between.near)) / np.bincount(rows)
        out.add("suspects", near_looking * others, rows=len(of))


def negatives(out: Gathering) -> None:
    """Which negatives carry the gradient, and how large it is."""
    options, pairs = out.options, out.given.pairs
    sides = _sides(out.given)
    if not out.allows("effective_negatives", "hardest_share", rows=len(sides.anchors)):
        out.leave_out(out.left_out["hardest_share"], "gradient_norm", "gradient_tail")
        return
    if len(np.unique(sides.groups)) < 2:
        out.leave_out(NO_FAR, "effective_negatives", "hardest_share", "gradient_norm", "gradient_tail")
        return
    settings = {"batch_size": options.batch_size, "groups": sides.groups, "seed": options.seed}
    temperatures = sorted({*TEMPERATURES, options.temperature})
    found = hardness(sides.anchors, sides.positives, temperatures=temperatures, **settings)  # type: ignore[arg-type]
    told, at = found.negatives > 0, temperatures.index(options.temperature)
    share = float(1 / found.negatives[told].mean())
    out.add("effective_negatives", found.effective[at, told], judged=lambda value: value * share)
    out.add("hardest_share", found.shares[at, FRACTIONS.index(0.1), told])
    effective = (found.effective[:, told] / found.negatives[told]).mean(axis=1)
    out.samples |= {
        "temperatures": np.array(temperatures),
        "fractions": np.array(FRACTIONS),
        "effective_share": effective,
        "hardest_shares": found.shares[:, :, told].mean(axis=2),
    }
    if pairs is None:
        out.leave_out(NO_NEAR, "gradient_norm", "gradient_tail")
        return
    norms = gradient_norms(pairs.anchors, pairs.positives, temperature=options.temperature, **settings)  # type: ignore[arg-type]
    out.samples |= {"gradient_norms": norms, "near_cosines": cosines(pairs.anchors, pairs.positives)}
    out.add("gradient_norm", norms)
    if out.allows("gradient_tail", rows=len(norms)):
        out.add("gradient_tail", value=float(_tail(norms)), ends=out.spread(norms, _tail), rows=len(norms))


def _tail(norms: NDArray[np.float64]) -> NDArray[np.float64]:
    """99th percentile over median, along the last axis; 1 where all are 0."""
    middle, high = np.quantile(norms, [0.5, 0.99], axis=-1)
    return np.asarray(np.divide(high, middle, out=np.where(high > 0, np.inf, 1.0), where=middle > 0))


def _sides(given: Given) -> Pairs:
    """The near pairs, or every point with itself."""
    points = given.points
    return given.pairs or Pairs(points, points, np.arange(len(points)), None)


def labels(out: Gathering) -> None:
    """k-NN, linear probe, clusters, silhouette."""
    names = ("knn_accuracy", "linear_accuracy", "v_measure", "silhouette")
    if out.given.labelled is None:
        out.leave_out(NO_LABELS, *names)
        return
    rows, of = out.given.labelled
    if not out.allows(*names, rows=len(rows)):
        return
    options = out.options
    try:
        found = tasks.measure_labels(rows, of, seed=options.seed, resamples=0, source="")
    except InputError as why:  # one label only, or none twice
        out.leave_out(
            Text(str(why).removeprefix(": "), f"둘 이상의 행을 가진 레이블이 둘 이상 필요합니다 ({why})"), *names
        )
        return
    codes = codes_of(of)
    chance = np.bincount(codes).max() / len(codes)
    for name in names[:2]:
        out.add(name, found.by_row[name], judged=lambda value: (value - chance) / (1 - chance))
    groups = clustering.clusters(rows, int(codes.max()) + 1, seed=options.seed)
    out.add("v_measure", clustering.agreement_by_row(codes, groups))
    out.add("silhouette", clustering.silhouette_by_row(rows, codes.tolist()))


def scores(out: Gathering) -> None:
    """Correlations with people's scores."""
    if out.given.scored is None:
        out.leave_out(NO_SCORES, "spearman", "pearson")
        return
    graded, first, second = out.given.scored
    try:
        found = tasks.measure_sts(
            graded, first, second, seed=out.options.seed, resamples=out.options.resamples, source=""
        )
    except InputError as why:
        out.leave_out(Text(str(why).removeprefix(": "), f"점수로 상관을 낼 수 없습니다 ({why})"), "spearman", "pearson")
        return
    for name, value in found.figures.items():
        out.add(name, value=value, ends=found.intervals.get(name), rows=found.rows)
    sums, counts = np.bincount(out.given.place, np.tile(graded, 2)), np.bincount(out.given.place)
    out.samples |= {
        "scores": found.by_row["score"],
        "pair_cosines": found.by_row["cosine"],
        "point_scores": sums / counts,
    }


def retrieval(out: Gathering) -> None:
    """Each anchor among the distinct positives."""
    names = ("mrr@10", "recall@1", "recall@10", "ndcg@10")
    pairs = out.given.pairs
    if out.given.kind != "pairs" or pairs is None:
        out.leave_out(NO_PAIRS, *names)
        return
    queries, candidates, relevant = pairs.anchors, pairs.positives, [[i] for i in range(len(pairs.anchors))]
    if pairs.texts is not None:
        search = search_of(*pairs.texts)
        first = [dict(zip(reversed(side), range(len(side) - 1, -1, -1), strict=True)) for side in pairs.texts]
        queries = queries[[first[0][text] for text in search.queries]]
        candidates = candidates[[first[1][text] for text in search.candidates]]
        relevant = search.relevant
    if not out.allows(*names, rows=min(len(queries), len(candidates))):
        return
    found = tasks.measure_retrieval(queries, candidates, relevant, resamples=0)
    for name in names:
        out.add(name, found.by_row[name])


def gather(out: Gathering) -> None:
    """All of the above."""
    for measured in (space, hubs, near_pairs, negatives, labels, scores, retrieval):
        measured(out)


def views(out: Gathering, moved: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """Each view's way against that to the nearest neighbour; `moved` holds both sides of the first rows."""
    points, given = out.given.points, out.given
    for view, (left, right) in moved.items():
        name = f"invariance:{view}"
        if len(points) < 2 or not out.allows("invariance", rows=len(np.asarray(left))):
            out.leave_out(out.left_out.pop("invariance", NO_FAR), name)
            continue
        places = out.samples.get("neighbours")
        places = neighbours.nearest(points, k=1).places if places is None else places
        place = given.place[: len(np.asarray(left))]
        found = ratios(left, right, points[place], points[places[place, 0]])
        out.samples[name] = found
        out.add(name, found < 1)


def other_model(out: Gathering, before: NDArray[np.floating[Any]]) -> None:
    """Drift from the points `(n, e)` of another model."""
    points = out.given.points
    if out.allows("cka", rows=len(points)):
        out.add("cka", drift.cka_by_group(points, before, seed=out.options.seed), rows=len(points))
    if out.allows("neighbour_overlap", rows=len(points)):
        k = out.samples["neighbours"].shape[1]
        out.add(
            "neighbour_overlap", neighbours.common(out.samples["neighbours"], neighbours.nearest(before, k=k).places)
        )


NO_NEAR = Text(
    "needs near pairs: a positive, a label or a score beside the text",
    "가까운 쌍이 필요합니다: 텍스트와 함께 양성, 레이블 또는 점수",
)
NO_FAR = Text("no two rows are far from each other", "서로 먼 두 행이 없습니다")
NO_LABELS = Text("needs labels", "레이블이 필요합니다")
NO_SCORES = Text("needs scored pairs", "점수가 있는 쌍이 필요합니다")
NO_PAIRS = Text("needs pairs of anchor and positive", "앵커와 양성의 쌍이 필요합니다")
_KOREAN = {
    "distinct texts": "서로 다른 텍스트", "near pairs": "가까운 쌍", "labelled texts": "레이블이 있는 텍스트",
    "scored pairs": "점수가 있는 쌍", "pairs": "쌍", "rows in random batches": "행",
    "near pairs in random batches": "가까운 쌍", "near pairs, far pairs drawn at random": "가까운 쌍",
    "texts and their views": "변형한 텍스트", "texts under two models": "텍스트",
}  # fmt: skip


def in_table_order(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries in the order of `verdicts.TABLE`."""
    order = list(MEASURES)
    return dict(sorted(figures.items(), key=lambda item: order.index(measure_named(item[0]).name)))
