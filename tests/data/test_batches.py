"""Batch plans: every row once, resume anywhere, sources mixed by weight, shards without overlap or loss."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.batches import (
    BatchPlan,
    Order,
    Position,
    SourceRows,
    by_cluster,
    by_length,
    no_duplicates,
    per_class,
    shard,
    shuffled,
    temperature_weights,
)
from nearfar.errors import InputError

Batch = tuple[Position, int, tuple[int, ...]]
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=4)
BATCH_SIZES = st.integers(2, 16)
SEEDS = st.integers(0, 2**32 - 1)
WEIGHTS = st.none() | st.lists(st.floats(0.05, 20), min_size=4, max_size=4)


def orders(length: int) -> dict[str, Order]:
    """One of each order, over made-up values."""
    numbers = np.arange(length)
    return {
        "shuffled": shuffled,
        "no_duplicates": no_duplicates([numbers % 7, 100 + numbers % 11]),
        "per_class": per_class(numbers % 3, m=2),
        "by_length": by_length(numbers * 31 % 17),
        "by_cluster": by_cluster(np.random.default_rng(0).normal(size=(length, 3))),
    }


def plan_of(lengths: list[int], batch_size: int, seed: int, weights: list[float] | None) -> BatchPlan:
    sources = [SourceRows(length) for length in lengths]
    return BatchPlan(sources, batch_size, seed=seed, weights=weights and weights[: len(lengths)])


def first(plan: BatchPlan, count: int, start: Position | None = None) -> list[Batch]:
    batches = plan.batches(start) if start else plan.batches()
    return [(position, source, tuple(rows.tolist())) for position, source, rows in islice(batches, count)]


@given(LENGTHS, BATCH_SIZES, SEEDS)
def test_every_row_once_an_epoch(lengths: list[int], batch_size: int, seed: int) -> None:
    plan = plan_of(lengths, batch_size, seed, None)
    for epoch in range(3):
        seen = Counter((source, row) for source, rows in plan.epoch(epoch) for row in rows.tolist())
        assert seen == Counter((source, row) for source, length in enumerate(lengths) for row in range(length))


@given(LENGTHS, BATCH_SIZES, SEEDS, WEIGHTS, st.integers(0, 60))
def test_a_resumed_run_goes_on_as_an_uninterrupted_one(
    lengths: list[int], batch_size: int, seed: int, weights: list[float] | None, stop: int
) -> None:
    plan = plan_of(lengths, batch_size, seed, weights)
    whole = first(plan, stop + 20)
    again = plan_of(lengths, batch_size, seed, weights)
    assert first(again, 20, whole[stop][0]) == whole[stop:]
    assert first(again, 19, whole[stop][0].after) == whole[stop + 1 :]


@pytest.mark.parametrize("name", orders(9))
def test_every_order_can_be_resumed_and_is_repeatable(name: str) -> None:
    def plan() -> BatchPlan:
        return BatchPlan([SourceRows(60, orders(60)[name]), SourceRows(25)], 8, seed=5, weights=[1, 2])

    np.random.seed(1)
    whole = first(plan(), 40)
    np.random.seed(2)
    for stop in (0, 7, 23):
        assert first(plan(), 40 - stop, whole[stop][0]) == whole[stop:]


def test_positions_count_epochs_and_batches() -> None:
    plan = BatchPlan([SourceRows(10)], 4)
    positions = [position for position, _, _ in first(plan, 7)]
    assert positions == [Position(epoch, index) for epoch in (0, 1) for index in range(3)] + [Position(2, 0)]
    assert plan.steps_in_epoch() == 3
    assert Position(1, 2).after > Position(1, 2) > Position(0, 9)


def test_seeds_epochs_and_sources_differ() -> None:
    plan = BatchPlan([SourceRows(50), SourceRows(50)], 8)
    batches = {epoch: {source: [] for source in (0, 1)} for epoch in (0, 1)}
    for epoch in (0, 1):
        for source, rows in plan.epoch(epoch):
            batches[epoch][source].append(tuple(rows.tolist()))
    other = [tuple(rows.tolist()) for source, rows in BatchPlan([SourceRows(50)] * 2, 8, seed=1).epoch(0) if not source]
    every = [sorted(part) for epoch in (0, 1) for part in batches[epoch].values()] + [sorted(other)]
    assert all(one != two for place, one in enumerate(every) for two in every[:place])


def test_sources_alternate() -> None:
    sources = [source for source, _ in BatchPlan([SourceRows(80), SourceRows(80)], 4).epoch(0)]
    assert sources != sorted(sources)
    assert sources != sorted(sources, reverse=True)


@given(LENGTHS, BATCH_SIZES, SEEDS, st.lists(st.floats(0.05, 20), min_size=4, max_size=4))
def test_weighted_sources_are_walked_on_through(
    lengths: list[int], batch_size: int, seed: int, weights: list[float]
) -> None:
    """At no time has a row of a source come twice more than another, and nothing is skipped between epochs."""
    plan = plan_of(lengths, batch_size, seed, weights)
    seen = [Counter(dict.fromkeys(range(length), 0)) for length in lengths]
    epochs = 6
    for epoch in range(epochs):
        for source, rows in plan.epoch(epoch):
            seen[source].update(rows.tolist())
        assert all(max(counts.values()) - min(counts.values()) <= 1 for counts in seen)
    shares = np.array(weights[: len(lengths)]) / sum(weights[: len(lengths)])
    for length, share, counts in zip(lengths, shares, seen, strict=True):
        wanted = epochs * sum(lengths) * share
        assert abs(sum(counts.values()) - wanted) <= min(batch_size, length) / 2 + 1


def test_weights_set_the_shares_of_an_epoch() -> None:
    lengths = [9000, 1000]
    plan = BatchPlan([SourceRows(length) for length in lengths], 50, weights=[1, 1])
    rows = Counter(source for source, rows in plan.epoch(3) for _ in rows)
    assert rows == {0: 5000, 1: 5000}
    halves = [{row for source, rows in plan.epoch(e) if not source for row in rows.tolist()} for e in (0, 1)]
    assert len(halves[0]) == 5000
    assert len(halves[0] | halves[1]) == 9000


@given(st.integers(3, 40), st.integers(2, 16), st.floats(0.1, 10))
def test_a_pass_that_ends_within_an_epoch_leaves_no_lone_row(length: int, batch_size: int, weight: float) -> None:
    plan = BatchPlan([SourceRows(length), SourceRows(30)], batch_size, weights=[weight, 1])
    assert min(len(rows) for epoch in range(5) for source, rows in plan.epoch(epoch)) >= 2


def test_temperature_is_between_proportional_and_alike() -> None:
    lengths = [800, 100, 100]
    assert temperature_weights(lengths, temperature=1) == pytest.approx([0.8, 0.1, 0.1])
    assert temperature_weights(lengths, temperature=1e9) == pytest.approx([1 / 3] * 3)
    raised = np.array(lengths) ** 0.5
    assert temperature_weights(lengths, temperature=2) == pytest.approx(raised / raised.sum())
    assert temperature_weights([1, 10**9], temperature=1e-3) == pytest.approx([0, 1])


@given(st.integers(0, 50), st.integers(1, 12))
def test_shards_are_the_batch(rows: int, ranks: int) -> None:
    batch = np.random.default_rng(rows).permutation(rows)
    parts = [shard(batch, rank, ranks) for rank in range(ranks)]
    assert np.concatenate(parts).tolist() == batch.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: BatchPlan([], 4), "sources: found none"),
        (lambda: BatchPlan([SourceRows(3), SourceRows(0)], 4), "rows of source 1: found 0, wanted at least 1"),
        (lambda: BatchPlan([SourceRows(3)], 1), "batch_size: found 1, wanted at least 2"),
        (lambda: BatchPlan([SourceRows(3)], 4, weights=[1, 2]), "weights: found 2, wanted 1"),
        (lambda: BatchPlan([SourceRows(3)], 4, weights=[0.0]), r"weights: found \[0.0\].* above 0"),
        (lambda: BatchPlan([SourceRows(3)], 4, weights=[np.nan]), "weights: found .*nan"),
        (lambda: next(BatchPlan([SourceRows(9)], 4).batches(Position(2, 8))), "start: found batch 8 of epoch 2.* 3"),
        (lambda: temperature_weights([3, 2], temperature=0), "temperature: found 0"),
        (lambda: temperature_weights([3, 0], temperature=1), r"lengths: found \[3, 0\]"),
        (lambda: shard(np.arange(3), 2, 2), "rank: found 2, wanted 0 to 1"),
        (lambda: no_duplicates([]), "ids: found"),
        (lambda: no_duplicates([[1, 2], [1]]), r"ids: found lengths \[2, 1\]"),
        (lambda: no_duplicates([[[1, 2]]]), r"ids: found shape \(1, 2\)"),
        (lambda: per_class([1, 1], m=1), "m: found 1, wanted at least 2"),
        (lambda: per_class([1, 1, 2, 2], m=2)(np.arange(4), np.random.default_rng(), 3), "batch_size: found 3.* 4"),
        (lambda: by_length([[1]]), "lengths: found shape"),
        (lambda: by_length([1, 2], pool=0), "pool: found 0"),
        (lambda: by_cluster([1.0, 2.0]), "vectors: found shape"),
        (lambda: by_cluster([[np.inf]]), "vectors: found"),
        (lambda: by_cluster([[1.0]], clusters=0), "clusters: found 0"),
        (lambda: BatchPlan([SourceRows(3)], 2.5), "batch_size: found 2.5, wanted a whole number"),
        (lambda: BatchPlan([SourceRows(True)], 4), "rows of source 0: found True, wanted a whole number"),
        (lambda: BatchPlan([SourceRows(5, by_length([1, 2]))], 4).epoch(0), "lengths: found 2 rows, wanted .* 5 or"),
        (lambda: BatchPlan([SourceRows(5, by_cluster([[1.0]]))], 4).epoch(0), "vectors: found 1 rows"),
        (lambda: BatchPlan([SourceRows(5, no_duplicates([[1, 2]]))], 4).epoch(0), "ids: found 2 rows"),
        (lambda: BatchPlan([SourceRows(5, per_class([1, 2], m=2))], 4).epoch(0), "labels: found 2 rows"),
    ],
)  # fmt: skip
def test_mistakes_are_named(mistake, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mistake()
