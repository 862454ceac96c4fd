"""Exact nearest neighbours by cosine, in bounded memory.

Where there is much to compare, a product in int8 screens (`screen.py`). The best few groups of candidates give a bar:
so many candidates are at least as near. Whatever may clear it, given how wrong a rough score can be, is compared in
full, and nothing else can belong to the answer. So the answer is that of comparing with everything.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from nearfar.data.negatives.hits import Hits, Ids, Scores, in_order
from nearfar.data.negatives.screen import GROUP, HALF, ROWS, RUN, Asked, Packed, rotation, worth

SCREENED = 8192
"""Candidates from which a screen pays."""

KEPT = 64 * 2**20
"""Bytes of rounded candidates that are kept; more are rounded anew for every run of queries."""

DOUBTFUL = 1024
"""Groups of a query that may clear the bar; one with more, such as a vector of zeros, is compared with everything."""

PLAIN, SLACK = 16_384, 8
"""Candidates of a product in float32, and how many more than asked for are kept: its shape decides its last digits."""

MEMBERS = torch.arange(GROUP, dtype=torch.uint8)[:, None]


@dataclass(frozen=True)
class VectorSearch:
    """Exact search by cosine.

    Attributes:
        queries: ``(n, d)`` float32, rows of length 1 (`unit_`) or 0.
        candidates: ``(m, d)``, the same.
        screen: whether rough scores come first; None decides by size and machine. The answer is the same.
    """

    queries: Tensor
    candidates: Tensor
    screen: bool | None = None

    def top(self, rows: slice, depth: int) -> Hits:
        """The `depth` nearest candidates of a run of queries; equally near ones by their place."""
        queries = self.queries[rows]
        found = self._screened(queries, depth) if self._screens(depth) else self._plain(queries, depth)
        return in_order(*(part.numpy() for part in found))

    def pair_scores(self, queries: Ids, places: Ids) -> Scores:
        """Cosines ``(p,)`` of pairs."""
        return pair_cosines(self.queries, self.candidates, torch.from_numpy(queries), torch.from_numpy(places)).numpy()

    def _screens(self, depth: int) -> bool:
        if depth * GROUP > min(len(self.candidates), RUN):  # too few groups to find a bar
            return False
        wanted = len(self.candidates) >= SCREENED if self.screen is None else self.screen
        return wanted and worth(self.candidates.shape[1])

    def _plain(self, queries: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """Places and scores ``(r, depth)``, by products in float32; -1 and -inf where there are fewer candidates."""
        found = [self._compared_with_all(part, depth) for part in queries.split(2 * ROWS)]
        places, scores = (torch.cat(parts) for parts in zip(*found, strict=True))
        return places, scores

    def _compared_with_all(self, queries: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        best, places = torch.empty((len(queries), 0)), torch.empty((len(queries), 0), dtype=torch.int64)
        for start in range(0, len(self.candidates), PLAIN):
            scores = queries @ self.candidates[start : start + PLAIN].T
            new, at = scores.topk(min(depth + SLACK, scores.shape[1]))
            best, places = _best(torch.cat([best, new], 1), torch.cat([places, start + at], 1), depth + SLACK)
        rows = torch.arange(len(queries)).repeat_interleave(places.shape[1])
        exact = pair_cosines(queries, self.candidates, rows, places.flatten()).view_as(places)
        return _best(exact, places, depth)[::-1]

    def _screened(self, queries: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """The same by rough scores first."""
        places = torch.full((len(queries), depth), -1)
        scores = torch.full((len(queries), depth), -torch.inf)
        sure = torch.ones(len(queries), dtype=torch.bool)
        parts = [slice(start, start + ROWS) for start in range(0, len(queries), ROWS)]
        asked = [Asked.of(queries[part]) for part in parts]
        for run in self._runs():
            for part, rounded in zip(parts, asked, strict=True):
                near = _Near(queries[part], self.candidates, rounded, run)
                sure[part] &= near.improve_(places[part], scores[part])
        doubtful = (~sure).nonzero()[:, 0]
        if len(doubtful):
            places[doubtful], scores[doubtful] = self._plain(queries[doubtful], depth)
        return places, scores

    def _runs(self) -> Iterator[Packed]:
        """All candidates, rounded."""
        return iter(self._kept if self.candidates.numel() <= KEPT else self._packed())

    @cached_property
    def _kept(self) -> list[Packed]:
        return list(self._packed())

    def _packed(self) -> Iterator[Packed]:
        for start in range(0, len(self.candidates), RUN):
            yield Packed.of(start, self.candidates[start : start + RUN])


@dataclass(frozen=True)
class _Near:
    """A few queries and a run of candidates, and who may be near whom."""

    queries: Tensor
    candidates: Tensor
    asked: Asked
    run: Packed

    def improve_(self, places: Tensor, scores: Tensor) -> Tensor:
        """Put what is nearer into the best so far, both ``(r, depth)``; ``(r,)`` whether that is sure to be all."""
        rough = self.run.scores(self.asked)[: len(self.queries)].view(len(self.queries), GROUP, -1)
        groups = rough.amax(1)
        led = self._lead_(rough, groups, places, scores) if places[0, 0] < 0 else torch.tensor(True)
        row, place, sure = self._survivors(rough, groups, scores.amin(1))
        exact = pair_cosines(self.queries, self.candidates, row, place)
        column = torch.arange(len(row)) - torch.searchsorted(row, torch.arange(len(sure)))[row]
        wide = int(column.max()) + 1 if len(column) else 0
        new, at = torch.full((len(sure), wide), -torch.inf), torch.full((len(sure), wide), -1)
        new[row, column], at[row, column] = exact, place
        scores[:], places[:] = _best(torch.cat([scores, new], 1), torch.cat([places, at], 1), scores.shape[1])
        return sure & led

    def _lead_(self, rough: Tensor, groups: Tensor, places: Tensor, scores: Tensor) -> Tensor:
        """Begin with the best ones of the best groups, and strike them off; ``(r,)`` whether these are candidates."""
        best, group = groups.topk(places.shape[1], sorted=False)
        members = rough.gather(2, group[:, None].expand(-1, GROUP, -1))
        member = ((members == best[:, None]) * MEMBERS).amax(1)  # a quarter of the time of argmax
        at = member.long() * groups.shape[1] + group
        rough.flatten(1).scatter_(1, at, 0)
        groups.scatter_(1, group, members.mul_(member[:, None] != MEMBERS).amax(1))
        places[:] = (self.run.start + at).clamp_(max=len(self.candidates) - 1)
        rows = torch.arange(len(places)).repeat_interleave(places.shape[1])
        scores[:] = pair_cosines(self.queries, self.candidates, rows, places.flatten()).view_as(places)
        return best.amin(1) > 0

    def _survivors(self, rough: Tensor, groups: Tensor, bar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows ``(s,)``, rising, and places of what may reach the bar; ``(r,)`` whether these are all of a row."""
        steps, own = self.asked.steps, self.asked.wrong + rotation(self.queries.shape[1])[1]
        least = ((bar - own - self.asked.lengths * self.run.wrong.max()) / steps - HALF).ceil_().clamp_(0, 255)
        least = least.to(torch.uint8)
        row, group = (groups >= least[:, None]).nonzero().unbind(1)
        sure = (torch.bincount(row, minlength=len(bar)) <= DOUBTFUL) & (least > 0)  # what was struck off has 0
        if not bool(sure.all()):
            row, group = row[sure[row]], group[sure[row]]
        scores = rough.transpose(1, 2)[row, group]
        at, member = (scores >= least[row, None]).nonzero().unbind(1)
        row, place = row[at], member * groups.shape[1] + group[at]
        most = (scores[at, member] + HALF) * steps[row] + own[row] + self.asked.lengths[row] * self.run.wrong[place]
        place = place + self.run.start
        there = (most >= bar[row]) & (place < len(self.candidates))
        return row[there], place[there], sure


def _best(scores: Tensor, places: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` best of each row, or all, in any order."""
    best, at = scores.topk(min(count, scores.shape[1]), sorted=False)
    return best, places.gather(1, at)


def pair_cosines(first: Tensor, second: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Cosines ``(p,)`` of rows `left`, rising, of `first` with rows `right` of `second`.

    A product of matrices rounds the same two rows differently in another tile; here equal vectors score equally.
    """
    starts = torch.searchsorted(left.contiguous(), torch.arange(len(first) + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that its sparse tensors may change
        pairs = torch.sparse_csr_tensor(
            starts, right, torch.zeros(len(right)), (len(first), len(second)), check_invariants=False
        )
    cosines: Tensor = torch.sparse.sampled_addmm(pairs, first, second.T, beta=0.0).values()
    return cosines


def unit_(vectors: Tensor) -> Tensor:
    """The rows of `vectors`, divided in place by their length; rows of zeros stay."""
    for block in vectors.split(PLAIN):
        block /= block.norm(dim=1, keepdim=True).clamp_(min=torch.finfo(torch.float32).tiny)
    return vectors


def as_unit(vectors: np.ndarray) -> Tensor:
    """A float32 copy of ``(n, d)`` with rows of length 1."""
    return unit_(torch.from_numpy(np.array(vectors, dtype=np.float32, order="C")))
