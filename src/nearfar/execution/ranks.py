"""Ranks: the whole batch is put together on each, and its strips are shared out.

Everything but the strips is computed on every rank alike, on the whole batch. A rank works out its share of the strips;
sums over ranks then make loss, statistics and gradients whole everywhere, so that each rank can cut out the gradient of
its own rows. Memory is that of one process with the whole batch; the work on scores is divided by the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from nearfar.contrasts import Contrast
from nearfar.execution.derivative import once
from nearfar.execution.settings import current

Item = TypeVar("Item")


def whole_batch(contrast: Contrast) -> Contrast:
    """The contrast of all ranks' parts, in the order of ranks; the contrast itself where it is whole already."""
    if current().group is None or current().replicated:
        return contrast
    return contrast.recipe.again(gathered, gathered, but=contrast.recipe.replicated)


def even_share(count: int) -> int:
    """How many of so many rows a rank works out if all work out equally many."""
    group = current().group
    return count if group is None else -(-count // distributed.get_world_size(group))


def my_share(items: Sequence[Item]) -> Sequence[Item]:
    """Every so-manieth item: this rank's."""
    group = current().group
    return items if group is None else items[distributed.get_rank(group) :: distributed.get_world_size(group)]


def total_over_ranks_(*tensors: Tensor) -> None:
    """Sum each tensor over the ranks, in place."""
    group = current().group
    if group is not None:
        for tensor in tensors:
            if tensor.numel():
                distributed.all_reduce(tensor, group=group)


def log_total_over_ranks_(tensor: Tensor) -> None:
    """log(sum(exp(tensor))) over the ranks, in place."""
    group = current().group
    if group is not None and tensor.numel():
        parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size(group))]
        distributed.all_gather(parts, tensor, group=group)
        tensor.copy_(torch.stack(parts).logsumexp(0))


def gathered_rows(tensor: Tensor) -> tuple[Tensor, slice]:
    """All ranks' rows, in the order of ranks, and where this rank's own are."""
    group = current().group
    if group is None:
        return tensor, slice(0, len(tensor))
    world, rank = distributed.get_world_size(group), distributed.get_rank(group)
    lengths = [torch.zeros(1, dtype=torch.long, device=tensor.device) for _ in range(world)]
    distributed.all_gather(lengths, torch.tensor([len(tensor)], device=tensor.device), group=group)
    counts = [int(length) for length in lengths]
    # Ranks may hold unequal numbers of rows: all send as many as the longest.
    padded = tensor.new_zeros(max(counts), *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    parts = [torch.empty_like(padded) for _ in range(world)]
    distributed.all_gather(parts, padded, group=group)
    start = sum(counts[:rank])
    whole = torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])
    return whole, slice(start, start + len(tensor))


def gathered(tensor: Tensor) -> Tensor:
    """All ranks' rows, in the order of ranks; the gradient of a rank's own rows comes back to it.

    For what is computed alike on every rank from the whole: each rank has the whole gradient and keeps its part.
    """
    whole: Tensor = _Gather.apply(tensor)  # type: ignore[no-untyped-call]
    return whole


class _Gather(torch.autograd.Function):
    """All ranks' rows; every rank holds the whole gradient of them and keeps that of its own."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        whole, ctx.own = gathered_rows(tensor)
        return whole

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        own: Tensor = upstream[ctx.own]
        return own
