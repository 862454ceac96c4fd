"""BM25 and the figures against the same by hand."""

import math

import numpy as np
import pytest

from nearfar.demo import bm25_rankings, retrieval_figures

CANDIDATES = ["apple banana", "apple apple cherry", "banana cherry dates elder", "fig"]
QUERIES = ["the apple", "cherries and bananas", "apple cherry", "nothing here", ""]


def by_hand(query: list[str], document: list[str], documents: list[list[str]]) -> float:
    """Lucene's BM25, k1 = 1.5 and b = 0.75, for words already cut."""
    average = sum(map(len, documents)) / len(documents)
    score = 0.0
    for word in query:
        holders = sum(word in other for other in documents)
        count = document.count(word)
        rarity = math.log(1 + (len(documents) - holders + 0.5) / (holders + 0.5))
        score += rarity * count / (count + 1.5 * (1 - 0.75 + 0.75 * len(document) / average))
    return score


def test_bm25_ranks_as_by_hand() -> None:
    documents = [[word[:4] for word in text.split()] for text in CANDIDATES]
    queries = [["appl"], ["cher", "bana"], ["appl", "cher"], ["noth", "here"], []]
    expected = [
        sorted(range(4), key=lambda row: (-round(by_hand(query, documents[row], documents), 6), row))
        for query in queries
    ]
    np.testing.assert_array_equal(bm25_rankings(QUERIES, CANDIDATES), expected)
    np.testing.assert_array_equal(bm25_rankings(QUERIES, CANDIDATES, k=2), np.array(expected)[:, :2])


def test_bm25_of_nothing_has_the_shape_of_nothing() -> None:
    assert bm25_rankings([], CANDIDATES).shape == (0, 4)
    assert bm25_rankings(QUERIES, []).shape == (5, 0)
    np.testing.assert_array_equal(bm25_rankings(["apple"], ["", "( )", "the"]), [[0, 1, 2]])
    with pytest.raises(ValueError, match="k: found 0"):
        bm25_rankings(QUERIES, CANDIDATES, k=0)


def test_figures_equal_plain_loops() -> None:
    generator = np.random.default_rng(0)
    rankings = np.stack([generator.permutation(30)[:12] for _ in range(200)])
    relevant = generator.integers(0, 30, size=200)
    total = {"mrr@10": 0.0, "recall@1": 0.0, "recall@10": 0.0, "ndcg@10": 0.0}
    for ranking, right in zip(rankings.tolist(), relevant.tolist(), strict=True):
        for place, candidate in enumerate(ranking[:10], start=1):
            if candidate == right:
                total["mrr@10"] += 1 / place
                total["recall@1"] += place == 1
                total["recall@10"] += 1
                total["ndcg@10"] += 1 / math.log2(place + 1)
    expected = {name: value / 200 for name, value in total.items()}
    assert retrieval_figures(rankings, relevant) == pytest.approx(expected)


def test_figures_of_the_extremes() -> None:
    perfect = retrieval_figures([[1, 0], [0, 1]], [1, 0])
    assert set(perfect.values()) == {1.0}
    assert set(retrieval_figures([[1, 0]], [7]).values()) == {0.0}
    assert set(retrieval_figures(np.empty((3, 0), dtype=int), [0, 1, 2]).values()) == {0.0}


@pytest.mark.parametrize(("rankings", "relevant"), [([[0], [1]], [0]), ([0, 1], [0, 1]), (np.empty((0, 10)), [])])
def test_figures_of_ill_shaped_input(rankings: object, relevant: list[int]) -> None:
    with pytest.raises(ValueError, match="rankings: found shape"):
        retrieval_figures(rankings, relevant)  # type: ignore[arg-type]
