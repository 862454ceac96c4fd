"""Sums of exponentials of a strip, and the shares that entries have of them.

Both are worked out in blocks that stay in the cache, by a fused softmax, which costs less than an exponential.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nearfar.execution.scores import blocks

FAINT = 40.0
"""Sums further apart than exp(40) share no exponential: float32 ends at exp(-87)."""


def log_shares_(scores: Tensor) -> Tensor:
    """log sum exp of each row, ``(r,)``, the scores overwritten by their shares of it, 0 in a row of nothing."""
    parts = [_log_sum_and_shares(block, block)[0] for block in blocks(scores)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def sums(scores: Tensor, skipped: int, *, keep: bool = False) -> tuple[Tensor, Tensor]:
    """log sum exp of the rows, and of the columns but for the first ones.

    Args:
        scores: ``(r, columns)``.
        skipped: how many columns are left out.
        keep: put the shares of the rows' sums in the place of the scores.
    """
    of_rows, of_columns = [], scores.new_full((scores.shape[1] - skipped,), -torch.inf)
    for block in blocks(scores):
        row_sums, shares = _log_sum_and_shares(block, None)
        of_rows.append(row_sums)
        if len(of_columns):
            row_sums = finite(row_sums)
            top = row_sums.max()
            columns = ((row_sums - top).exp_() @ shares[:, skipped:]).log_().add_(top)
            # What lies so far below its row's sum that it has vanished may be all that a column has.
            if columns.min() < top - FAINT:
                columns = torch.logsumexp(block[:, skipped:], 0)
            torch.logaddexp(of_columns, columns, out=of_columns)
        if keep:
            block.copy_(shares)
    return of_rows[0] if len(of_rows) == 1 else torch.cat(of_rows), of_columns


def _log_sum_and_shares(block: Tensor, out: Tensor | None) -> tuple[Tensor, Tensor]:
    top = block.amax(1)
    shares = torch.softmax(block, dim=1, out=out)  # one fused pass
    mass = shares.amax(1)  # the share of the nearest, at least 1 / M, so that its log is safe
    if top.amin().item() == -torch.inf:
        alone = top == -torch.inf
        shares[alone] = 0
        mass.masked_fill_(alone, 1)
    return top - mass.log_(), shares


def shares_(
    scores: Tensor,
    of_rows: tuple[Tensor, Tensor],
    of_columns: tuple[Tensor, Tensor],
    skipped: int = 0,
    *,
    ready: bool,
) -> None:
    """slopes * exp(scores - sums), of its row's sum and, beyond the columns skipped, of its column's, in place.

    Args:
        scores: ``(r, columns)``.
        of_rows: sums and slopes, ``(r,)`` each.
        of_columns: sums and slopes of the columns but for those skipped.
        skipped: how many have no sum.
        ready: the scores are the shares of the rows' sums already, as `sums` keeps them.
    """
    sums, slopes = finite(of_rows[0])[:, None], of_rows[1][:, None]
    column_sums, column_slopes = finite(of_columns[0]), of_columns[1]
    step = len(blocks(scores)[0])
    for block, row_sums, row_slopes in zip(blocks(scores), sums.split(step), slopes.split(step), strict=True):
        if ready or evenly_large(row_sums, column_sums):
            if not ready:
                block.sub_(row_sums).exp_()
            # exp(s - c) is exp(s - r) exp(r - c), and that a product of a row's and a column's number: one exponential.
            block[:, :skipped].mul_(row_slopes)
            top = row_sums.max()
            by_column = (top - column_sums).exp_().mul_(column_slopes)
            block[:, skipped:].mul_(torch.addcmul(row_slopes, (row_sums - top).exp_(), by_column))
        else:
            # No share is above 1, whatever rounding of large scores makes of their sums.
            more = torch.sub(block[:, skipped:], column_sums).clamp_(max=0).exp_().mul_(column_slopes)
            block.sub_(row_sums).clamp_(max=0).exp_().mul_(row_slopes)
            block[:, skipped:].add_(more)


def evenly_large(row_sums: Tensor, column_sums: Tensor) -> bool:
    """Whether the shares of columns follow from those of rows; both sums `finite`."""
    return not len(column_sums) or bool(row_sums.max() - torch.minimum(row_sums.min(), column_sums.min()) < FAINT)


def finite(sums: Tensor) -> Tensor:
    """Sums of nothing, -inf, as 0: every entry they have is -inf, whose share is then 0."""
    return sums.masked_fill(sums == -torch.inf, 0)


def coarse(sums: Tensor) -> bool:
    """Whether log-sums ``(N,)`` are so large that shares taken from them later are off by a thousandth and more.

    A softmax of the scores while they are there does not lose what a sum of 1e5 has no digits for.
    """
    largest = finite(sums.detach()).abs().amax().item()
    return largest * torch.finfo(sums.dtype).eps > 1e-3
