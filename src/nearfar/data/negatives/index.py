"""Approximate nearest neighbours by cosine: cells of faiss, for more candidates than can be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.data.negatives.hits import Hits, Ids, Scores, in_order
from nearfar.data.negatives.search import pair_cosines
from nearfar.errors import InputError

PROBES = 64
"""Cells searched for a query, of four times the square root of the candidates; more find more and take longer."""

LEARNT_FROM, ROUNDS = 64, 10
"""Candidates a cell that k-means looks at, and its rounds."""


@dataclass(frozen=True)
class IndexSearch:
    """Search in the cells nearest to a query (Jégou et al. 2011, IVF), whose scores are worked out again in full.

    It finds most of the nearest and not always all; see `of`.

    Attributes:
        queries: ``(n, d)`` float32, rows of length 1 or 0.
        candidates: ``(m, d)``, the same.
        index: of faiss.
    """

    queries: Tensor
    candidates: Tensor
    index: Any

    @classmethod
    def of(cls, queries: Tensor, candidates: Tensor) -> IndexSearch:
        """Build the index: half the size of the candidates, the same every time.

        Args:
            queries: see the class.
            candidates: the same.

        Raises:
            InputError: faiss is not installed.
        """
        try:
            import faiss
        except ImportError:
            raise InputError("index: found no faiss, wanted it: pip install 'nearfar[index]'") from None
        width, cells = candidates.shape[1], max(1, min(int(4 * len(candidates) ** 0.5), len(candidates) // 16))
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(width), width, cells, faiss.ScalarQuantizer.QT_bf16, faiss.METRIC_INNER_PRODUCT, False
        )
        index.cp.spherical, index.cp.niter, index.nprobe = True, ROUNDS, PROBES
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, LEARNT_FROM
        index.train(candidates.numpy())
        index.add(candidates.numpy())
        return cls(queries, candidates, index)

    def top(self, rows: slice, depth: int) -> Hits:
        """About the `depth` nearest candidates of a run of queries."""
        asked = self.queries[rows]
        places = self.index.search(asked.numpy(), depth)[1].astype(np.int64)  # -1 where the cells hold fewer
        scores = np.full(places.shape, -np.inf, np.float32)
        row, column = np.nonzero(places >= 0)
        scores[row, column] = self.pair_scores(row + (rows.start or 0), places[row, column])
        return in_order(places, scores)

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """Cosines ``(p,)`` of pairs."""
        return pair_cosines(self.queries, self.candidates, torch.from_numpy(queries), torch.from_numpy(places)).numpy()
