"""Character n-grams: what a word's vector is made of beside a row of its own (fastText, Bojanowski et al. 2017)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer

SHORTEST, LONGEST = 3, 6
"""Characters of an n-gram, as in fastText; of Hangul these are jamo, about one to three syllables."""


@dataclass(frozen=True)
class Grams:
    """The n-grams of a vocabulary.

    Attributes:
        names: of each of them.
    """

    names: Sequence[str]

    @classmethod
    def of(cls, words: Sequence[str]) -> Grams:
        """All that occur in these words."""
        return cls(_vectorizer().fit(map(spelt, words)).get_feature_names_out().tolist())

    def rows(self, words: Sequence[str]) -> csr_matrix:
        """``(n, G)``: 1 where a word has an n-gram."""
        return self._finder.transform(map(spelt, words))

    @cached_property
    def _finder(self) -> CountVectorizer:
        return _vectorizer({name: number for number, name in enumerate(self.names)})


def own_rows(words: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where the rows of each word start, and the rows: of words that have a row of their own alone."""
    return np.arange(words + 1), np.arange(words, dtype=np.int32)


def own_rows_and_grams(grams: csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The same of words with n-grams ``(V, G)``, whose rows stand behind those of the words."""
    words = grams.shape[0]
    starts = grams.indptr.astype(np.int64) + np.arange(words + 1)
    rows = np.insert(grams.indices.astype(np.int32) + words, grams.indptr[:-1], np.arange(words, dtype=np.int32))
    return starts, rows


def spelt(word: str) -> str:
    """A word as it is cut into n-grams: between marks of its ends, Hangul as jamo."""
    return f"<{unicodedata.normalize('NFD', word)}>"


def _vectorizer(vocabulary: dict[str, int] | None = None) -> CountVectorizer:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        analyzer="char",
        ngram_range=(SHORTEST, LONGEST),
        lowercase=False,
        binary=True,
        vocabulary=vocabulary,
        dtype=np.float32,
    )
