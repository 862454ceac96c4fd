"""Row-sparse learning: the mean of some rows of a table, and an optimiser that touches only those.

A batch of a thousand texts uses a few thousand of the vocabulary's rows. Its gradient is worked out
for those alone, as a sparse tensor with unique rows, and `RowAdam` steps them and no others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from nearfar.encoders.tokens import Tokens


def mean_rows(weight: Tensor, tokens: Tokens) -> Tensor:
    """The mean of each text's rows of `weight`: ``(V, d)`` and n texts to ``(n, d)``; 0 for a text without any.

    The gradient to `weight` is a coalesced sparse tensor over the rows that occur.
    """
    value: Tensor = _MeanRows.apply(weight, tokens)  # type: ignore[no-untyped-call]
    return value


class _MeanRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tokens) -> Tensor:
        ctx.tokens, ctx.shape = tokens, weight.shape
        ids = torch.from_numpy(tokens.ids).to(weight.device)
        offsets = torch.from_numpy(tokens.offsets[:-1].astype(np.int32)).to(weight.device)
        return embedding_bag(ids, weight, offsets, mode="mean")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        rows, texts, offsets, shares = _transpose(ctx.tokens, ctx.shape[0])
        # The transposed mean is itself a weighted bag: of texts, for each row.
        values = embedding_bag(
            torch.from_numpy(texts).to(upstream.device),
            upstream.contiguous(),
            torch.from_numpy(offsets).to(upstream.device),
            mode="sum",
            per_sample_weights=torch.from_numpy(shares).to(upstream),
        )
        index = torch.from_numpy(rows).to(upstream.device)[None]
        return torch.sparse_coo_tensor(index, values, ctx.shape, is_coalesced=True, check_invariants=False), None


def _transpose(tokens: Tokens, vocabulary: int) -> tuple[np.ndarray[Any, Any], ...]:
    """For each row that occurs: the texts it is in, with its share of each text's mean."""
    seen = np.zeros(vocabulary, bool)
    seen[tokens.ids] = True
    rows = np.flatnonzero(seen)
    rank = np.cumsum(seen, dtype=np.int32) - 1
    lengths = tokens.lengths
    shares = np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)
    shape = (len(lengths), len(rows))
    by_text = csr_array((shares, rank[tokens.ids], tokens.offsets.astype(np.int32)), shape=shape)
    by_row = by_text.tocsc()
    return rows, by_row.indices, by_row.indptr[:-1], by_row.data


class RowAdam(torch.optim.Optimizer):
    """Adam over the rows that a sparse gradient names; all others, and their moments, rest.

    As `torch.optim.SparseAdam` (Kingma & Ba 2015, algorithm 1, applied lazily), but it works through a
    block of rows while they are in the cache, which is several times faster.

    Args:
        params: tensors ``(V, d)`` whose gradients are sparse and coalesced.
        lr: learning rate.
        betas: decay of the running mean and of the running mean square.
        eps: added to the root of the mean square.
    """

    BLOCK = 512

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step every row that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                gradient = weight.grad.coalesce()
                state = self.state[weight]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight))
                state["step"] += 1
                rows = gradient.indices()[0]
                for block in torch.arange(len(rows), device=rows.device).split(self.BLOCK):
                    part = slice(int(block[0]), int(block[-1]) + 1)
                    self._step_rows(weight, rows[part], gradient.values()[part], state, group)

    @staticmethod
    def _step_rows(
        weight: Tensor, rows: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        decay, decay_square = group["betas"]
        mean = state["mean"][rows].lerp_(gradient, 1 - decay)
        square = state["square"][rows].mul_(decay_square).addcmul_(gradient, gradient, value=1 - decay_square)
        state["mean"].index_copy_(0, rows, mean)
        state["square"].index_copy_(0, rows, square)
        size = group["lr"] / (1 - decay ** state["step"])
        root = square.mul_(1 / (1 - decay_square ** state["step"])).sqrt_().add_(group["eps"])
        weight.index_add_(0, rows, mean.div_(root), alpha=-size)
