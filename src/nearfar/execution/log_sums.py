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
from nearfar.execution.ranks import log_total_over_ranks_, total_over_ranks_
from nearfar.execution.scores import MakeScores, Scores
from nearfar.execution.settings import current, resumed
from nearfar.execution.strips import aligned, blocks, buffers


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
    tensors: tuple[Tensor, Tensor, Tensor],
    make_scores: MakeScores,
    strip_rows: int | None,
    *,
    both: bool,
) -> LogSums:
    """The statistics, differentiable once.

    Args:
        contrast: the relation.
        tensors: anchors, shared and own candidates, as the scores want them; the same tensor twice if mirrored.
        make_scores: of the tensors.
        strip_rows: rows at a time, or None.
        both: whether those of columns are wanted.
    """
    slots = contrast.slots
    pass_ = _Plain(contrast, strip_rows, both) if slots is None else _Mirrored(contrast, strip_rows, slots)
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
    def backward(ctx: Any, near: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError("the loss is differentiable once (found create_graph=True)")
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

    def __init__(self, contrast: Contrast, strip_rows: int | None, both: bool) -> None:
        self.contrast, self.strip_rows, self.both = contrast, strip_rows, both
        self.places = Places(torch.empty(0))
        self.kept: tuple[Scores, Part] | None = None
        self.settings = current()

    def parts(self, like: Tensor) -> Iterator[Part]:
        """The strips."""
        for rows, room in buffers(self.contrast, self.strip_rows, like.dtype):
            strip = self.contrast.relation(rows)
            yield Part(rows, 0, room, strip, strip.near)

    def statistics(self, scores: Scores, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = len(self.contrast)
        rows_sum = like.new_full((count,), -torch.inf)
        columns_sum = like.new_full((self.contrast.columns if self.both else 0,), -torch.inf)
        near = like.new_zeros(count, self.contrast.near_width)
        columns = torch.zeros_like(near, dtype=torch.long)
        for part in self.parts(like):
            scores.fill(part.rows, part.room, part.strip.ignored, part.start)
            self.take(part, near)
            columns[part.rows] = part.near.columns
            if part.near.real is not None:
                columns[part.rows].masked_fill_(~part.near.real, -1)
            self.add(part, rows_sum, columns_sum)
            if len(part.room) == count:  # a lone strip need not be worked out again
                self.kept = scores, part
        total_over_ranks_(near, columns)
        log_total_over_ranks_(rows_sum)
        log_total_over_ranks_(columns_sum)
        real = columns >= 0
        self.places = Places(columns, None if bool(real.all()) else real)
        return near, rows_sum, columns_sum[self.contrast.own_count :]

    def take(self, part: Part, near: Tensor) -> None:
        """Take the near scores out of a strip into the table of all."""
        near[part.rows] = part.strip.near.take_(part.room)

    def add(self, part: Part, rows_sum: Tensor, columns_sum: Tensor) -> None:
        """Add a strip's sums to those so far."""
        of_rows, of_columns = _sums(part.room, part.room if self.both else part.room[:, :0])
        rows_sum[part.rows] = of_rows
        if self.both:
            torch.logaddexp(columns_sum, of_columns, out=columns_sum)

    def pull(self, make: MakeScores, tensors: list[Tensor], slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of the tensors."""
        if self.kept is not None:
            (scores, part), self.kept = self.kept, None
            self.pull_part(scores, part, slopes)
        else:
            scores = make(tensors)
            for part in self.parts(slopes.near):
                scores.fill(part.rows, part.room, part.strip.ignored, part.start)
                part.strip.near.take_(part.room)
                self.pull_part(scores, part, slopes)
        gradients = scores.gradients()
        total_over_ranks_(*gradients)
        return gradients

    def pull_part(self, scores: Scores, part: Part, slopes: Slopes) -> None:
        """Pull by one strip of far scores."""
        rows = part.rows
        of_columns = (slopes.column_sums, slopes.columns) if self.both else None
        _shares_(part.room, (slopes.row_sums[rows], slopes.rows[rows]), of_columns, self.contrast.own_count)
        part.strip.near.put_(part.room, slopes.near[rows])
        scores.pull(rows, part.room, None, part.start)


class _Mirrored(_Plain):
    """Of each strip the part from its own rows on: what lies left of it has been seen from the other side."""

    def __init__(self, contrast: Contrast, strip_rows: int | None, slots: Tensor) -> None:
        super().__init__(contrast, strip_rows, both=False)
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
        rows, room = part.rows, part.room
        of_rows, of_columns = _sums(room, room[:, len(room) :])
        rows_sum[rows] = torch.logaddexp(rows_sum[rows], of_rows)
        rows_sum[rows.stop :] = torch.logaddexp(rows_sum[rows.stop :], of_columns)

    def pull_part(self, scores: Scores, part: Part, slopes: Slopes) -> None:
        """Entries ij and ji are one score, which both rows' slopes pull at."""
        rows, start, near = part.rows, part.start, part.strip.near
        of_columns = slopes.row_sums[start:], slopes.rows[start:]
        _shares_(part.room, (slopes.row_sums[rows], slopes.rows[rows]), of_columns)
        other = slopes.near[near.columns + start, self.slots[rows, None]]
        near.put_(part.room, slopes.near[rows] + other)
        scores.pull(rows, part.room, None, start, skip=len(part.room))


def _sums(scores: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
    """log sum exp of the rows of `scores`, and of the columns of its last ones, `beyond`."""
    skipped = scores.shape[1] - beyond.shape[1]
    of_rows, of_columns = [], beyond.new_full((beyond.shape[1],), -torch.inf)
    for block in blocks(scores):
        top = block.amax(1).nan_to_num_(neginf=0.0)
        shares = torch.sub(block, top[:, None]).exp_()
        of_rows.append(shares.sum(1).log_().add_(top))
        if len(of_columns):
            highest = top.max()
            columns = ((top - highest).exp() @ shares[:, skipped:]).log_().add_(highest)
            # What lies so far below its row's top that it has vanished may be all that a column has.
            if columns.min() < highest - FAINT:
                columns = torch.logsumexp(block[:, skipped:], 0)
            of_columns = torch.logaddexp(of_columns, columns)
    return torch.cat(of_rows), of_columns


FAINT = 40.0
"""Below exp(-40) of the highest entry a sum of exponentials is worked out on its own: float32 ends at exp(-87)."""


def _shares_(
    scores: Tensor, of_rows: tuple[Tensor, Tensor], of_columns: tuple[Tensor, Tensor] | None, skipped: int = 0
) -> None:
    """slopes * exp(scores - sums), of its row's sum and, beyond the columns skipped, of its column's, in place."""
    sums, slopes = _finite(of_rows[0])[:, None], of_rows[1][:, None]
    step = len(blocks(scores)[0])
    for block, row_sums, row_slopes in zip(blocks(scores), sums.split(step), slopes.split(step), strict=True):
        if of_columns is None or not len(of_columns[0]):
            block.sub_(row_sums).exp_().mul_(row_slopes)
        else:
            _shares_of_both_(block, row_sums, row_slopes, _finite(of_columns[0]), of_columns[1], skipped)


def _shares_of_both_(
    block: Tensor, row_sums: Tensor, row_slopes: Tensor, column_sums: Tensor, column_slopes: Tensor, skipped: int
) -> None:
    top = row_sums.max()
    if top - torch.minimum(row_sums.min(), column_sums.min()) < FAINT:
        # exp(s - c) is exp(s - r) exp(r - c), and that a product of a row's and a column's number: one exponential.
        block.sub_(row_sums).exp_()
        block[:, :skipped] *= row_slopes
        by_column = (top - column_sums).exp_().mul_(column_slopes)
        block[:, skipped:] *= torch.addcmul(row_slopes, (row_sums - top).exp_(), by_column)
        return
    more = torch.sub(block[:, skipped:], column_sums).exp_().mul_(column_slopes)
    block.sub_(row_sums).exp_().mul_(row_slopes)
    block[:, skipped:] += more


def _finite(sums: Tensor) -> Tensor:
    """Sums of nothing, -inf, as 0: every entry they have is -inf, whose share is then 0."""
    return sums.masked_fill(sums == -torch.inf, 0)


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
