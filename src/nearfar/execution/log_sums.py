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

from nearfar.contrasts import Contrast, Index, Strip
from nearfar.execution.ranks import gathered_rows, log_total_over_ranks_, total_over_ranks_
from nearfar.execution.scores import MakeScores, Scores, hide_
from nearfar.execution.settings import current, resumed
from nearfar.execution.strips import aligned, blocks, buffers


@dataclass(frozen=True)
class LogSums:
    """Statistics of a contrast.

    Attributes:
        near: ``(P,)`` scores of the near entries, in no particular order.
        row: ``(P,)`` their rows.
        column: ``(P,)`` their columns.
        rows: ``(N,)`` log sum of exp over each row's far scores; -inf where nothing is far.
        columns: ``(M,)`` the same of each shared column, over the rows that see it as far; `rows` where the contrast
            is mirrored.
    """

    near: Tensor
    row: Tensor
    column: Tensor
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
    pass_ = _Mirrored(contrast, strip_rows) if contrast.mirrored else _Plain(contrast, strip_rows, both)
    near, rows, columns = _LogSums.apply(pass_, make_scores, *tensors)  # type: ignore[no-untyped-call]
    return LogSums(near, pass_.row, pass_.column, rows, rows if contrast.mirrored else columns)


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


class _Plain:
    """All of each strip."""

    def __init__(self, contrast: Contrast, strip_rows: int | None, both: bool) -> None:
        self.contrast, self.strip_rows, self.both = contrast, strip_rows, both
        self.row, self.column = torch.empty(0), torch.empty(0)
        self.mine = slice(0, 0)
        self.kept: tuple[Scores, Tensor] | None = None
        self.settings = current()

    def strips(self, like: Tensor) -> Iterator[tuple[slice, int, Tensor, Strip]]:
        """Rows, the first column, room for the scores, and the relation with columns counted from the first."""
        for rows, room in buffers(self.contrast, self.strip_rows, like.dtype):
            yield rows, 0, room, self.contrast.relation(rows)

    def statistics(self, scores: Scores, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows_sum = like.new_full((len(self.contrast),), -torch.inf)
        columns_sum = like.new_full((self.contrast.columns if self.both else 0,), -torch.inf)
        entries: list[tuple[Tensor, Tensor, Tensor]] = []
        for rows, start, room, strip in self.strips(like):
            scores.fill(rows, room, strip.ignored, start)
            entries += self.oriented(room[strip.near], strip.near, rows, start)
            hide_(room, strip.near)
            self.add(rows, room, rows_sum, columns_sum)
            if len(room) == len(self.contrast):  # a lone strip need not be worked out again
                self.kept = scores, room
        none = like.new_empty(0), torch.empty(0, dtype=torch.long), torch.empty(0, dtype=torch.long)
        near, row, column = (torch.cat(parts) for parts in zip(none, *entries, strict=True))
        self.row, self.column = gathered_rows(row)[0], gathered_rows(column)[0]
        near, self.mine = gathered_rows(near)
        log_total_over_ranks_(rows_sum)
        log_total_over_ranks_(columns_sum)
        return near, rows_sum, columns_sum[self.contrast.own_count :]

    def add(self, rows: slice, room: Tensor, rows_sum: Tensor, columns_sum: Tensor) -> None:
        """Add a strip's sums to those so far."""
        of_rows, of_columns = _sums(room, room if self.both else room[:, :0])
        rows_sum[rows] = of_rows
        if self.both:
            torch.logaddexp(columns_sum, of_columns, out=columns_sum)

    def oriented(self, near: Tensor, entries: Index, rows: slice, start: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Score, row and column of the near entries of a strip."""
        return [(near, entries[0] + rows.start, entries[1] + start)]

    def pull(self, make: MakeScores, tensors: list[Tensor], slopes: Slopes) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of the tensors."""
        scores, filled = self.kept or (make(tensors), None)
        self.kept = None
        at = self.mine.start
        for rows, start, room, strip in self.strips(slopes.near):
            if filled is None:
                scores.fill(rows, room, strip.ignored, start)
                hide_(room, strip.near)
            else:
                room = filled
            at += self.pull_strip(scores, rows, start, room, strip, slopes, at)
        gradients = scores.gradients()
        total_over_ranks_(*gradients)
        return gradients

    def pull_strip(
        self, scores: Scores, rows: slice, start: int, room: Tensor, strip: Strip, slopes: Slopes, at: int
    ) -> int:
        """Pull by one strip; the number of near entries in it, the first of which is `at` in the slopes."""
        of_columns = (slopes.column_sums, slopes.columns) if self.both else None
        _shares_(room, (slopes.row_sums[rows], slopes.rows[rows]), of_columns, self.contrast.own_count)
        count = len(strip.near[0])
        room[strip.near] = slopes.near[at : at + count]
        scores.pull(rows, room, None, start)
        return count


class _Mirrored(_Plain):
    """Of each strip the part from its own rows on: what lies left of it has been seen from the other side."""

    def __init__(self, contrast: Contrast, strip_rows: int | None) -> None:
        super().__init__(contrast, strip_rows, both=False)

    def strips(self, like: Tensor) -> Iterator[tuple[slice, int, Tensor, Strip]]:
        for rows, whole in buffers(self.contrast, self.strip_rows, like.dtype):
            strip = self.contrast.relation(rows)
            near, ignored = (_from(entries, rows.start) for entries in (strip.near, strip.ignored))
            yield rows, rows.start, aligned(whole, len(whole), whole.shape[1] - rows.start), Strip(near, ignored)

    def add(self, rows: slice, room: Tensor, rows_sum: Tensor, columns_sum: Tensor) -> None:
        of_rows, of_columns = _sums(room, room[:, len(room) :])
        rows_sum[rows] = torch.logaddexp(rows_sum[rows], of_rows)
        rows_sum[rows.stop :] = torch.logaddexp(rows_sum[rows.stop :], of_columns)

    def oriented(self, near: Tensor, entries: Index, rows: slice, start: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        row, column = entries[0] + rows.start, entries[1] + start
        beyond = column >= rows.stop
        return [(near, row, column), (near[beyond], column[beyond], row[beyond])]

    def pull_strip(
        self, scores: Scores, rows: slice, start: int, room: Tensor, strip: Strip, slopes: Slopes, at: int
    ) -> int:
        """Entries ij and ji are one score, which both rows' slopes pull at."""
        of_columns = slopes.row_sums[start:], slopes.rows[start:]
        _shares_(room, (slopes.row_sums[rows], slopes.rows[rows]), of_columns)
        row, column = strip.near
        beyond = column >= len(room)
        count, more = len(row), int(beyond.sum())
        room[row, column] = 0
        room.index_put_((row, column), slopes.near[at : at + count], accumulate=True)
        room.index_put_((row[beyond], column[beyond]), slopes.near[at + count : at + count + more], accumulate=True)
        within = ~beyond  # where ij and ji are two entries of this strip
        room.index_put_((column[within], row[within]), slopes.near[at : at + count][within], accumulate=True)
        scores.pull(rows, room, None, start, skip=len(room))
        return count + more


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


def _from(entries: Index, first: int) -> Index:
    """The entries from a column on, counted from it."""
    kept = entries[1] >= first
    return entries[0][kept], entries[1][kept] - first
