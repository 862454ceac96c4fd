"""Example queries, with what stood first for each before training, after it, and for BM25."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rankings = NDArray[np.int64]


@dataclass(frozen=True)
class Example:
    """One query.

    Attributes:
        query: what was asked.
        wanted: the right answer.
        found: system -> what it put first.
    """

    query: str
    wanted: str
    found: Mapping[str, str]


def vector_rankings(queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int = 10) -> Rankings:
    """The `k` nearest rows of `candidates` for each row of `queries`, by dot product, nearest first."""
    scores = queries @ candidates.T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def draw_examples(
    queries: Sequence[str], names: Sequence[str], rankings: Mapping[str, Rankings], *, count: int = 10, seed: int = 0
) -> list[Example]:
    """Random queries, whoever answers them well: query i's right answer is name i."""
    rows = np.random.default_rng(seed).permutation(len(queries))[:count]
    return [
        Example(queries[row], names[row], {system: names[found[row, 0]] for system, found in rankings.items()})
        for row in rows
    ]
