"""Work shared out among ranks, its results put together on each.

Every rank makes the same batch and embeds a part of it. The embeddings are put together, so that groups, guide, queue
and all else are worked out on the whole batch as ever, and the objective shares out its strips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from nearfar.encoders import Encoder
from nearfar.encoders.base import Change
from nearfar.encoders.tokens import Tokens
from nearfar.execution import execution
from nearfar.execution.ranks import gathered, gathered_rows
from nearfar.training.ranks import many, own_draws, place

Items = TypeVar("Items", Sequence[str], NDArray[np.int64])


def sharing() -> AbstractContextManager[None]:
    """Within the block objectives share their work among the ranks; each must pass the whole batch."""
    return execution(group=distributed.group.WORLD, replicated=True) if many() else nullcontext()


def embedded(encoder: Encoder, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
    """``(n, d)``: as ``encoder.embed`` of the texts, each rank having embedded a part of them.

    Rows are dealt out by length, so that all ranks have as much to do. Tokens are left out as one process leaves them
    out; dropout and `change` are drawn by each rank for itself.
    """
    tokens = encoder.thinned(tokens)
    if not many():
        return encoder.embed(tokens, any_length=any_length, change=change)
    rank, world = place()
    dealt = np.argsort(tokens.lengths, kind="stable")
    mine = dealt[rank::world]
    with own_draws():  # a rank without a row embeds one all the same, so that every rank has a graph
        own = encoder.embed(tokens.take(mine if len(mine) else dealt[:1]), any_length=any_length, change=change)
    wide = own.to(torch.promote_types(own.dtype, torch.float32))[: len(mine)]
    with sharing():
        whole = gathered(wide)
    return whole.index_select(0, torch.from_numpy(_order_of(len(tokens), world, dealt)).to(whole.device))


def shared_out(function: Callable[[Items], NDArray[Any]], items: Items) -> NDArray[Any]:
    """``function(items)``, an array with a row for each item, each rank having worked out some of the rows."""
    if not many() or not len(items):
        return function(items)
    rank, world = place()
    mine = items[rank::world]
    own = torch.from_numpy(function(mine if len(mine) else items[:1]))[: len(mine)]
    with sharing():
        whole, _ = gathered_rows(own)
    found: NDArray[Any] = whole.numpy()[_order_of(len(items), world, np.arange(len(items)))]
    return found


def _order_of(count: int, world: int, dealt: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each item is after parts that were dealt out, one to each rank in turn, are put one after another."""
    put = np.concatenate([dealt[rank::world] for rank in range(world)])
    places = np.empty(count, np.int64)
    places[put] = np.arange(count)
    return places
