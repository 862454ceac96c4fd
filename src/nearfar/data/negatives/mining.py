"""Mining: search, choose, count, in constant memory beyond vectors and texts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from nearfar.data.negatives.choosing import REASONS, Chooser, taken
from nearfar.data.negatives.hits import Searcher
from nearfar.data.negatives.mined import Mined
from nearfar.data.negatives.rules import Rules
from nearfar.data.negatives.task import Task
from nearfar.errors import InputError

ANCHORS, JUDGED = 4096, 64
"""Anchors at a time; fewer where a judge reads texts, so that the progress can be watched."""

Progress = Callable[[int, int], None]
"""Called with the anchors done and all anchors."""


def mine(
    task: Task, search: Searcher, rules: Rules, *, source: str = "memory", progress: Progress | None = None
) -> Mined:
    """Negatives for every anchor.

    Args:
        task: anchors, candidates, positives.
        search: of the task's anchors among its candidates.
        rules: what may be a negative.
        source: what the user calls the table, for messages.
        progress: see `Progress`.

    Raises:
        InputError: no anchor is left with a negative.
    """
    start, generator = time.perf_counter(), np.random.default_rng(rules.seed)
    chooser, total = Chooser(task, search, rules), len(task.anchors)
    step = ANCHORS if rules.judge is None else JUDGED
    most = min(rules.count, chooser.depth)  # what is asked for may be more than there is memory for
    places = np.full((total, most), -1, np.int64)
    scores = np.full((total, most), np.nan, np.float32)
    positive = np.empty(len(task.pairs), np.float32)
    fates: Counter[int] = Counter()
    for first in range(0, total, step):
        last = min(first + step, total)
        found, positive[task.starts[first] : task.starts[last]] = chooser.choose(first, last, generator)
        places[first:last], scores[first:last] = taken(found, most)
        numbers, counts = np.unique(found.fates, return_counts=True)
        fates.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        if progress is not None:
            progress(last, total)
    reasons = {name: fates[number] for number, name in enumerate(REASONS) if fates[number]}
    most = int(np.count_nonzero(places >= 0, axis=1).max(initial=0))
    if not most:
        left_out = ", ".join(f"{name} {count:,}" for name, count in reasons.items()) or "there is no other candidate"
        raise InputError(f"{source}: found no negative for any of {total:,} anchors ({left_out}), wanted some")
    seconds = time.perf_counter() - start
    return Mined(
        task, places[:, :most], scores[:, :most], positive[task.row_pairs], reasons, rules.count, seconds, source,
        ranked=rules.include_positives,
    )  # fmt: skip
