"""Exact nearest neighbours by cosine, in bounded memory.

A product of matrices in bfloat16 takes less than half the time of one in float32 where the processor has
instructions for it, and is wrong by a few thousandths. So it screens: of each query it keeps the groups of candidates
whose best score is highest, a few more than were asked for, and works out the scores of those alone in full. No
candidate that was left out can be nearer than the worst group kept plus the error of the screen, which is known; a
query whose answer does not clear that bar is screened again in float32. So the answer is that of comparing with
everything.
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

ROWS, BLOCK, GROUP = 1024, 4096, 4
"""Queries and candidates of one product (8 MiB of scores, which stay in the cache), and candidates of a group: the
best of four is found by two vectorised maxima."""

SPREAD = BLOCK // GROUP
"""Distance between the members of a group."""

RUN = 32 * BLOCK
"""Candidates whose groups are compared before the best are kept: 64 MiB of group scores."""

TOGETHER = 8
"""Queries whose kept candidates are gathered at a time: few, so that they stay in the cache."""

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

        The best of the `depth`-th group is a candidate that every member of the answer comes up to, so that groups
        which fall short of it by twice the error of the screen need no second look.
        """
        rounded = queries.to(screen)
        firsts, best = self._groups(rounded, depth + max(depth, 32))
        bar, last = best[:, depth - 1], best[:, -1]
        largest = best[:, 0].abs().maximum(last.abs().clamp(max=1))
        wrong = (queries - rounded.float()).norm(dim=1) + self._error + SUMMED + ROUNDING * largest
        needed = (best >= (bar - 2 * wrong)[:, None]).sum(1)
        places = torch.full((len(queries), depth), -1)
        scores = torch.full((len(queries), depth), -torch.inf)
        for start in range(0, len(queries), TOGETHER):
            part = slice(start, start + TOGETHER)
            found, at = self._among(queries[part], firsts[part, : int(needed[part].max())], depth)
            places[part, : at.shape[1]], scores[part, : at.shape[1]] = at, found
        return places, scores, (needed < best.shape[1]) | (scores[:, -1] >= last + wrong)

    @cached_property
    def _error(self) -> float:
        """Most that rounding a candidate to bfloat16 can change its score with a vector of length 1."""
        errors = ((block - block.bfloat16().float()).norm(dim=1).max().item() for block in self.candidates.split(RUN))
        return max(errors, default=0.0) * 1.01  # a rounded query may be a little longer than 1

    def _groups(self, rounded: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """First members ``(r, count)`` of the best groups and their best scores, best first."""
        rows, block = len(rounded), torch.empty((BLOCK, rounded.shape[1]), dtype=rounded.dtype)
        product = torch.empty((rows, BLOCK), dtype=rounded.dtype)
        half, other = product[:, : 2 * SPREAD], product[:, 2 * SPREAD :]
        wide = count + min(RUN, -(-len(self.candidates) // BLOCK) * BLOCK) // GROUP
        scores = torch.full((rows, wide), -torch.inf, dtype=rounded.dtype)  # the best so far come first
        firsts = torch.zeros((rows, count), dtype=torch.int64)
        for start in range(0, len(self.candidates), RUN):
            end = count
            for part in self.candidates[start : start + RUN].split(BLOCK):
                torch.mm(rounded, block.copy_(_padded(part)).T, out=product)
                product[:, len(part) :] = -torch.inf
                torch.maximum(half, other, out=half)
                torch.maximum(half[:, :SPREAD], half[:, SPREAD:], out=scores[:, end : end + SPREAD])
                end += SPREAD
            best, chosen = scores[:, :end].topk(count)
            fresh = chosen - count
            fresh_firsts = start + fresh // SPREAD * BLOCK + fresh % SPREAD
            firsts = torch.where(fresh < 0, firsts.gather(1, chosen.clamp(max=count - 1)), fresh_firsts)
            scores[:, :count] = best
        best = scores[:, :count].float()
        return firsts.masked_fill_(best == -torch.inf, len(self.candidates)), best

    def _among(self, queries: Tensor, firsts: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """Scores and places, ``(r, depth)`` or fewer, of the best members of these groups."""
        places = (firsts[:, None] + torch.arange(0, BLOCK, SPREAD)[:, None]).flatten(1)
        outside = places >= len(self.candidates)
        gathered = embedding(places.masked_fill_(outside, 0), self.candidates)
        every = gathered.flatten(0, 1) @ queries.T  # each with all of these few queries, which costs less than bmm
        scores = every.view(*places.shape, -1).diagonal(dim1=0, dim2=2).T.masked_fill(outside, -torch.inf)
        best, at = scores.topk(min(depth, scores.shape[1]))
        places = places.gather(1, at).masked_fill_(best == -torch.inf, -1)
        rows = torch.arange(len(queries))[:, None].expand_as(places)
        exact = pair_cosines(queries, self.candidates, rows.flatten(), places.flatten().clamp(min=0)).view_as(best)
        return exact.masked_fill_(places < 0, -torch.inf), places


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
