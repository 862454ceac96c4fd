"""Approximate nearest neighbours by cosine: a graph of usearch, for more candidates than can be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.data.negatives.hits import Hits, Ids, Scores, in_order
from nearfar.data.negatives.search import pair_cosines
from nearfar.errors import InputError

NEIGHBOURS, WHILE_BUILDING, WHILE_SEARCHING = 16, 80, 256
"""Edges of a candidate, and how many candidates are kept in view; more find more and take longer."""


@dataclass(frozen=True)
class IndexSearch:
    """Search in a graph of neighbours (Malkov & Yashunin 2018, HNSW), whose scores are worked out again in full.

    It finds most of the nearest and not always all; see `of`.

    Attributes:
        queries: ``(n, d)`` float32, rows of length 1 or 0.
        candidates: ``(m, d)``, the same.
        index: of usearch.
    """

    queries: Tensor
    candidates: Tensor
    index: Any

    @classmethod
    def of(cls, queries: Tensor, candidates: Tensor, *, threads: int = 0) -> IndexSearch:
        """Build the index: half the size of the candidates, and 150 bytes for each.

        Args:
            queries: see the class.
            candidates: the same.
            threads: 0 takes all cores, whose order decides details of the graph; with 1 it is the same every time.

        Raises:
            InputError: usearch is not installed.
        """
        try:
            from usearch.index import Index
        except ImportError:
            raise InputError("index: found no usearch, wanted it: pip install 'nearfar[index]'") from None
        index = Index(
            ndim=candidates.shape[1],
            metric="ip",
            dtype="bf16",
            connectivity=NEIGHBOURS,
            expansion_add=WHILE_BUILDING,
            expansion_search=WHILE_SEARCHING,
        )
        index.add(np.arange(len(candidates), dtype=np.uint64), candidates.numpy(), threads=threads)
        return cls(queries, candidates, index)

    def top(self, rows: slice, depth: int) -> Hits:
        """About the `depth` nearest candidates of a run of queries."""
        asked = self.queries[rows]
        found = self.index.search(asked.numpy(), depth)
        keys, counts = np.atleast_2d(found.keys), np.atleast_1d(found.counts)
        there = np.arange(keys.shape[1]) < counts[:, None]
        places = np.full((len(asked), depth), -1, np.int64)
        places[:, : keys.shape[1]] = np.where(there, keys.astype(np.int64), -1)
        scores = np.full(places.shape, -np.inf, np.float32)
        row, column = np.nonzero(places >= 0)
        scores[row, column] = self.pair_scores(row + (rows.start or 0), places[row, column])
        return in_order(places, scores)

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """Cosines ``(p,)`` of pairs."""
        return pair_cosines(self.queries, self.candidates, torch.from_numpy(queries), torch.from_numpy(places)).numpy()
