"""Retrieval against plain loops, whatever the strip; the task that rows of pairs make."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfar.analysis import retrieval
from nearfar.analysis.retrieval import Search, figures_by_query, relevant_ranks, search_of
from nearfar.analysis.vectors import unit


def ranked_by_hand(query: np.ndarray, candidates: np.ndarray) -> list[int]:
    """Places of the candidates, the nearest first and the earlier first among equals; rounded as stated."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        length = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b))
        return float(np.float32(dot / length)) if length else 0.0

    return sorted(range(len(candidates)), key=lambda j: (-cosine(query, candidates[j]), j))


def figures_by_hand(order: list[int], relevant: list[int]) -> dict[str, float]:
    first = next((rank for rank, place in enumerate(order[:10], 1) if place in relevant), None)
    found = sum(1 / math.log2(1 + rank) for rank, place in enumerate(order[:10], 1) if place in relevant)
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, min(len(relevant), 10) + 1))
    return {
        "mrr@10": 1 / first if first else 0.0,
        "recall@1": sum(place in relevant for place in order[:1]) / len(relevant),
        "recall@10": sum(place in relevant for place in order[:10]) / len(relevant),
        "ndcg@10": found / ideal,
    }


def task(seed: int, queries: int, candidates: int) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Random embeddings with a few equal rows, a zero row, and 1 to 14 relevant candidates a query."""
    random = np.random.default_rng(seed)
    offered = random.normal(size=(candidates, 6)).astype(np.float32)
    offered[random.integers(0, candidates, candidates // 3)] = offered[0]
    offered[-1] = 0
    relevant = [
        random.choice(candidates, random.integers(1, min(candidates, 14) + 1), replace=False).tolist()
        for _ in range(queries)
    ]
    asked = offered[[found[0] for found in relevant]] + random.normal(size=(queries, 6)).astype(np.float32)
    return asked, offered, relevant


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_definition(seed: int) -> None:
    queries, candidates, relevant = task(seed, 20, 40)
    found = figures_by_query(relevant_ranks(queries, candidates, relevant))
    for i, query in enumerate(queries):
        wanted = figures_by_hand(ranked_by_hand(query, candidates), relevant[i])
        assert {name: values[i] for name, values in found.items()} == pytest.approx(wanted, abs=1e-12)


def test_equals_trec_eval() -> None:
    """NIST's own program, by pytrec_eval. It ranks equal scores by name, so here no two candidates are equal."""
    random = np.random.default_rng(0)
    queries, candidates = random.normal(size=(50, 6)), random.normal(size=(80, 6))
    relevant = [random.choice(80, random.integers(1, 15), replace=False).tolist() for _ in range(50)]
    scores = (unit(queries) @ unit(candidates).T).tolist()
    judged = {str(i): {str(j): 1 for j in found} for i, found in enumerate(relevant)}
    run = {str(i): {str(j): score for j, score in enumerate(row)} for i, row in enumerate(scores)}
    best = {i: dict(sorted(row.items(), key=lambda item: -item[1])[:10]) for i, row in run.items()}
    whole = pytrec_eval.RelevanceEvaluator(judged, {"recall.1,10", "ndcg_cut.10"}).evaluate(run)
    first = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(best)
    found = figures_by_query(relevant_ranks(queries, candidates, relevant))
    for i in range(50):
        theirs = whole[str(i)]
        assert found["mrr@10"][i] == pytest.approx(first[str(i)]["recip_rank"])
        assert found["ndcg@10"][i] == pytest.approx(theirs["ndcg_cut_10"])
        assert found["recall@1"][i] == pytest.approx(theirs["recall_1"])
        assert found["recall@10"][i] == pytest.approx(theirs["recall_10"])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), queries=st.integers(1, 12), candidates=st.integers(2, 30), data=st.data())
def test_strips_do_not_matter(seed: int, queries: int, candidates: int, data: st.DataObject) -> None:
    arguments = task(seed, queries, candidates)
    strip = data.draw(st.integers(1, queries + 1))
    whole, stripped = relevant_ranks(*arguments), relevant_ranks(*arguments, strip=strip)
    assert [r.tolist() for r in whole] == [r.tolist() for r in stripped]


def test_scores_are_never_all_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four million scores would be 32 MB in float64."""
    monkeypatch.setattr(retrieval, "SCORES_AT_ONCE", 1 << 16)
    rows = np.random.default_rng(0).normal(size=(2000, 8))
    tracemalloc.start()
    try:
        relevant_ranks(rows, rows, [[i] for i in range(2000)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6


def test_equal_candidates_rank_in_their_order_however_they_are_computed() -> None:
    vector = np.random.default_rng(0).normal(size=384).astype(np.float32)
    candidates = np.tile(vector, (67, 1))
    for strip in (1, 3, 7):
        ranks = relevant_ranks(candidates[:7], candidates, [[place] for place in range(7)], strip=strip)
        assert [r.tolist() for r in ranks] == [[place + 1] for place in range(7)]


def test_a_query_without_length_meets_the_candidates_in_their_order() -> None:
    (ranks,) = relevant_ranks(np.zeros((1, 3)), np.eye(3), [[2, 0]])
    assert ranks.tolist() == [1, 3]


def test_all_relevant_first_is_perfect_beyond_the_cutoff_too() -> None:
    figures = figures_by_query([np.arange(1, 26)])
    assert figures["ndcg@10"][0] == pytest.approx(1.0)
    assert figures["recall@10"][0] == pytest.approx(10 / 25)
    assert figures["recall@1"][0] == pytest.approx(1 / 25)


def test_search_of_gathers_equal_texts() -> None:
    search = search_of(["a", "b", "a", "a"], ["x", "y", "z", "x"], ["y", "w", "a"])
    assert search == Search(["a", "b"], ["x", "y", "z", "w", "a"], [[0, 2], [1]])
