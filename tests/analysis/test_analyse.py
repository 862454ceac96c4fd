"""Known answers: spaces whose trouble is known are called by its name; and what `analyse` does with any input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from nearfar.analysis import Analysis, analyse, analyse_table, analysing
from nearfar.analysis.verdicts import TABLE, judge
from nearfar.data import Table
from nearfar.errors import InputError


def cloud(rows: int = 600, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def verdicts(found: Analysis) -> dict[str, str]:
    return {name: figure.verdict for name, figure in found.figures.items()}


def test_uniform_points_are_good() -> None:
    found = analyse(cloud(1500, 64), resamples=100)
    assert found.figures["uniformity"].value == pytest.approx(-4 + 2 * 4 / 64, abs=0.03)  # variance of 4 s is 16 / d
    assert abs(found.figures["mean_cosine"].value) < 0.002
    assert found.figures["effective_rank"].judged > 0.95
    assert set(verdicts(found).values()) == {"good"}
    assert found.kind == "texts"


def test_a_collapsed_point_is_bad_and_its_alignment_does_not_hide_it() -> None:
    x = np.tile(cloud(1), (300, 1))
    found = analyse(x, x, resamples=50)
    assert found.figures["alignment"].value == pytest.approx(0, abs=1e-6)
    assert found.figures["uniformity"].value == pytest.approx(0, abs=1e-5)
    assert found.figures["mean_cosine"].value == pytest.approx(1)
    assert found.figures["effective_rank"].value == found.figures["participation_ratio"].value == 0
    assert found.figures["auc"].value == 0.5
    bad = {"uniformity", "mean_cosine", "effective_rank", "participation_ratio", "auc", "overlap", "suspects", "mrr@10"}
    assert bad <= {name for name, verdict in verdicts(found).items() if verdict == "bad"}
    assert "collapsed" in found.figures["uniformity"].meaning()
    assert "무너졌" in found.figures["uniformity"].meaning("ko")


def test_a_cloud_of_rank_three_is_called_so() -> None:
    found = analyse(cloud(800, 3) @ cloud(3, 128), resamples=50)
    assert found.figures["effective_rank"].value == pytest.approx(3, abs=0.1)
    assert found.figures["participation_ratio"].value == pytest.approx(3, abs=0.2)
    assert np.count_nonzero(found.samples["spectrum"] > 1e-9) == 3
    assert found.figures["effective_rank"].verdict == found.figures["participation_ratio"].verdict == "bad"


def test_planted_hubs_head_the_list() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 48))
    x[:, 0] += 4
    x[:3] = 0.2 * x[:3]  # near the middle of all, so near everybody
    x[:3, 0] = 4
    found = analyse(x, texts=[f"text {i}" for i in range(1000)], resamples=50)
    assert {hub.row for hub in found.hubs[:3]} == {0, 1, 2}
    assert found.hubs[0].text == f"text {found.hubs[0].row}"
    assert found.figures["hubness"].verdict == "bad"


def test_a_planted_false_negative_is_read_first() -> None:
    x = cloud()
    y = x + 0.5 * cloud(seed=1)
    y[9] = x[4] + 0.01 * cloud(seed=2)[4]
    found = analyse(x, y, texts=[f"q{i}" for i in range(600)], other_texts=[f"a{i}" for i in range(600)], resamples=0)
    first = found.false_negatives[0]
    assert (first.text, first.other_text) == ("q4", "a9")
    assert first.cosine > 0.99 > first.own
    assert found.figures["suspects"].verdict == "good"


def test_equal_models_do_not_drift_and_a_rotated_one_does_not_either() -> None:
    x = cloud()
    for other in (x, 3 * x @ np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0]):
        found = analyse(x, before=(other, None), resamples=50)
        assert found.figures["cka"].value == pytest.approx(1, abs=1e-6)
        assert found.figures["neighbour_overlap"].value > 0.999
        assert found.figures["cka"].verdict == found.figures["neighbour_overlap"].verdict == "good"
    strange = analyse(x, before=(cloud(seed=9, width=20), None), resamples=50)
    assert strange.figures["cka"].verdict == strange.figures["neighbour_overlap"].verdict == "bad"


def test_labels_that_are_there_and_labels_that_are_not() -> None:
    labels = np.repeat(np.arange(5), 60)
    x = 0.5 * cloud(300) + 4 * np.eye(32)[labels]
    names = ("knn_accuracy", "linear_accuracy", "v_measure", "silhouette", "auc")
    told = analyse(x, labels=labels.tolist(), resamples=50)
    assert {verdicts(told)[name] for name in names} == {"good"}
    random = analyse(cloud(300), labels=labels.tolist(), resamples=50)
    assert {verdicts(random)[name] for name in names} == {"bad"}
    assert {told.labels[s.row] != told.labels[s.other] for s in told.false_negatives} == {True}


def test_views_that_leave_texts_alone_and_views_that_do_not() -> None:
    x = cloud()
    moved = {"still": (x[:50], x[:50] + 0.01), "wild": (x[:50], -x[:50])}
    found = analyse(x, moved=moved, most=200, resamples=0)
    assert found.used == 200
    assert (found.figures["invariance:still"].value, found.figures["invariance:wild"].value) == (1, 0)
    assert verdicts(found)["invariance:still"] == "good"
    assert verdicts(found)["invariance:wild"] == "bad"
    assert found.figures["invariance:wild"].title() == "Invariance to a view: wild"


def test_every_figure_has_an_interval_around_it() -> None:
    x = cloud()
    found = analyse(x, x + cloud(seed=1), before=(x + 0.1, x), moved={"v": (x[:99], x[:99] + 0.3)}, resamples=200)
    for figure in found.figures.values():
        assert figure.interval is not None, figure.name
        assert figure.interval[0] <= figure.value + 1e-9, figure.name
        assert figure.interval[1] >= figure.value - 1e-9, figure.name


@pytest.mark.parametrize("rows", [1, 2, 3, 11, 25])
@pytest.mark.parametrize("kind", ["texts", "labelled", "pairs", "scored"])
def test_too_few_texts_are_a_reason_and_no_crash(rows: int, kind: str) -> None:
    x, y = cloud(rows, 4), cloud(rows, 4, 1)
    more = {
        "texts": {},
        "labelled": {"labels": [i % 2 for i in range(rows)]},
        "pairs": {"y": y},
        "scored": {"y": y, "scores": np.arange(rows)},
    }[kind]
    found = analyse(x, **more, texts=None, resamples=20)
    assert found.left_out["hubness"].en == f"{len(found.points)} distinct texts, wanted at least 100"
    assert "100개" in found.left_out["hubness"].ko
    named = {measure.name for measure in TABLE} - {"invariance", "cka", "neighbour_overlap"}
    assert found.figures.keys() | found.left_out.keys() == named
    assert not found.figures.keys() & found.left_out.keys()
    assert json.loads(json.dumps(found.to_dict("ko"))) == found.to_dict("ko")


def test_one_label_only_and_equal_scores_are_reasons() -> None:
    one = analyse(cloud(100), labels=["a"] * 100, resamples=0)
    assert "the only label is 'a'" in one.left_out["knn_accuracy"].en
    assert one.left_out["auc"].en == "no two rows are far from each other"
    flat = analyse(cloud(100), cloud(100, seed=1), scores=np.ones(100), resamples=0)
    assert "every score is 1" in flat.left_out["spearman"].en


def test_a_large_set_is_sampled_and_says_so() -> None:
    found = analyse(cloud(3000), most=500, resamples=0)
    assert (found.rows, found.used, len(found.points)) == (3000, 500, 500)
    assert found.notes[0].en == "500 of 3,000 rows, drawn at random"
    assert found.notes[0]["ko"] == "3,000행 가운데 무작위로 뽑은 500행"
    assert found == analyse(cloud(3000), most=500, resamples=0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.where(np.eye(5) > 0, np.nan, 1.0)[2:]}, "memory: 3 of 3 embeddings hold NaN or infinity, the first"),
        ({"x": np.eye(5), "y": np.full((5, 5), np.inf)}, "5 of 5 embeddings hold NaN or infinity, the first in row 1"),
        ({"x": np.eye(5), "labels": [1, 2]}, "found 2 labels with 5 embeddings"),
        ({"x": np.eye(5), "y": np.eye(5)[:, :3]}, r"shapes \(5, 5\) and \(5, 3\)"),
        ({"x": np.eye(5), "y": np.eye(5), "texts": list("abcde")}, "found texts of one side"),
        ({"x": np.eye(5), "scores": [1] * 5}, "found scores without a second set"),
        ({"x": np.eye(5), "before": (np.eye(4), None)}, "the same 5 rows"),
        ({"x": np.empty((0, 3))}, "found 0 embeddings"),
    ],
)
def test_bad_input_is_named(columns: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyse(**columns)  # type: ignore[arg-type]


def hashed(texts: list[str]) -> np.ndarray:
    return np.stack([np.random.default_rng(list(text.encode())).normal(size=16) for text in texts])


@pytest.mark.parametrize("name", ["scored", "pairs", "labelled"])
def test_tables_of_every_kind(name: str, request: pytest.FixtureRequest) -> None:
    table = request.getfixturevalue(name)
    found = analyse_table(table, hashed, before=hashed, views=["swap"], resamples=20)
    assert (found.kind, found.source, found.rows) == (name, table.source, len(table))
    assert "invariance:swap" in {**found.figures, **found.left_out}
    assert set(found.texts) == {text for role in table.text_roles[:2] for text in table.column(role)}
    assert (found.labels is not None) == (name == "labelled")


def test_only_the_rows_that_are_looked_at_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(analysing, "VIEWED", 5)
    table = Table.from_columns({"text": [f"this is text {i}" for i in range(200)]})
    found = analyse_table(
        table, lambda texts: seen.extend(texts) or hashed(texts), views=["delete"], most=50, resamples=0
    )
    assert 50 < len(seen) <= 55
    assert (found.rows, found.used) == (200, 50)
    assert found.notes[0].en == "50 of 200 rows, drawn at random"


def test_rows_of_one_text_are_one_point_and_not_far_from_each_other() -> None:
    x = np.concatenate([cloud(60), cloud(60)])
    texts = [f"t{i % 60}" for i in range(120)]
    y = x + 0.2 * cloud(120, seed=3)
    found = analyse(x, y, texts=texts, other_texts=[f"o{i}" for i in range(120)], resamples=0)
    assert len(found.points) == 60 + 120
    assert all(texts[s.row] != texts[s.other] for s in found.false_negatives)


@pytest.mark.parametrize("measure", TABLE, ids=lambda measure: measure.name)
def test_every_threshold_can_be_met_and_good_lies_within_watch(measure: object) -> None:
    low, high = measure.good
    middle = low if np.isfinite(low) else high
    assert judge(measure.name, middle) == "good"
    assert measure.watch[0] <= low <= high <= measure.watch[1]
    assert judge(measure.name, float("nan")) == "bad"
