"""Scores: the numbers that an equation is written in, larger always meaning nearer, and their way back.

A `Scores` fills a strip for some rows and carries the strip's slopes back to the embeddings. Objectives see
neither the embeddings nor how a score comes about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from nearfar.contrasts import Index
from nearfar.execution.own import Given, MakeOwn, Own


class Scores(Protocol):
    """Scores of each row: with its own candidates first, then with the shared ones."""

    def fill(self, rows: slice, out: Tensor, ignored: Index, start: int = 0) -> None:
        """Write the scores of `rows` from column `start` on into `out`, and -inf at the ignored entries of it."""

    def pull(self, rows: slice, slopes: Tensor, factor: Tensor | None, start: int = 0, skip: int = 0) -> None:
        """Add the gradient of ``factor[i] * slopes[i, j]`` at the scores of the last `fill`; each row is pulled once.

        The first `skip` columns pull at the rows alone, not at their candidates. `slopes` may be overwritten.
        """

    @property
    def own(self) -> Own:
        """The table of own candidates' scores."""

    def room(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where what is pulled at anchors, shared candidates and own scores is summed up: for a sum over ranks."""

    def gradients(self, factor: Tensor | float = 1.0) -> tuple[Tensor, ...]:
        """The gradients of the tensors times a number, once all is pulled."""


MakeScores = Callable[[Sequence[Tensor]], Scores]
"""Makes scores of tensors without a graph: anchors ``(N, d)``, shared candidates ``(M, d)``, and what the table of own
ones is made of."""


class Dots:
    """Scores ``<x_i, c_j>``."""

    def __init__(self, tensors: Sequence[Tensor], *, own: MakeOwn = Given) -> None:
        self.anchors, self.shared, *of_own = tensors
        self.own = own(of_own)
        self.here = self.anchors
        self._gradients: tuple[Tensor, Tensor, Tensor] | None = None

    @cached_property
    def table(self) -> Tensor:
        """The scores ``(N, k)`` of own candidates."""
        return self.own.table()

    @property
    def width(self) -> int:
        """k of the table."""
        return self.table.shape[1]

    def rows(self, rows: slice) -> Tensor:
        """The anchors ``(r, d)`` of some rows."""
        return self.anchors[rows]

    def fill(self, rows: slice, out: Tensor, ignored: Index, start: int = 0) -> None:
        if self.width:
            out[:, : self.width] = self.table[rows]
        if len(self.shared):
            self.here = self.rows(rows)
            torch.mm(self.here, self.shared[start:].T, out=out[:, self.width :])
        hide_(out, ignored)

    def pull(self, rows: slice, slopes: Tensor, factor: Tensor | None, start: int = 0, skip: int = 0) -> None:
        if self._gradients is None and len(slopes) == len(self.anchors) and not start and not skip:
            self._gradients = self._at_once(slopes, factor)
            return
        for_anchors, for_shared, for_own = self.room()
        if self.width:
            for_own[rows] = _scaled(slopes[:, : self.width], factor)
        if len(self.shared):
            slopes, pulled = slopes[:, self.width :], for_anchors[rows]
            # The factor goes to the narrow operands, not to the wide strip.
            torch.mm(slopes, self.shared[start:], out=pulled)
            for_shared[start + skip :].addmm_(slopes[:, skip:].T, _scaled(self.here, factor))
            if factor is not None:
                pulled.mul_(factor[:, None])

    def _at_once(self, slopes: Tensor, factor: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of a strip of all rows: products that need no room to be summed up in."""
        for_own = self.table
        if self.width:
            for_own, slopes = _scaled(slopes[:, : self.width], factor).clone(), slopes[:, self.width :]
        for_anchors = slopes @ self.shared
        if factor is not None:
            for_anchors.mul_(factor[:, None])
        return for_anchors, slopes.T @ _scaled(self.here, factor), for_own

    def room(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where gradients are summed up, made when it is first asked for."""
        if self._gradients is None:
            anchors, shared, own = (torch.zeros_like(part) for part in (self.anchors, self.shared, self.table))
            self._gradients = anchors, shared, own
        return self._gradients

    def gradients(self, factor: Tensor | float = 1.0) -> tuple[Tensor, ...]:
        for_anchors, for_shared, for_own = (_times_(part, factor) for part in self.room())
        return for_anchors, for_shared, *self.own.pull(for_own)


class Cosines(Dots):
    """Scores ``scale * cos(x_i, c_j)``; a zero vector has cosine 0 to everything, and gradient 0.

    Candidates are brought to length 1 once and anchors strip by strip, so that one copy of the embeddings is all there
    is beside them; gradients turn into those of the embeddings where they are.
    """

    ROWS = 1024
    """Rows that are worked on at a time."""

    def __init__(self, tensors: Sequence[Tensor], *, scale: float, own: MakeOwn = Given) -> None:
        self.scale = scale
        anchors, shared, *of_own = tensors
        self.mirrored = _one(anchors, shared)
        of_shared = inverse_lengths(shared)
        self.inverse = of_shared if self.mirrored else inverse_lengths(anchors), of_shared
        super().__init__((anchors, shared * of_shared, *of_own), own=own)

    def rows(self, rows: slice) -> Tensor:
        if self.mirrored:
            return self.shared[rows] * self.scale
        return self.anchors[rows] * (self.inverse[0][rows] * self.scale)

    def gradients(self, factor: Tensor | float = 1.0) -> tuple[Tensor, ...]:
        # From the gradient g at a row brought to length 1, u, to that at the row: (g - u <u, g>) / |row|.
        for_anchors, for_shared, for_own = self.room()
        for slope, row, inverse in self._some(for_anchors, self.anchors, self.inverse[0]):
            _without_length_(slope, row * inverse).mul_(inverse * (self.scale * factor))
        for slope, unit, inverse in self._some(for_shared, self.shared, self.inverse[1]):
            _without_length_(slope, unit).mul_(inverse * factor)
        return for_anchors, for_shared, *self.own.pull(_times_(for_own, factor))

    def _some(self, *parts: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Some rows of each at a time."""
        return zip(*(part.split(self.ROWS) for part in parts), strict=True)


def inverse_lengths(rows: Tensor) -> Tensor:
    """1 / |row|, ``(.., 1)``; 0 for a zero row."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    limits = torch.finfo(length.dtype)
    beyond = ((length < (limits.tiny / limits.eps) ** 0.5) | (length == torch.inf)).squeeze(-1)
    inverse = length.reciprocal_()
    if beyond.any():  # of what the dtype holds as a square: such rows are measured by their largest entry
        largest = rows[beyond].abs().amax(-1, keepdim=True)
        parts = rows[beyond] / largest.clamp(min=limits.tiny)
        inverse[beyond] = torch.linalg.vector_norm(parts, dim=-1, keepdim=True).reciprocal_().div_(largest)
    return inverse.nan_to_num_(posinf=0.0)


def _without_length_(slope: Tensor, unit: Tensor) -> Tensor:
    """The slopes at rows of length 1 less what would only make them longer, in place."""
    return slope.addcmul_(unit, torch.linalg.vecdot(unit, slope)[:, None], value=-1)


class Distances:
    """Scores ``-D^2``, or ``-D`` with `root`; D is the Euclidean distance, and D = 0 has gradient 0.

    ``-D^2`` is the dot product of ``[x, 1, |x|^2]`` with ``[2c, -|c|^2, -1]``, so that it costs what a dot product
    costs. That cancels where x and c are close: such entries are worked out again from ``x - c``.
    """

    CLOSE = 1e-3
    """A squared distance below this share of its row's squared norm, then its column's too, is worked out again."""
    ENTRIES = 2**14
    """Close entries that are worked out at a time."""

    def __init__(self, tensors: Sequence[Tensor], *, root: bool = False, own: MakeOwn = Given) -> None:
        anchors, shared, *of_own = tensors
        self.root = root
        self.close: Index = _no_entries(anchors)
        self.inverse = anchors.new_empty(0)
        # Distances do not see a common shift, and rounding is least in the middle.
        centre = _middle(anchors)
        same = _one(anchors, shared)
        self.anchors = anchors - centre
        self.shared = self.anchors if same else shared - centre
        lengths = _squared_lengths(self.anchors)
        lengths_shared = lengths if same else _squared_lengths(self.shared)
        self.bounds = lengths * -self.CLOSE
        left = with_columns(self.anchors, torch.ones_like(lengths), lengths)
        right = with_columns(2 * self.shared, -lengths_shared, -torch.ones_like(lengths_shared))
        self.dots = Dots((left, right, *of_own), own=own)
        self.own, self.room = self.dots.own, self.dots.room

    def fill(self, rows: slice, out: Tensor, ignored: Index, start: int = 0) -> None:
        self.dots.fill(rows, out, ignored, start)
        wide = out[:, self.dots.width :]
        self.close = _no_entries(out)
        bounds = self.bounds[rows]
        if (wide.amax(1, keepdim=True) >= bounds).any():
            row, column = (wide >= bounds).nonzero(as_tuple=True)
            self.close = row, column
            for part, apart in self._apart(rows, start):
                wide[row[part], column[part]] = -apart.square().sum(1)
        if self.root:
            torch.sqrt(wide.neg_(), out=wide)
            if self.inverse.shape != wide.shape:
                self.inverse = torch.empty_like(wide)
            torch.reciprocal(wide, out=self.inverse)
            if len(self.close[0]):
                self.inverse[self.close] = self.inverse[self.close].nan_to_num_(posinf=0.0)
            wide.neg_()

    def pull(self, rows: slice, slopes: Tensor, factor: Tensor | None, start: int = 0, skip: int = 0) -> None:
        wide = slopes[:, self.dots.width :]
        if self.root:
            wide.mul_(self.inverse)  # of -D^2, but for a factor of 1/2 that waits in `gradients`
        row, column = self.close
        if len(row):
            slope = wide[self.close] if factor is None else wide[self.close] * factor[row]
            wide[self.close] = 0
        self.dots.pull(rows, slopes, factor, start, skip)
        for_anchors, for_shared = (part[:, : self.anchors.shape[1]] for part in self.room()[:2])
        for part, apart in self._apart(rows, start):
            pulled = apart * slope[part, None]
            for_anchors.index_add_(0, row[part] + rows.start, pulled, alpha=-2)
            both = column[part] >= skip
            for_shared.index_add_(0, column[part][both] + start, pulled[both])  # at 2c

    def gradients(self, factor: Tensor | float = 1.0) -> tuple[Tensor, ...]:
        anchors, shared, own = self.room()
        width = self.anchors.shape[1]
        anchors = torch.addcmul(anchors[:, :width], self.anchors, anchors[:, width + 1 : width + 2], value=2)
        shared = torch.addcmul(shared[:, :width], self.shared, shared[:, width : width + 1], value=-1)
        for_anchors, for_shared = (0.5, 1.0) if self.root else (1.0, 2.0)
        anchors, shared = _times_(anchors, for_anchors * factor), _times_(shared, for_shared * factor)
        return anchors, shared, *self.own.pull(_times_(own, factor))

    def _apart(self, rows: slice, start: int) -> Iterator[tuple[slice, Tensor]]:
        """``x - c`` of the close entries, some at a time."""
        row, column = self.close
        for first in range(0, len(row), self.ENTRIES):
            part = slice(first, first + self.ENTRIES)
            yield part, self.anchors[row[part] + rows.start] - self.shared[column[part] + start]


def _one(first: Tensor, second: Tensor) -> bool:
    """Whether both sides are the same numbers in the same order of the same memory: ``x`` and ``x.T`` are not."""
    where = first.data_ptr() == second.data_ptr()
    return where and first.shape == second.shape and first.stride() == second.stride()


def _middle(rows: Tensor) -> Tensor:
    """``(d,)``: the mean of the rows, those longer than most drawn in, so that a few huge ones do not move it."""
    lengths = torch.linalg.vector_norm(rows, dim=1)
    shares = (lengths.median() / lengths.clamp_(min=torch.finfo(rows.dtype).tiny)).clamp_(max=1)
    middle: Tensor = (shares @ rows).div_(len(rows))
    return middle


def _squared_lengths(rows: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vecdot(rows, rows)[:, None]
    return lengths


def with_columns(rows: Tensor, *columns: Tensor) -> Tensor:
    """``(.., d)`` with columns ``(.., 1)`` set behind, and zeros up to a multiple of 4, which matrix products like."""
    width = rows.shape[-1] + len(columns)
    return torch.cat([rows, *columns, rows.new_zeros(*rows.shape[:-1], -width % 4)], dim=-1)


def blocks(scores: Tensor, entries: int = 2**18) -> Sequence[Tensor]:
    """Runs of rows of about so many entries: what is worked on at a time, so that it stays in the cache."""
    count = min(len(scores), round(scores.numel() / entries))
    parts: Sequence[Tensor] = (scores,) if count < 2 else scores.split(-(-len(scores) // count))
    return parts


def hide_(scores: Tensor, entries: Index) -> Tensor:
    """-inf at the entries, in place."""
    if len(entries[0]):
        scores[entries] = -torch.inf
    return scores


def _times_(values: Tensor, factor: Tensor | float) -> Tensor:
    return values if isinstance(factor, float) and factor == 1.0 else values.mul_(factor)


def _scaled(rows: Tensor, factor: Tensor | None) -> Tensor:
    return rows if factor is None else rows * factor[:, None]


def _no_entries(like: Tensor) -> Index:
    empty = torch.empty(0, dtype=torch.long, device=like.device)
    return empty, empty
