"""Searches against comparing with everything, and against bm25s and scipy."""

from __future__ import annotations

import bm25s
import numpy as np
import pytest
import torch

from nearfar.data.negatives import FusedSearch, Hits, IndexSearch, LexicalSearch, VectorSearch, as_unit
from nearfar.data.negatives.lexical import _tokens, snowball
from nearfar.data.negatives.search import ROUNDING, SUMMED

EVERY = slice(None)


def vectors(n: int, m: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    return as_unit(draw.normal(size=(n, width))), as_unit(draw.normal(size=(m, width)))


@pytest.mark.parametrize("screen", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(
    ("n", "m", "width", "depth"),
    [(1, 1, 3, 1), (3, 2, 4, 5), (1030, 4500, 8, 7), (5, 4097, 3, 4097), (20, 70_000, 8, 9)],
)
def test_the_screen_misses_nothing(n: int, m: int, width: int, depth: int, screen: torch.dtype) -> None:
    """Also with ties, where width 3 crowds thousands of candidates closer than bfloat16 can tell."""
    queries, candidates = vectors(n, m, width)
    candidates[: min(m, 50)] = candidates[0].clone()
    found = VectorSearch(queries, candidates, screen).top(EVERY, depth)
    every = (queries.double() @ candidates.double().T).float().numpy()
    there = min(depth, m)
    best = -np.sort(-every, axis=1)[:, :there]
    assert (found.places[:, there:] == -1).all()
    np.testing.assert_allclose(found.scores[:, :there], best, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(every, found.places[:, :there], 1), best, atol=1e-6)
    assert all(len(set(row)) == there for row in found.places[:, :there].tolist())


def test_equal_vectors_score_equally_and_come_by_place() -> None:
    queries, candidates = vectors(6, 40, 5)
    candidates[[3, 17, 29]] = queries[0].clone()
    found = VectorSearch(queries, candidates).top(EVERY, 5)
    assert found.places[0, :3].tolist() == [3, 17, 29]
    assert len(set(found.scores[0, :3].tolist())) == 1


def test_the_error_bound_covers_what_bfloat16_does() -> None:
    queries, candidates = vectors(64, 4096, 64)
    search = VectorSearch(queries, candidates)
    rounded = queries.bfloat16()
    bound = (queries - rounded.float()).norm(dim=1, keepdim=True) + search._error
    wrong = ((rounded @ candidates.bfloat16().T).float() - queries @ candidates.T).abs()
    assert (wrong <= bound + ROUNDING * (queries @ candidates.T).abs() + SUMMED).all()


def test_an_index_finds_most_and_scores_them_in_full() -> None:
    pytest.importorskip("faiss", reason="needs the extra nearfar[index]")
    queries, candidates = vectors(50, 2000, 16)
    exact = VectorSearch(queries, candidates).top(EVERY, 10)
    found = IndexSearch.of(queries, candidates).top(EVERY, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(found.places.tolist(), exact.places.tolist(), strict=True)]
    assert np.mean(shared) > 9.5
    row = np.repeat(np.arange(50), 10)
    np.testing.assert_allclose(
        found.scores.ravel(), (queries[row] * candidates[found.places.ravel()]).sum(1).numpy(), atol=1e-6
    )


TEXTS = [
    "the cat sat on a mat",
    "a dog and a cat",
    "dogs bark",
    "우리 선생님은 학교에 갔다",
    "선생님이 오셨다",
    "",
    "mats",
]
ASKED = ["cats on mats", "선생님", "nothing known", "dog dog bark", ""]


def test_bm25_is_that_of_bm25s() -> None:
    search = LexicalSearch.of(ASKED, TEXTS)
    index = bm25s.BM25()
    index.index(_tokens(TEXTS, snowball), show_progress=False)
    found = search.top(EVERY, len(TEXTS))
    for row, words in enumerate(_tokens(ASKED, snowball)):
        wanted = index.get_scores(words) if words else np.zeros(len(TEXTS), np.float32)
        there = found.places[row] >= 0
        assert there.sum() == (wanted > 0).sum()
        np.testing.assert_allclose(found.scores[row, there], np.sort(wanted[wanted > 0])[::-1], rtol=1e-5)
        numbers = np.full(len(TEXTS), row), np.arange(len(TEXTS))
        np.testing.assert_allclose(search.pair_scores(*numbers), wanted, rtol=1e-5)
    few = search.top(slice(0, 4), 1)
    np.testing.assert_array_equal(few.places[:, 0], found.places[:4, 0])


def test_a_korean_noun_is_found_under_any_particle() -> None:
    found = LexicalSearch.of(["선생님께"], TEXTS).top(EVERY, 3)
    assert set(found.places[0].tolist()) == {3, 4, -1}


class Fixed:
    """A search whose answer is known."""

    def __init__(self, places: list[list[int]]) -> None:
        self.places = np.array(places)

    def top(self, rows: slice, depth: int) -> Hits:
        places = self.places[rows, :depth]
        return Hits(places, np.where(places < 0, -np.inf, 1.0).astype(np.float32))

    def pair_scores(self, queries: np.ndarray, places: np.ndarray) -> np.ndarray:
        return (places / 10).astype(np.float32)


def test_fusion_ranks_by_the_sum_of_inverse_ranks() -> None:
    first, second = Fixed([[4, 7, 1], [2, -1, -1]]), Fixed([[7, 5, 4], [-1, -1, -1]])
    found = FusedSearch(first, second).top(EVERY, 3)
    gains = {4: 1 / 61 + 1 / 63, 7: 1 / 62 + 1 / 61, 5: 1 / 62, 1: 1 / 63}
    assert found.places[0].tolist() == sorted(gains, key=gains.__getitem__, reverse=True)[:3]
    assert found.places[1].tolist() == [2, -1, -1]
    np.testing.assert_allclose(found.scores[0], found.places[0] / 10)
