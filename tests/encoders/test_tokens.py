"""Ragged rows of token ids: whatever goes in comes out, in whatever order it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.encoders.tokens import Tokens

ROW = st.lists(st.integers(0, 2**31 - 1), max_size=5)
ROWS = st.lists(ROW, max_size=8)


def flat(rows: list[list[int]]) -> Tokens:
    """Tokens made by hand, without the methods that are tested."""
    ids = np.array([token for row in rows for token in row], np.int32)
    return Tokens(ids, np.cumsum([0, *map(len, rows)], dtype=np.int64))


def assert_well_formed(tokens: Tokens, rows: list[list[int]]) -> None:
    assert tokens.ids.dtype == np.int32
    assert tokens.offsets.dtype == np.int64
    assert tokens.offsets[0] == 0
    assert tokens.offsets[-1] == len(tokens.ids)
    assert len(tokens) == len(rows)
    assert tokens.lengths.tolist() == [len(row) for row in rows]
    assert tokens.rows() == rows


@given(ROWS)
def test_rows(rows: list[list[int]]) -> None:
    assert_well_formed(flat(rows), rows)


@given(st.lists(ROWS, max_size=4))
def test_store(batches: list[list[list[int]]]) -> None:
    assert_well_formed(Tokens.store(batches), [row for batch in batches for row in batch])


@pytest.mark.parametrize("batches", [[], [[]], [[], []], [[[]]], [[[], []], [[]]], [[], [[7]], []], [[[7]], [[]]]])
def test_store_of_empty_rows_and_batches(batches: list[list[list[int]]]) -> None:
    assert_well_formed(Tokens.store(iter(batches)), [row for batch in batches for row in batch])


@given(st.data())
def test_take(data: st.DataObject) -> None:
    rows = data.draw(st.lists(ROW, min_size=1, max_size=8))
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))  # repeats and nothing at all included
    numbers = np.array(chosen, np.int64)
    for tokens in (flat(rows), Tokens.store([rows])):
        assert_well_formed(tokens.take(numbers), [rows[i] for i in chosen])
        assert tokens.lengths_of(numbers).tolist() == [len(rows[i]) for i in chosen]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_concatenate(parts: list[list[list[int]]]) -> None:
    assert_well_formed(Tokens.concatenate([flat(part) for part in parts]), [row for part in parts for row in part])


@given(ROWS)
def test_apart_and_together_again(rows: list[list[int]]) -> None:
    tokens = Tokens.store([rows])
    parts = [tokens.take(np.array([i], np.int64)) for i in range(len(rows))]
    assert_well_formed(Tokens.concatenate([flat([]), *parts]), rows)


@given(ROWS, st.randoms(use_true_random=False))
def test_keep(rows: list[list[int]], draw) -> None:
    """Tokens are dropped in place; a row that would lose all of them keeps its first; an empty one stays empty."""
    flags = [[draw.random() < 0.4 for _ in row] for row in rows]
    wanted = [
        [token for token, kept in zip(row, flag, strict=True) if kept] or row[:1]
        for row, flag in zip(rows, flags, strict=True)
    ]
    kept = np.array([one for flag in flags for one in flag], bool)
    before = kept.copy()
    assert_well_formed(flat(rows).keep(kept), wanted)
    assert (kept == before).all()


def test_what_is_stored_can_be_changed_without_touching_the_file() -> None:
    tokens = Tokens.store([[[1, 2], [3]]])
    other = tokens.take(np.array([0], np.int64))
    other.ids[0] = 9
    assert tokens.rows() == [[1, 2], [3]]
