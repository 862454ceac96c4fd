"""Measuring tables: the same figures as sentence-transformers' own evaluators; what bad input says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfar.analysis import Measurement, encoding, evaluate, measure, measure_retrieval, measure_sts
from nearfar.data.tables import Table
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def hashed(texts: Sequence[str]) -> np.ndarray:
    """A cheap encoder: counts of letter pairs, thrown into 32 columns."""
    vectors = np.full((len(texts), 32), 0.1, dtype=np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for a, b in pairwise(text):
            row[(ord(a) * 31 + ord(b)) % 32] += 1
    return vectors


def test_sts_equals_sentence_transformers(model: SentenceTransformer, scored: Table) -> None:
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator

    columns = [scored.column(role) for role in ("sentence1", "sentence2", "score")]
    theirs = EmbeddingSimilarityEvaluator(*columns, main_similarity="cosine", write_csv=False)(model)
    ours = evaluate(model, scored)
    assert ours.task == "sts"
    assert ours.rows == len(scored)
    assert ours.figures["spearman"] == pytest.approx(theirs["spearman_cosine"], abs=1e-4)
    assert ours.figures["pearson"] == pytest.approx(theirs["pearson_cosine"], abs=1e-4)


def test_retrieval_equals_sentence_transformers(model: SentenceTransformer, pairs: Table) -> None:
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    anchors, positives = pairs.column("anchor"), pairs.column("positive")
    candidates = list(dict.fromkeys(positives + pairs.column("negative")))
    number = {text: f"{i:03}" for i, text in enumerate(candidates)}
    relevant: dict[str, set[str]] = {}
    for anchor, positive in zip(anchors, positives, strict=True):
        relevant.setdefault(anchor, set()).add(number[positive])
    theirs = InformationRetrievalEvaluator(
        {anchor: anchor for anchor in relevant},
        {number[text]: text for text in candidates},
        relevant,
        write_csv=False,
    )(model)
    ours = evaluate(model, pairs)
    assert ours.task == "retrieval"
    assert ours.rows == len(relevant) < len(pairs)
    wanted = {name: theirs[f"cosine_{name}"] for name in ("mrr@10", "recall@1", "recall@10", "ndcg@10")}
    assert ours.figures == pytest.approx(wanted, abs=1e-4)
    assert 0 < wanted["recall@1"] < wanted["mrr@10"] < 1


def test_labels_of_real_texts(model: SentenceTransformer, labelled: Table) -> None:
    found = evaluate(model, labelled)
    assert found.task == "labels"
    assert found.rows == len(labelled)
    assert found.figures["linear_accuracy"] > 0.5
    assert set(found.intervals) == {"knn_accuracy", "linear_accuracy"}


def test_evaluate_encodes_alike_with_a_bar_and_keeps_the_mode(
    model: SentenceTransformer,
    pairs: Table,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "BATCHES_A_STEP", 1)
    quiet = evaluate(model, pairs, resamples=0)
    assert capsys.readouterr().out == ""
    model.train()
    shown = evaluate(model, pairs, batch_size=8, resamples=0, progress=True)
    assert model.training
    model.eval()
    assert shown.figures == pytest.approx(quiet.figures, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "main", "rows"),
    [("scored", "spearman", 18), ("pairs", "mrr@10", 11), ("labelled", "knn_accuracy", 17)],
)
def test_every_kind_has_its_main_figure(name: str, main: str, rows: int, request: pytest.FixtureRequest) -> None:
    table = request.getfixturevalue(name)
    found = measure(table, hashed, resamples=100)
    assert (found.main, found.rows, found.source) == (main, rows, table.source)
    assert next(iter(found.figures)) == main
    for figure, (low, high) in found.intervals.items():
        assert low <= found.figures[figure] <= high
    assert found.intervals.keys() == found.figures.keys()
    assert measure(table, hashed, resamples=0) == Measurement(found.task, found.source, rows, found.figures)


def test_a_measurement_survives_json(pairs: Table) -> None:
    plain = measure(pairs, hashed, resamples=20).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["main"] == "mrr@10"


@pytest.mark.parametrize("name", ["scored", "pairs", "labelled"])
def test_every_distinct_text_is_embedded_once(name: str, request: pytest.FixtureRequest) -> None:
    table = request.getfixturevalue(name)
    calls: list[list[str]] = []
    measure(table, lambda texts: calls.append(list(texts)) or hashed(texts), resamples=0)
    distinct = {text for role in table.text_roles for text in table.column(role)}
    assert [sorted(call) for call in calls] == [sorted(distinct)]


def test_labels_left_out_are_neither_embedded_nor_lost() -> None:
    table = Table.from_columns({"text": list("abcdefg"), "label": list("xxxyyyz")})
    seen: list[str] = []
    found = measure(table, lambda texts: seen.extend(texts) or hashed(texts), resamples=0)
    assert seen == list("abcdef")
    assert (found.rows, found.left_out) == (6, 1)


def test_a_collapsed_encoder_scores_nothing(scored: Table) -> None:
    point = np.random.default_rng(0).normal(size=48).astype(np.float32)
    found = measure(scored, lambda texts: np.tile(point, (len(texts), 1)))
    assert found.figures == {"spearman": 0.0, "pearson": 0.0}
    assert found.intervals == {"spearman": (0.0, 0.0), "pearson": (0.0, 0.0)}


def unused(texts: Sequence[str]) -> np.ndarray:
    raise AssertionError("the table is unfit and must be found so before anything is encoded")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", "b"]}, r"t.csv: texts alone .* text and label, or anchor and positive, or sentence1"),
        (
            {"sentence1": ["a"] * 3, "sentence2": ["b"] * 3, "score": [2.0] * 3},
            "t.csv: every score is 2, wanted",
        ),
        (
            {"sentence1": ["a"] * 2, "sentence2": ["b"] * 2, "score": [1.0, 2.0]},
            "2 scored rows, wanted at least 3",
        ),
        ({"anchor": ["a"], "positive": ["b"]}, "t.csv: 1 distinct candidate text, wanted at least 2"),
        ({"anchor": ["a", "c"], "positive": ["b", "b"]}, "t.csv: 1 distinct candidate text"),
        ({"text": ["a", "b", "c"], "label": ["x", "x", "x"]}, "t.csv: the only label is 'x'"),
    ],
)
def test_an_unfit_table_is_the_users_error(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(Table.from_columns(columns, source="t.csv"), unused)


def spoilt(texts: Sequence[str]) -> np.ndarray:
    vectors = hashed(texts)
    vectors[:2, 3] = np.nan
    vectors[0, 1] = np.inf
    return vectors


@pytest.mark.parametrize(
    ("name", "embed", "message"),
    [
        ("labelled", spoilt, "labelled.jsonl: 2 of 17 embeddings hold NaN or infinity"),
        ("pairs", spoilt, "pairs.jsonl: 2 of 11 query embeddings hold NaN"),
        ("scored", spoilt, r"scored.jsonl: 4 of 18 sentence1 embeddings hold NaN"),
        ("pairs", lambda texts: hashed(texts)[1:], r"texts came back as embeddings of shape \(\d+, 32\)"),
        ("pairs", lambda texts: hashed(texts)[:, 0], r"of shape \(11,\), wanted \(rows, width\)"),
    ],
)
def test_an_unfit_encoder_is_an_error(
    name: str,
    embed: Callable[[Sequence[str]], np.ndarray],
    message: str,
    request: pytest.FixtureRequest,
) -> None:
    with pytest.raises(InputError, match=message):
        measure(request.getfixturevalue(name), embed)


def test_embeddings_can_be_measured_without_a_table() -> None:
    found = measure_retrieval(np.eye(4), np.eye(4), [[0], [1], [2], [3]], resamples=10)
    assert (found.source, found.rows) == ("memory", 4)
    assert set(found.figures.values()) == {1.0}
    with pytest.raises(InputError, match="1 of 2 queries have no relevant candidate"):
        measure_retrieval(np.eye(2), np.eye(2), [[0], []])
    with pytest.raises(InputError, match="memory: 1 of 3 scores are NaN or infinite"):
        measure_sts([1.0, np.nan, 2.0], np.eye(3), np.eye(3))
