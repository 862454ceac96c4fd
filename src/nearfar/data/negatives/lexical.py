"""Nearest neighbours by words: BM25, which learns nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nearfar.data.negatives.hits import Hits, Ids, Scores, in_order

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORD = r"[^\W_]+"
KOREAN = re.compile(r"[가-힣]{3,}")
ROWS = 256
"""Queries scored at a time: the candidates that share a word with them are what is held."""

Stemmer = Callable[[list[str]], list[str]]


def snowball(words: list[str]) -> list[str]:
    """English Snowball stems, the usual companion of BM25."""
    import Stemmer

    stems: list[str] = Stemmer.Stemmer("english").stemWords(words)
    return stems


@dataclass(frozen=True)
class LexicalSearch:
    """Search by BM25; see `of`.

    Attributes:
        asked: ``(n, words)`` how often each query holds each word of the candidates.
        weights: ``(words, m)`` what each word gives to each candidate.
    """

    asked: csr_array
    weights: csr_array

    @classmethod
    def of(cls, queries: Sequence[str], candidates: Sequence[str], *, stemmer: Stemmer = snowball) -> LexicalSearch:
        """Index candidates and queries.

        The scores are those of `bm25s` as it comes (Lucene's variant, k1 = 1.5, b = 0.75), over lower-case words
        without English stop words. Korean words of three syllables or more are taken as their pairs of neighbouring
        syllables, so that a noun is found whatever particle follows it.

        Args:
            queries: n texts.
            candidates: m texts.
            stemmer: from words to what counts as one word.
        """
        import bm25s
        from scipy.sparse import csr_array

        indexed = _tokens(candidates, stemmer)
        if not any(indexed):  # bm25s cannot index texts without a word
            return cls(csr_array((len(queries), 0)), csr_array((0, len(candidates))))
        index = bm25s.BM25()
        index.index(indexed, show_progress=False)
        held = index.scores
        weights = csr_array(
            (held["data"], held["indices"], held["indptr"]), shape=(len(held["indptr"]) - 1, len(candidates))
        )
        ids = [index.get_tokens_ids(words) for words in _tokens(queries, stemmer)]
        starts = np.cumsum([0, *map(len, ids)])
        flat = np.fromiter((number for row in ids for number in row), np.int64, starts[-1])
        asked = csr_array((np.ones(len(flat), np.float32), flat, starts), shape=(len(queries), weights.shape[0]))
        return cls(asked, weights)

    def top(self, rows: slice, depth: int) -> Hits:
        """The `depth` best candidates of a run of queries, of those that share a word with it."""
        asked = self.asked[rows]
        found = Hits(
            np.full((asked.shape[0], depth), -1, np.int64), np.full((asked.shape[0], depth), -np.inf, np.float32)
        )
        for row, (places, scores) in enumerate(self._matches(asked)):
            if len(places) > depth:
                kept = _best(places, scores, depth)
                places, scores = places[kept], scores[kept]
            found.places[row, : len(places)] = places
            found.scores[row, : len(places)] = scores
        return in_order(found.places, found.scores)

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """BM25 ``(p,)`` of pairs; 0 where they share no word."""
        shared = self.asked[queries].multiply(self._by_candidate[places])
        return np.asarray(shared.sum(axis=1), np.float32).ravel()

    @cached_property
    def _by_candidate(self) -> csr_array:
        """``(m, words)``, which mining asks for again and again."""
        return self.weights.T.tocsr()

    def _matches(self, asked: csr_array) -> Iterator[tuple[Ids, Scores]]:
        """For each query the candidates that share a word with it, and their scores."""
        for start in range(0, asked.shape[0], ROWS):
            product = (asked[start : start + ROWS] @ self.weights).tocsr()
            for first, last in zip(product.indptr[:-1], product.indptr[1:], strict=True):
                yield product.indices[first:last].astype(np.int64), product.data[first:last].astype(np.float32)


def _best(places: Ids, scores: Scores, depth: int) -> Ids:
    """Which are the `depth` best; of equal ones, those that come first."""
    bar = np.partition(scores, -depth)[-depth]
    above, level = np.flatnonzero(scores > bar), np.flatnonzero(scores == bar)
    level = level[np.argsort(places[level])][: depth - len(above)]
    return np.concatenate([above, level])


def _tokens(texts: Sequence[str], stemmer: Stemmer) -> list[list[str]]:
    import bm25s

    tokens: list[list[str]] = bm25s.tokenize(
        [KOREAN.sub(_pairs, text) for text in texts],
        token_pattern=WORD,
        stopwords="english",
        stemmer=stemmer,
        return_ids=False,
        show_progress=False,
    )
    return tokens


def _pairs(word: re.Match[str]) -> str:
    return " ".join(map("".join, pairwise(word[0])))
