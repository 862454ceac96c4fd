"""A column of texts to pairs, on one process or several, in constant memory."""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain

from nearfar.data.tables import Table
from nearfar.data.views.compose import Views

ROWS = 2_000
"""Rows at a time; a worker gets so many, and a model may sort them by length."""


@dataclass(frozen=True)
class Pairs:
    """What came of a run of rows.

    Attributes:
        anchors: `epochs` for each row, one after the other.
        positives: of these.
        unchanged: view -> texts that it gave back unchanged.
    """

    anchors: list[str]
    positives: list[str]
    unchanged: Counter[str]


def augment(
    table: Table, role: str, views: Views, *, epochs: int = 1, seed: int = 0, workers: int = 1
) -> Iterator[Pairs]:
    """Pairs of all rows in order: the same whatever the number of workers.

    Args:
        table: any table.
        role: the texts in it that positives are made of.
        views: what makes them; with several workers, all options must be texts.
        epochs: positives of a row, each with the random numbers of its epoch.
        seed: of all chance.
        workers: processes; 1 stays in this one.

    Raises:
        InputError: something that a view needs is not there.
    """
    views.prepare()
    runs = ((start, batch[role]) for start, batch in zip(range(0, len(table), ROWS), table.batches(ROWS), strict=True))
    make = partial(make_pairs, epochs=epochs, seed=seed)
    if workers == 1:
        return (make(start, texts, views) for start, texts in runs)
    return _by_workers(runs, partial(_make_in_worker, make), views.settings(), workers)


def make_pairs(start: int, texts: Sequence[str], views: Views, *, epochs: int, seed: int) -> Pairs:
    """The pairs of rows `start`, `start` + 1 ..."""
    before, rows = views.unchanged.copy(), range(start, start + len(texts))
    made = [views.pairs(texts, rows, seed=seed, epoch=epoch) for epoch in range(epochs)]
    anchors, positives = ([*chain.from_iterable(zip(*side, strict=True))] for side in zip(*made, strict=True))
    return Pairs(anchors, positives, views.unchanged - before)


def _by_workers(
    runs: Iterator[tuple[int, list[str]]], make: partial[Pairs], settings: list[str], workers: int
) -> Iterator[Pairs]:
    # spawned, not forked: threads of Arrow or torch may be running here
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _open_in_worker, (settings,)) as pool:
        waiting: deque[Future[Pairs]] = deque()
        try:
            for start, texts in runs:
                waiting.append(pool.submit(make, start, texts))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


_VIEWS: list[Views] = []
"""Of a worker: opened once, with what they keep of texts."""


def _open_in_worker(settings: list[str]) -> None:
    _VIEWS[:] = [Views.parse(settings)]


def _make_in_worker(make: partial[Pairs], start: int, texts: list[str]) -> Pairs:
    return make(start, texts, _VIEWS[0])
