"""Exact nearest neighbours by cosine, in bounded memory.

A product of matrices in bfloat16 takes less than half the time of one in float32 where the processor has
instructions for it, and is wrong by a few thousandths. So it screens: of each query it keeps the candidates whose
rough score is highest, a few more than were asked for, and works out the scores of those alone in full. No candidate
that was left out can be nearer than the worst one kept plus the error of the screen, which is known; a query whose
answer does not clear that bar is screened again in float32. So the answer is that of comparing with everything.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding

from nearfar.data.negatives.hits import Hits, Ids, Scores, in_order

ROWS, BLOCK, GROUP = 512, 4096, 4
"""Queries and candidates of one product (4 MiB of scores, which stay in the cache), and candidates of a group: the
best of four is found by two vectorised maxima."""

SPREAD = BLOCK // GROUP
"""Distance between the members of a group."""

RUN = 16 * BLOCK
"""Candidates whose scores are held before the best are kept: 64 MiB."""

TOGETHER = 32
"""Queries whose kept candidates are compared in full at a time."""

PAIRS = 1024
"""Pairs whose cosines are worked out at a time, for the same reason."""

ROUNDING, SUMMED = 1.01 * 2.0**-9, 1e-5
"""Error of a score in bfloat16, as a share of it: half a unit in the last place; and that of summing in float32."""


@dataclass(frozen=True)
class VectorSearch:
    """Exact search by cosine.

    Attributes:
        queries: ``(n, d)`` float32, rows of length 1 (`unit_`) or 0.
        candidates: ``(m, d)``, the same.
        screen: dtype of the screening product; None takes the faster one of this machine. The answer is the same.
    """

    queries: Tensor
    candidates: Tensor
    screen: torch.dtype | None = None

    def top(self, rows: slice, depth: int) -> Hits:
        """The `depth` nearest candidates of a run of queries; equally near ones by their place."""
        found = [self._top(chunk, depth) for chunk in self.queries[rows].split(ROWS)]
        places, scores = (torch.cat(parts).numpy() for parts in zip(*found, strict=True))
        return in_order(places, scores)

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """Cosines ``(p,)`` of pairs."""
        return pair_cosines(self.queries, self.candidates, torch.from_numpy(queries), torch.from_numpy(places)).numpy()

    def _top(self, queries: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        screen = self.screen or faster_screen(queries.shape[1])
        places, scores, sure = self._screened(queries, depth, screen)
        if screen != torch.float32 and not sure.all():
            doubtful = (~sure).nonzero()[:, 0]
            places[doubtful], scores[doubtful], _ = self._screened(queries[doubtful], depth, torch.float32)
        return places, scores

    def _screened(self, queries: Tensor, depth: int, screen: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Places and scores ``(r, depth)``, and for each query whether no other candidate can belong there.

        What falls short of the `depth`-th best rough score by twice the error of the screen needs no second look.
        """
        rounded = queries.to(screen)
        near, rough = self._nearest(rounded, depth + max(depth, 32))
        bar, last = rough[:, depth - 1], rough[:, -1]
        largest = rough[:, 0].abs().maximum(last.abs().clamp(max=1))
        wrong = (queries - rounded.float()).norm(dim=1) + self._error + SUMMED + ROUNDING * largest
        needed = (rough >= (bar - 2 * wrong)[:, None]).sum(1)
        places, scores = torch.empty((len(queries), depth), dtype=torch.int64), torch.empty((len(queries), depth))
        for start in range(0, len(queries), TOGETHER):
            part = slice(start, start + TOGETHER)
            places[part], scores[part] = self._compared(queries[part], near[part, : int(needed[part].max())], depth)
        return places, scores, (needed < rough.shape[1]) | (scores[:, -1] >= last + wrong)

    @cached_property
    def _error(self) -> float:
        """Most that rounding a candidate to bfloat16 can change its score with a vector of length 1."""
        errors = ((block - block.bfloat16().float()).norm(dim=1).max().item() for block in self.candidates.split(RUN))
        return max(errors, default=0.0) * 1.01  # a rounded query may be a little longer than 1

    def _nearest(self, rounded: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Places and rough scores ``(r, count)`` of the best candidates, best first; -1 and -inf where there are fewer.

        The best candidates are members of the best groups, of which there are a quarter to sort.
        """
        rows, blocks = len(rounded), min(RUN // BLOCK, -(-len(self.candidates) // BLOCK))
        block = torch.empty((BLOCK, rounded.shape[1]), dtype=rounded.dtype)
        products = torch.empty((blocks, rows, BLOCK), dtype=rounded.dtype)
        half = torch.empty((rows, 2 * SPREAD), dtype=rounded.dtype)
        groups = torch.empty((rows, blocks * SPREAD), dtype=rounded.dtype)
        best = torch.full((rows, count), -torch.inf, dtype=rounded.dtype)
        places = torch.full((rows, count), -1)
        for start in range(0, len(self.candidates), RUN):
            parts = self.candidates[start : start + RUN].split(BLOCK)
            for number, part in enumerate(parts):
                product = torch.mm(rounded, block.copy_(_padded(part)).T, out=products[number])
                product[:, len(part) :] = -torch.inf
                torch.maximum(product[:, : 2 * SPREAD], product[:, 2 * SPREAD :], out=half)
                column = number * SPREAD
                torch.maximum(half[:, :SPREAD], half[:, SPREAD:], out=groups[:, column : column + SPREAD])
            wide = len(parts) * SPREAD
            group = groups[:, :wide].topk(min(count, wide), sorted=False).indices
            member = (torch.arange(GROUP) * SPREAD + (group % SPREAD)[:, :, None]).flatten(1)
            of_part = (group // SPREAD).repeat_interleave(GROUP, dim=1)
            scores = products.flatten()[(of_part * rows + torch.arange(rows)[:, None]) * BLOCK + member]
            best, chosen = torch.cat([best, scores], 1).topk(count)
            places = torch.cat([places, start + of_part * BLOCK + member], 1).gather(1, chosen)
        return places.masked_fill_(best == -torch.inf, -1), best.float()

    def _compared(self, queries: Tensor, places: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """The `depth` best of these candidates ``(r, c)``, c being no less, by their scores in full."""
        rows = torch.arange(len(queries)).repeat_interleave(places.shape[1])
        scores = pair_cosines(queries, self.candidates, rows, places.flatten().clamp(min=0)).view_as(places)
        best, at = scores.masked_fill_(places < 0, -torch.inf).topk(depth)
        return places.gather(1, at), best


def _padded(part: Tensor) -> Tensor:
    """A block of candidates with as many rows as all others."""
    return part if len(part) == BLOCK else torch.cat([part, part.new_zeros((BLOCK - len(part), part.shape[1]))])


def pair_cosines(first: Tensor, second: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Cosines ``(p,)`` of rows `left` of `first` with rows `right` of `second`, in float64 rounded to float32.

    A product of matrices rounds the same two rows differently in another tile; so equal vectors score equally.
    """
    parts = [
        embedding(a, first).double().mul_(embedding(b, second)).sum(1).float()
        for a, b in zip(left.split(PAIRS), right.split(PAIRS), strict=True)
    ]
    return torch.cat(parts)


def unit_(vectors: Tensor) -> Tensor:
    """The rows of `vectors`, divided in place by their length; rows of zeros stay."""
    for block in vectors.split(RUN):
        block /= block.norm(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
    return vectors


@cache
def faster_screen(width: int) -> torch.dtype:
    """The dtype whose products are faster on this machine, found by trying both for a moment."""
    seconds = {dtype: _product_seconds(dtype, width) for dtype in (torch.bfloat16, torch.float32)}
    return min(seconds, key=seconds.__getitem__)


def _product_seconds(dtype: torch.dtype, width: int) -> float:
    left, right = torch.ones((ROWS, width), dtype=dtype), torch.ones((BLOCK, width), dtype=dtype)
    left[:16] @ right.T  # the first product sets things up
    start = time.perf_counter()
    left @ right.T
    return time.perf_counter() - start


def as_unit(vectors: np.ndarray) -> Tensor:
    """A float32 copy of ``(n, d)`` with rows of length 1."""
    return unit_(torch.from_numpy(np.array(vectors, dtype=np.float32, order="C")))
