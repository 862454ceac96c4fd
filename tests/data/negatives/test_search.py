"""Searches against comparing with everything, and against bm25s and scipy."""

from __future__ import annotations

import bm25s
import numpy as np
import pytest
import torch

from nearfar.data.negatives import FusedSearch, Hits, IndexSearch, LexicalSearch, VectorSearch, as_unit
from nearfar.data.negatives import search as searching
from nearfar.data.negatives.lexical import _tokens, snowball
from nearfar.data.negatives.screen import HALF, ROWS, Asked, Packed, rotation, worth

EVERY = slice(None)


def vectors(n: int, m: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    return as_unit(draw.normal(size=(n, width))), as_unit(draw.normal(size=(m, width)))


@pytest.mark.parametrize("screen", [True, False])
@pytest.mark.parametrize(
    ("n", "m", "width", "depth"),
    [(1, 1, 3, 1), (3, 2, 4, 5), (1030, 4500, 8, 7), (5, 4097, 3, 4097), (300, 20_001, 3, 9), (20, 200_000, 8, 9)],
)
def test_the_screen_misses_nothing(n: int, m: int, width: int, depth: int, screen: bool) -> None:
    """Also with ties, where width 3 crowds thousands of candidates closer than a byte can tell, and with zeros."""
    queries, candidates = vectors(n, m, width)
    queries[n // 2] *= 0 if n > 1 else 1
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


@pytest.mark.parametrize("screen", [True, False])
def test_the_screen_keeps_or_rounds_anew_and_gives_up_where_all_are_near(
    screen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several runs of candidates, the last a short one; half the queries see more near groups than are looked at."""
    queries, candidates = vectors(40, 3_001, 24)
    candidates[::2] = as_unit(np.ones((1, 24)))[0]
    queries[::2] = candidates[0]
    monkeypatch.setattr(searching, "RUN", 1024)
    monkeypatch.setattr(searching, "KEPT", 0 if screen else searching.KEPT)
    monkeypatch.setattr(searching, "DOUBTFUL", 48)
    found = VectorSearch(queries, candidates, screen).top(slice(3, 38), 11)
    best = -np.sort(-(queries[3:38] @ candidates.T).numpy(), axis=1)[:, :11]
    np.testing.assert_allclose(found.scores, best, atol=1e-6)
    np.testing.assert_allclose(
        np.take_along_axis((queries[3:38] @ candidates.T).numpy(), found.places, 1), best, atol=1e-6
    )


def test_one_near_candidate_and_else_opposite_ones() -> None:
    """What fills the last groups up must not count as near: only one group has anything above zero."""
    queries, candidates = vectors(1, 40, 32)
    candidates[:] = as_unit(np.random.default_rng(1).normal(size=(40, 32)) * 0.1 - 5 * queries.numpy())
    candidates[39] = queries[0]
    found = VectorSearch(queries, candidates, True).top(EVERY, 2)
    assert found.places[0].tolist() == np.argsort(-(queries @ candidates.T).numpy())[0, :2].tolist()


@pytest.mark.parametrize("outlier", [False, True])
def test_the_error_bound_covers_what_rounding_does(outlier: bool) -> None:
    if not worth(64):
        pytest.skip("this machine's products of int8 are no faster, or overflow")
    queries, candidates = vectors(ROWS, 1024, 64)
    if outlier:
        queries[0], candidates[5] = torch.eye(64)[3], torch.eye(64)[3]
    asked, packed = Asked.of(queries), Packed.of(0, candidates)
    rough = packed.scores(asked) * asked.steps[:, None]
    wrong = asked.wrong[:, None] + asked.lengths[:, None] * packed.wrong + rotation(64)[1]
    exact = queries @ candidates.T
    assert (exact <= rough + HALF * asked.steps[:, None] + wrong).all()
    assert (exact.clamp(min=0) >= rough - HALF * asked.steps[:, None] - wrong).all()
    assert wrong.mean() < 0.03  # else the bound would hold and help nobody


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
