"""Strips: some anchors at a time against all candidates.

Scores of ``R`` rows are worked out into one buffer, the objective turns them in place into their own
gradient while they are there, and two more products carry it to anchors and candidates. Memory is
``O(R M + (N + M) d)`` and the time that of three matrix products, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.execution.settings import rows_per_strip


@dataclass(frozen=True)
class Terms:
    """What a strip of rows contributes: the loss is sum(total) / sum(weight) over all rows.

    Attributes:
        total: ``(r,)``.
        weight: ``(r,)``; 0 for a row that is left out.
    """

    total: Tensor
    weight: Tensor


class RowObjective(Protocol):
    """An equation over rows of scores, where a larger score always means nearer."""

    def terms(self, scores: Tensor, strip: Strip) -> Terms:
        """Terms of the rows of `scores` ``(r, M)``, differentiable by autograd."""

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
        """The same terms, with `scores` overwritten by their gradient up to a factor of each row.

        Returns the terms and the factors ``(r,)``: d total[i] / d scores[i, j] is
        ``factor[i] * scores[i, j]`` afterwards.
        """


def total_loss(
    objective: RowObjective, contrast: Contrast, anchors: Tensor, candidates: Tensor, strip_rows: int | None
) -> Tensor:
    """sum(total) / sum(weight) of the scores ``anchors @ candidates.T``; 0 where no row counts.

    Args:
        objective: the equation.
        contrast: the relation and the weights of rows; its embeddings are not used.
        anchors: ``(N, d)``, prepared so that the dot product is the score.
        candidates: ``(M, d)``, likewise.
        strip_rows: rows at a time, or None.
    """
    value: Tensor = _StripLoss.apply(anchors, candidates, objective, contrast, strip_rows, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return value


def row_terms(
    objective: RowObjective, contrast: Contrast, anchors: Tensor, candidates: Tensor, strip_rows: int | None
) -> Terms:
    """Terms of every row, ``(N,)`` each, by autograd through one strip after another."""
    parts = [
        _weighted(objective.terms(anchors[rows] @ candidates.T, contrast.relation(rows)), contrast, rows)
        for rows in _strips(anchors, candidates, strip_rows)
    ]
    return Terms(torch.cat([p.total for p in parts]), torch.cat([p.weight for p in parts]))


class _StripLoss(torch.autograd.Function):
    """The loss with its gradient worked out in the forward pass, strip by strip."""

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        objective: RowObjective,
        contrast: Contrast,
        strip_rows: int | None,
        wanted: bool,
    ) -> Tensor:
        total = anchors.new_zeros(())
        weight = anchors.new_zeros(())
        wants_gradient = wanted and any(ctx.needs_input_grad[:2])
        anchor_gradient = torch.empty_like(anchors) if wants_gradient else None
        candidate_gradient = torch.zeros_like(candidates) if wants_gradient else None
        buffer = anchors.new_empty(0)
        for rows in _strips(anchors, candidates, strip_rows):
            shape = (rows.stop - rows.start, len(candidates))
            if buffer.shape != shape:
                buffer = anchors.new_empty(shape)
            torch.mm(anchors[rows], candidates.T, out=buffer)
            terms, factor = objective.slopes_(buffer, contrast.relation(rows))
            if contrast.weights is not None:
                factor = factor * contrast.weights[rows].to(factor.dtype)
            terms = _weighted(terms, contrast, rows)
            total += terms.total.sum()
            weight += terms.weight.sum()
            if anchor_gradient is not None and candidate_gradient is not None:
                # The factor goes to the narrow operands, not to the wide strip.
                anchor_gradient[rows] = (buffer @ candidates).mul_(factor[:, None])
                candidate_gradient.addmm_(buffer.T, anchors[rows] * factor[:, None])
        share = torch.where(weight > 0, 1 / weight, 0.0)
        if anchor_gradient is not None and candidate_gradient is not None:
            ctx.save_for_backward(anchor_gradient.mul_(share), candidate_gradient.mul_(share))
        return total * share

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True: what is saved is a number without a gradient of its own
            raise RuntimeError("the loss is differentiable once (found create_graph=True); reduction='sum' is twice")
        anchor_gradient, candidate_gradient = ctx.saved_tensors
        return anchor_gradient * upstream, candidate_gradient * upstream, None, None, None, None


def _strips(anchors: Tensor, candidates: Tensor, strip_rows: int | None) -> Iterator[slice]:
    step = rows_per_strip(strip_rows, len(candidates), anchors.element_size())
    for start in range(0, len(anchors), step):
        yield slice(start, min(start + step, len(anchors)))


def _weighted(terms: Terms, contrast: Contrast, rows: slice) -> Terms:
    if contrast.weights is None:
        return terms
    by = contrast.weights[rows].to(terms.total.dtype)
    return Terms(terms.total * by, terms.weight * by)
