"""Words: which are known, and whether a is to b as c is to d."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.vectors import Vectors, unit

QUESTIONS = 64
"""Answered at a time, so that memory stays at so many rows of the vocabulary."""

SMALLEST = 1e-3
"""Added to the divisor of 3CosMul, as by Levy & Goldberg."""


@dataclass(frozen=True)
class Lexicon:
    """The words that an encoder knows: what an analogy may be answered with.

    Attributes:
        words: in any order, as `fold` leaves them.
        fold: how a word of a table is written there, such as in lower case.
    """

    words: Sequence[str]
    fold: Callable[[str], str] = str


def known(vectors: Vectors) -> NDArray[np.bool_]:
    """``(n,)``: whether a word has a vector at all; an unknown one is all zeros."""
    return np.asarray(np.asarray(vectors).any(axis=1))


def analogy_hits(vectors: Vectors, questions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Whether d is the answer to each a : b = c : ?, by 3CosAdd and by 3CosMul.

    3CosAdd takes the word whose cosine with b - a + c is the highest (Mikolov et al. 2013, "Linguistic Regularities");
    3CosMul the one of the highest cos(b) cos(c) / cos(a), cosines moved to 0 ... 1 (Levy & Goldberg 2014, "Linguistic
    Regularities in Sparse and Explicit Word Representations", eq. 4). a, b and c themselves are no answers.

    Args:
        vectors: ``(V, d)`` of the words that may be answers.
        questions: ``(n, 4)`` numbers of words.

    Returns:
        ``(2, n)``, 1 or 0.
    """
    rows = unit(vectors).astype(np.float32)
    hits = np.zeros((2, len(questions)))
    for start in range(0, len(questions), QUESTIONS):
        asked = questions[start : start + QUESTIONS]
        hits[:, start : start + QUESTIONS] = answers(rows, asked[:, :3]) == asked[:, 3]
    return hits


def answers(rows: NDArray[np.float32], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(2, n)``: the answers to ``(n, 3)`` questions a, b, c, by 3CosAdd and by 3CosMul; rows have length 1."""
    words, places = np.unique(asked, return_inverse=True)
    cosines = rows[words] @ rows.T
    of_a, of_b, of_c = (cosines[column] for column in places.reshape(asked.shape).T)
    added = of_b - of_a + of_c
    multiplied = (1 + of_b) * (1 + of_c) / (1 + of_a + 2 * SMALLEST)
    itself = np.arange(len(asked))[:, None]
    added[itself, asked] = multiplied[itself, asked] = -np.inf
    return np.stack([added.argmax(1), multiplied.argmax(1)])
