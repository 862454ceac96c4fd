"""Log-sums: what equations need that look beyond one row, in two passes over the strips.

``log sum exp`` of the far scores of each row, and of each column where asked, beside the scores of the near entries.
The equation is then ordinary autograd over these few numbers, and their gradients are carried back by a second pass
that works the strips out again. Where the score matrix is symmetric, only its upper half is worked out: two matrix
products (half a product of scores in each pass, and one of gradients) do the work of three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Places, Strip
from nearfar.execution.derivative import once
from nearfar.execution.ranks import log_total_over_ranks_, total_over_ranks_
from nearfar.execution.scores import MakeScores, Scores
from nearfar.execution.settings import current, resumed
from nearfar.execution.shares import evenly_large, finite, log_shares_, shares_, sums
from nearfar.execution.strips import aligned, buffers, one_strip


@dataclass(frozen=True)
class LogSums:
    """Statistics of a contrast.

    Attributes:
        near: ``(N, k)`` scores of the near candidates, 0 where none is.
        places: where they are.
        rows: ``(N,)`` log sum of exp over each row's far scores; -inf where nothing is far.
        columns: ``(M,)`` the same of each shared column, over the rows that see it as far; `rows` where the contrast
            is mirrored.
    """

    near: Tensor
    places: Places
    rows: Tensor
    columns: Tensor


@dataclass(frozen=True)
class Slopes:
    """The gradients of near scores and of sums, beside these sums."""

    near: Tensor
    row_sums: Tensor
    rows: Tensor
    column_sums: Tensor
    columns: Tensor


def log_sums(
    contrast: Contrast,
    tensors: tuple[Tensor, ...],
    make_scores: MakeScores,
    strip_rows: int | None,
) -> LogSums:
    """The statistics, differentiable once.

    Args:
        contrast: the relation.
        tensors: what the scores are made of, see `MakeScores`; the same tensor twice if mirrored.
        make_scores: of the tensors.
        strip_rows: rows at a time, or None.
    """
    slots = contrast.slots
    pass_ = _Plain(contrast, strip_rows) if slots is None else _Mirrored(contrast, strip_rows, slots)
    near, rows, columns = _LogSums.apply(pass_, make_scores, *tensors)  # type: ignore[no-untyped-call]
    return LogSums(near, pass_.places, rows, rows if contrast.mirrored else columns)


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sweep: _Plain, make_scores: MakeScores, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        near, rows, columns = sweep.statistics(make_scores(tensors), tensors[0])
        ctx.sweep, ctx.make_scores = sweep, make_scores
        ctx.save_for_backward(rows, columns, *tensors)
        return near, rows, columns

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, near: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor | None, ...]:
        row_sums, column_sums, *tensors = ctx.saved_tensors
        slopes = Slopes(near, row_sums, rows, column_sums, columns)
        with resumed(ctx.sweep.settings):
            return None, None, *ctx.sweep.pull(ctx.make_scores, tensors, slopes)


@dataclass(frozen=True)
class Part:
    """Rows against the columns from `start` on.

    Attributes:
        rows: which rows.
        start: the first column.
        room: ``(r, columns)`` for their scores.
        strip: the relation, its columns counted from the first.
        near: what is near in all columns.
    """

    rows: slice
    start: int
    room: Tensor
    strip: Strip
    near: Places


class _Plain:
    """All of each strip."""

    as_shares = False
    """Whether the strip that is pulled holds shares of the rows' sums."""

    def __init__(self, contrast: Contrast, strip_rows: int | None) -> None:
        self.contrast, self.strip_rows = contrast, strip_rows
        self.places = Places(torch.empty(0))
        self.kept: tuple[Scores, Part] | None = None
        self.settings = current()

    def parts(self, like: Tensor) -> Iterator[Part]:
        """The strips."""
        for rows, room in buffers(self.contrast, self.strip_rows, like.dtype):
            strip = self.contrast.relation(rows)
            yield Part(rows, 0, room, strip, strip.near)

    def statistics(self, scores: Scores, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if one_strip(self.contrast, self.strip_rows):
            return self.of_one(scores, *self.parts(like))
        count = len(self.contrast)
        rows_sum = like.new_full((count,), -torch.inf)
        columns_sum = like.new_full((0 if self.contrast.mirrored else self.contrast.columns,), -torch.inf)
        near = like.new_zeros(count, self.contrast.near_width)
        columns = torch.zeros_like(near, dtype=torch.long)
        for part in self.parts(like):
            scores.fill(part.rows, part.room, part.strip.ignored, part.start)
            self.take(part, near)
            columns[part.rows] = part.near.columns
            if part.near.real is not None:
                columns[part.rows].masked_fill_(~part.near.real, -1)
            self.add(part, rows_sum, columns_sum)
        total_over_ranks_(near, columns)
        log_total_over_ranks_(rows_sum)
        log_total_over_ranks_(columns_sum)
        real = columns >= 0
        self.places = Places(columns, None if bool(real.all()) else real)
        return near, rows_sum, columns_sum[self.contrast.own_count :]

    def of_one(self, scores: Scores, part: Part) -> tuple[Tensor, Tensor, Tensor]:
        """Those of a single strip, which is kept where the shares of columns follow from those of rows."""
        scores.fill(part.rows, part.room, part.strip.ignored)
        near, self.places = part.near.take_(part.room), part.near
        mirrored = self.contrast.mirrored
        rows, columns = sums(part.room, len(part.room) if mirrored else 0, keep=True)
        if evenly_large(finite(rows), finite(rows if mirrored else columns)):
            self.as_shares, self.kept = True, (scores, part)
        return near, rows, columns[self.contrast.own_count :]

    def take(self, part: Part, near: Tensor) -> None:
        """Take the near scores out of a strip into the table of all."""
        near[part.rows] = part.strip.near.take_(part.room)

    def add(self, part: Part, rows_sum: Tensor, columns_sum: Tensor) -> None:
        """Add a strip's sums to those so far."""
        rows_sum[part.rows], of_columns = sums(part.room, 0)
        torch.logaddexp(columns_sum, of_columns, out=columns_sum)

    def pull(self, make: MakeScores, tensors: list[Tensor], slopes: Slopes) -> tuple[Tensor, ...]:
        """The gradients of the tensors."""
        if self.kept is not None:
            (scores, part), self.kept = self.kept, None
            self.pull_part(scores, part, slopes)
        else:
            scores = make(tensors)
            for part in self.parts(slopes.near):
                scores.fill(part.rows, part.room, part.strip.ignored, part.start)
                part.strip.near.take_(part.room)
                if self.as_shares:  # a backward pass that is repeated gives the same to the last digit
                    log_shares_(part.room)
                self.pull_part(scores, part, slopes)
        total_over_ranks_(*scores.room())
        return scores.gradients()

    def pull_part(self, scores: Scores, part: Part, slopes: Slopes) -> None:
        """Pull by one strip of far scores, or of their shares in their rows."""
        rows = part.rows
        of_rows, of_columns = (slopes.row_sums[rows], slopes.rows[rows]), (slopes.column_sums, slopes.columns)
        shares_(part.room, of_rows, of_columns, self.contrast.own_count, ready=self.as_shares)
        part.strip.near.put_(part.room, slopes.near[rows])
        scores.pull(rows, part.room, None, part.start)


class _Mirrored(_Plain):
    """Of each strip the part from its own rows on: what lies left of it has been seen from the other side."""

    def __init__(self, contrast: Contrast, strip_rows: int | None, slots: Tensor) -> None:
        super().__init__(contrast, strip_rows)
        self.slots = slots

    def parts(self, like: Tensor) -> Iterator[Part]:
        for part in super().parts(like):
            start, room = part.rows.start, part.room
            room = aligned(room, len(room), room.shape[1] - start)
            yield Part(part.rows, start, room, _from(part.strip, start), part.near)

    def take(self, part: Part, near: Tensor) -> None:
        found = part.strip.near.take_(part.room)
        near[part.rows] += found  # the others have been seen from the other side
        columns = part.strip.near.columns
        beyond = columns >= len(part.room)
        if part.strip.near.real is not None:
            beyond &= part.strip.near.real
        row, place = beyond.nonzero(as_tuple=True)
        near[columns[row, place] + part.start, self.slots[row + part.start]] = found[row, place]

    def add(self, part: Part, rows_sum: Tensor, columns_sum: Tensor) -> None:
        of_rows, of_columns = sums(part.room, len(part.room))
        here = rows_sum[part.start :]  # of its own rows, and of those that are its columns
        torch.logaddexp(here, torch.cat([of_rows, of_columns]), out=here)

    def pull_part(self, scores: Scores, part: Part, slopes: Slopes) -> None:
        """Entries ij and ji are one score, which both rows' slopes pull at."""
        rows, start, near = part.rows, part.start, part.strip.near
        of_rows, of_columns = (slopes.row_sums[rows], slopes.rows[rows]), (slopes.row_sums[start:], slopes.rows[start:])
        shares_(part.room, of_rows, of_columns, ready=self.as_shares)
        other = slopes.near[near.columns + start, self.slots[rows, None]]
        near.put_(part.room, slopes.near[rows] + other)
        scores.pull(rows, part.room, None, start, skip=len(part.room))


def _from(strip: Strip, start: int) -> Strip:
    """The relation of rows from number `start` on to the columns from there on, which are counted from it."""
    if not start:
        return strip
    columns, real, (row, column) = strip.near.columns - start, strip.near.real, strip.ignored
    here = columns >= 0
    itself = torch.arange(len(columns), device=columns.device)[:, None]
    near = Places(torch.where(here, columns, itself), here if real is None else here & real)
    kept = column >= start
    return Strip(near, (row[kept], column[kept] - start))
