"""Strips: some anchors at a time against all candidates, for equations whose rows stand alone.

Scores of ``R`` rows are worked out into one buffer, the objective turns them in place into their own
gradient while they are there, and two more products carry it to anchors and candidates. Memory is
``O(R M + (N + M) d)`` and the time that of three matrix products, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.execution.derivative import once
from nearfar.execution.own import Own
from nearfar.execution.ranks import even_share, my_share, total_over_ranks_
from nearfar.execution.scores import MakeScores, Scores, hide_
from nearfar.execution.settings import Settings, current, resumed, rows_per_strip


@dataclass(frozen=True)
class Terms:
    """What rows contribute: the loss is sum(total) / sum(weight) over all rows.

    Attributes:
        total: ``(r,)``.
        weight: ``(r,)``; 0 for a row that is left out.
    """

    total: Tensor
    weight: Tensor


class RowObjective(Protocol):
    """An equation over rows of scores."""

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        """The rows' terms, with `scores` overwritten by their gradient up to a factor of each row.

        Args:
            scores: ``(r, columns)``, -inf at ignored entries.
            strip: which entries are near.

        Returns:
            The terms and the factors ``(r,)`` (None: all 1): d total[i] / d scores[i, j] is
            ``factor[i] * scores[i, j]`` afterwards.
        """


@dataclass(frozen=True)
class Task:
    """What is computed, over what, how: all but the embeddings that the gradient goes to."""

    objective: RowObjective
    contrast: Contrast
    make_scores: MakeScores
    strip_rows: int | None
    settings: Settings = field(default_factory=current)


def mean_over_rows(task: Task, tensors: tuple[Tensor, ...]) -> Tensor:
    """sum(weights * total) / sum(weights * weight); 0 where no row counts.

    Args:
        task: the equation and the relation.
        tensors: what the scores are made of, see `MakeScores`.
    """
    value: Tensor = _Mean.apply(task, torch.is_grad_enabled(), *tensors)  # type: ignore[no-untyped-call]
    return value


def divisor(weight: Tensor) -> Tensor:
    """The sum of what rows count, however small; 1 where none counts, whose totals are 0."""
    value: Tensor = weight.sum()
    return value.masked_fill(value < torch.finfo(value.dtype).tiny, 1)


def total_of_rows(task: Task, tensors: tuple[Tensor, ...]) -> Tensor:
    """Each row's weighted total, ``(N,)``; the gradient is worked out in the backward pass, by a second sweep."""
    value: Tensor = _Totals.apply(task, *tensors)  # type: ignore[no-untyped-call]
    return value


class _Mean(torch.autograd.Function):
    """The loss with its gradient worked out in the forward pass, strip by strip."""

    @staticmethod
    def forward(ctx: Any, task: Task, graph: bool, *tensors: Tensor) -> Tensor:
        wanted = graph and any(ctx.needs_input_grad)
        loss, gradients = _mean(task, tensors, wanted)
        if wanted:
            ctx.task, ctx.gradients = task, gradients
            ctx.save_for_backward(*tensors)
        return loss

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        # Handed out without a copy, and so its receiver's to change: a graph that is kept works them out again.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            with resumed(ctx.task.settings):
                gradients = _mean(ctx.task, ctx.saved_tensors, True)[1]
        if upstream.device.type == "cpu" and upstream.item() == 1:  # as in loss.backward()
            return None, None, *gradients
        return None, None, *(gradient if gradient is None else gradient.mul_(upstream) for gradient in gradients)


def _mean(task: Task, tensors: Sequence[Tensor], gradient: bool) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """The mean over the rows and, where asked, its gradients."""
    terms, gradients = _sweep(task, tensors, task.contrast.weights, gradient)
    share = divisor(terms.weight).reciprocal()
    return terms.total.sum() * share, gradients(share) if gradient else ()


class _Totals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, task: Task, *tensors: Tensor) -> Tensor:
        ctx.task = task
        ctx.save_for_backward(*tensors)
        return _sweep(task, tensors, task.contrast.weights, False)[0].total

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights = ctx.task.contrast.weights
        weights = upstream if weights is None else upstream * weights
        with resumed(ctx.task.settings):
            return None, *_sweep(ctx.task, ctx.saved_tensors, weights, True)[1](1.0)


Gradients = Callable[[Tensor | float], tuple[Tensor | None, ...]]
"""Gives the gradients of the tensors times a number; None where nothing is pulled."""


def _sweep(task: Task, tensors: Sequence[Tensor], weights: Tensor | None, gradient: bool) -> tuple[Terms, Gradients]:
    """The terms of all rows times their weights and, where asked, the gradients of the sum of their totals."""
    contrast, scores = task.contrast, task.make_scores(tensors)
    if not len(contrast.candidates):
        return _over_table(task, scores.own, weights)
    if one_strip(contrast, task.strip_rows):
        return _over_one(task, scores, weights, tensors[0].dtype)
    total = tensors[0].new_zeros(len(contrast))
    weight = torch.zeros_like(total)
    for rows, buffer in buffers(contrast, task.strip_rows, total.dtype):
        strip = contrast.relation(rows)
        scores.fill(rows, buffer, strip.ignored)
        terms, factor = _weighed(*task.objective.slopes_(buffer, strip), None if weights is None else weights[rows])
        total[rows], weight[rows] = terms.total, terms.weight
        if gradient:
            scores.pull(rows, buffer, factor)
    total_over_ranks_(total, weight, *(scores.room() if gradient else ()))
    return Terms(total, weight), scores.gradients


def _over_one(task: Task, scores: Scores, weights: Tensor | None, dtype: torch.dtype) -> tuple[Terms, Gradients]:
    """The same where a strip holds all rows: what the gradients are multiplied by goes with the rows' factors."""
    ((rows, buffer),) = buffers(task.contrast, task.strip_rows, dtype)
    strip = task.contrast.relation(rows)
    scores.fill(rows, buffer, strip.ignored)
    terms, factor = _weighed(*task.objective.slopes_(buffer, strip), weights)

    def gradients(times: Tensor | float) -> tuple[Tensor, ...]:
        if factor is None:
            scores.pull(rows, buffer, None)
            return scores.gradients(times)
        scores.pull(rows, buffer, factor * times)
        return scores.gradients()

    return terms, gradients


def _over_table(task: Task, own: Own, weights: Tensor | None) -> tuple[Terms, Gradients]:
    """The same where own candidates are all there is: their table of scores at once, and on every rank alike."""
    slopes = own.table()
    strip = task.contrast.relation(slice(0, len(slopes)))
    terms, factor = _weighed(*task.objective.slopes_(hide_(slopes, strip.ignored), strip), weights)

    def gradients(times: Tensor | float) -> tuple[Tensor | None, ...]:
        return None, None, *own.pull(slopes.mul_(times if factor is None else (factor * times)[:, None]))

    return terms, gradients


def _weighed(terms: Terms, factor: Tensor | None, weights: Tensor | None) -> tuple[Terms, Tensor | None]:
    """Rows' terms and the factors of their slopes, times the rows' weights."""
    total, weight = terms.total, terms.weight.to(terms.total.dtype)
    if weights is None:
        return Terms(total, weight), factor
    weights = weights.to(total)
    return Terms(total * weights, weight * weights), weights if factor is None else weights * factor


def one_strip(contrast: Contrast, strip_rows: int | None) -> bool:
    """Whether this rank works out all rows at once."""
    rows = rows_per_strip(strip_rows, contrast.columns, _wide(contrast).itemsize)
    return rows >= len(contrast) and current().group is None


def buffers(contrast: Contrast, strip_rows: int | None, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """This rank's runs of rows, each with room ``(r, columns)`` for its scores, which is used again and again."""
    count, columns = len(contrast), contrast.columns
    step = min(even_share(count), rows_per_strip(strip_rows, columns, dtype.itemsize))
    offset = -contrast.own_count % 16
    memory = contrast.anchors.new_empty(offset + step * _stride(columns), dtype=dtype)
    for start in my_share(range(0, count, step)):
        stop = min(start + step, count)
        yield slice(start, stop), aligned(memory, stop - start, columns, offset)


def aligned(memory: Tensor, rows: int, columns: int, offset: int = 0) -> Tensor:
    """``(rows, columns)`` of some memory from an offset on, the rows multiples of 16 numbers apart.

    A product written to odd addresses takes twice as long.
    """
    return memory.as_strided((rows, columns), (_stride(columns), 1), offset)


def _stride(columns: int) -> int:
    return -(-columns // 16) * 16


def _wide(contrast: Contrast) -> torch.dtype:
    return torch.promote_types(contrast.anchors.dtype, torch.float32)
