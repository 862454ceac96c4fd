"""Orders: what each promises of its batches."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.batches import Order, by_cluster, by_length, no_duplicates, per_class, shuffled, small_classes

SEEDS = st.integers(0, 1000)
BATCH_SIZES = st.integers(2, 16)


def batches(order: Order, rows: int, batch_size: int, seed: int = 0) -> list[list[int]]:
    return [batch.tolist() for batch in order(np.arange(rows), np.random.default_rng(seed), batch_size)]


def rows_of(found: list[list[int]]) -> list[int]:
    return sorted(row for batch in found for row in batch)


@given(st.integers(2, 60), BATCH_SIZES, SEEDS)
def test_shuffled_shares_evenly(rows: int, batch_size: int, seed: int) -> None:
    found = batches(shuffled, rows, batch_size, seed)
    sizes = [len(batch) for batch in found]
    assert rows_of(found) == list(range(rows))
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)


IDS = st.integers(1, 3).flatmap(
    lambda roles: st.lists(st.tuples(*[st.integers(0, 12)] * roles), min_size=1, max_size=60)
)


@given(IDS, BATCH_SIZES, SEEDS)
def test_no_two_rows_of_a_batch_share_a_text(texts: list[tuple[int, ...]], batch_size: int, seed: int) -> None:
    """Whatever the roles in which they hold it; a row may hold a text twice itself."""
    found = batches(no_duplicates(list(zip(*texts, strict=True))), len(texts), batch_size, seed)
    assert rows_of(found) == list(range(len(texts)))
    for batch in found:
        assert len(batch) <= max(batch_size, 3)
        for one, other in combinations(batch, 2):
            assert not set(texts[one]) & set(texts[other])


def test_few_duplicates_cost_no_batches() -> None:
    generator = np.random.default_rng(0)
    ids = [generator.integers(0, 3000, 10_000), 5000 + generator.integers(0, 8000, 10_000)]
    sizes = [len(batch) for batch in batches(no_duplicates(ids), 10_000, 100)]
    assert sum(sizes) == 10_000
    assert len(sizes) <= 102
    assert np.mean(sizes) > 98


def test_one_role_makes_as_few_batches_as_can_be() -> None:
    """A text in 40 rows needs 40 batches; so many suffice, and all are alike in size."""
    ids = np.concatenate([np.zeros(40, int), np.arange(1, 361)])
    found = batches(no_duplicates([ids]), 400, 50)
    assert [len(batch) for batch in found] == [10] * 40


def test_rows_of_one_text_are_alone() -> None:
    assert batches(no_duplicates([np.zeros(5, int)]), 5, 4) != []
    assert [len(batch) for batch in batches(no_duplicates([np.zeros(5, int)]), 5, 4)] == [1] * 5


def test_only_the_rows_that_are_given_count() -> None:
    order = no_duplicates([np.arange(100) // 2])
    rows = np.arange(40, 60)
    found = order(rows, np.random.default_rng(0), 5)
    assert np.sort(np.concatenate(found)).tolist() == rows.tolist()
    assert all(len(set((batch // 2).tolist())) == len(batch) for batch in found)


LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=80)


@given(LABELS, st.integers(2, 4), st.integers(2, 5), SEEDS)
def test_a_class_has_m_rows_in_a_batch(labels: list[int], m: int, classes: int, seed: int) -> None:
    found = batches(per_class(labels, m=m), len(labels), m * classes, seed)
    sizes = Counter(labels)
    seen = Counter(row for batch in found for row in batch)
    assert seen.keys() == set(range(len(labels)))
    assert max(seen.values()) <= 2
    for batch in found:
        assert len(batch) <= m * classes
        for label, count in Counter(labels[row] for row in batch).items():
            assert count == sizes[label] if sizes[label] < m else count % m == 0
    repeated = Counter(labels[row] for row, times in seen.items() if times == 2)
    assert all(repeated[label] == (-size % m if size > m else 0) for label, size in sizes.items())


def test_no_class_twice_in_a_batch_where_there_are_enough() -> None:
    labels = np.repeat(np.arange(20), 12)
    for batch in batches(per_class(labels, m=4), 240, 40):
        assert set(Counter(labels[batch].tolist()).values()) == {4}
        assert len(batch) == 40


def test_a_frequent_class_does_not_fill_batches_alone() -> None:
    labels = np.array([0] * 900 + [1] * 100)
    for batch in batches(per_class(labels, m=4), 1000, 100):
        assert set(labels[batch].tolist()) == {0, 1}


def test_small_classes_are_named() -> None:
    assert small_classes(["a", "b", "b", "c", "c", "c", "d"], m=3).tolist() == ["a", "b", "d"]


@given(st.integers(2, 200), BATCH_SIZES, SEEDS)
def test_lengths_are_only_an_order_of_all_rows(rows: int, batch_size: int, seed: int) -> None:
    lengths = np.random.default_rng(rows).integers(1, 30, rows)
    assert rows_of(batches(by_length(lengths, pool=3), rows, batch_size, seed)) == list(range(rows))


def test_like_lengths_need_less_padding() -> None:
    lengths = np.random.default_rng(0).geometric(0.05, 5000)

    def padded(order: Order) -> int:
        return sum(len(batch) * lengths[batch].max() for batch in batches(order, 5000, 32))

    assert padded(by_length(lengths)) < 1.15 * lengths.sum()
    assert padded(shuffled) > 2 * lengths.sum()
    assert padded(by_length(lengths, pool=1)) > 2 * lengths.sum()


def test_rows_of_like_length_meet_others_each_epoch() -> None:
    lengths = np.arange(1000)
    order = by_length(lengths, pool=5)
    first, second = ({frozenset(batch) for batch in batches(order, 1000, 10, seed)} for seed in (0, 1))
    assert not first & second


@given(st.integers(1, 60), BATCH_SIZES, SEEDS)
def test_clusters_hold_every_row_once(rows: int, batch_size: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(rows, 3))
    found = batches(by_cluster(vectors), rows, batch_size, seed)
    assert rows_of(found) == list(range(rows))
    assert found == batches(by_cluster(vectors), rows, batch_size, seed)


def test_a_batch_is_of_one_neighbourhood() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(10, 8))
    member = generator.permutation(np.repeat(np.arange(10), 40))
    vectors = centres[member] * generator.uniform(0.5, 5, (400, 1)) + 0.02 * generator.normal(size=(400, 8))
    kinds = [len(set(member[batch].tolist())) for batch in batches(by_cluster(vectors), 400, 40)]
    assert np.mean(kinds) < 2.5
    assert np.mean([len(set(member[batch].tolist())) for batch in batches(shuffled, 400, 40)]) > 9


@pytest.mark.parametrize("vectors", [np.ones((50, 4)), np.zeros((50, 4)), np.eye(50)[:, :1]])
def test_equal_vectors_are_no_fault(vectors: np.ndarray) -> None:
    assert rows_of(batches(by_cluster(vectors), 50, 8)) == list(range(50))
