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
from torch.nn.functional import embedding_bag

from nearfar.encoders.tokens import Tokens
from nearfar.execution import once


def mean_rows(vectors: Tensor, log_weights: Tensor | None, tokens: Tokens) -> Tensor:
    """The mean of each text's weighted vectors, ``exp(log_weights) * vectors``; 0 for a text without tokens.

    The gradients are coalesced sparse tensors over the rows that occur.

    Args:
        vectors: ``(V, d)``.
        log_weights: ``(V, 1)``, or None for weights of 1.
        tokens: n texts.

    Returns:
        ``(n, d)``.
    """
    value: Tensor = _MeanRows.apply(vectors, log_weights, tokens)  # type: ignore[no-untyped-call]
    return value


class _MeanRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor, log_weights: Tensor | None, tokens: Tokens) -> Tensor:
        ctx.tokens = tokens
        ctx.save_for_backward(vectors, log_weights)
        ids = torch.from_numpy(tokens.ids).to(vectors.device)
        offsets = torch.from_numpy(tokens.offsets[:-1].astype(np.int32)).to(vectors.device)
        ctx.shares = _shares(tokens)
        weights = torch.from_numpy(ctx.shares).to(vectors)
        if log_weights is not None:
            weights = weights * log_weights[:, 0].exp().index_select(0, ids)
        return embedding_bag(ids, vectors, offsets, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once("mean_rows")
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        vectors, log_weights = ctx.saved_tensors
        rows, texts, offsets, shares = (
            torch.from_numpy(a).to(upstream.device) for a in _transpose(ctx.tokens, ctx.shares, vectors)
        )
        # The transposed mean is itself a weighted bag: of texts, for each row.
        pull = embedding_bag(
            texts, upstream.contiguous(), offsets, mode="sum", per_sample_weights=shares.to(upstream.dtype)
        )
        for_vectors = for_weights = None
        if log_weights is not None:
            pull *= log_weights.index_select(0, rows).exp()
        if ctx.needs_input_grad[1]:
            for_weights = torch.einsum("ud,ud->u", pull, vectors.index_select(0, rows))[:, None]
            for_weights = _on_rows(rows, for_weights, log_weights)
        if ctx.needs_input_grad[0]:
            for_vectors = _on_rows(rows, pull, vectors)
        return for_vectors, for_weights, None


def _on_rows(rows: Tensor, values: Tensor, like: Tensor) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], values, like.shape, is_coalesced=True, check_invariants=False)


def _shares(tokens: Tokens) -> np.ndarray[Any, Any]:
    """For each token, its share of its text's mean."""
    return np.repeat((1 / np.maximum(tokens.lengths, 1)).astype(np.float32), tokens.lengths)


def _transpose(tokens: Tokens, shares: np.ndarray[Any, Any], vectors: Tensor) -> tuple[np.ndarray[Any, Any], ...]:
    """The rows that occur, and for each of them the texts it is in with its share of each text's mean."""
    by_text = csr_array((shares, tokens.ids, tokens.offsets.astype(np.int32)), shape=(len(tokens), len(vectors)))
    by_row = by_text.tocsc()
    starts = by_row.indptr[:-1]
    rows = np.flatnonzero(starts != by_row.indptr[1:])
    return rows, by_row.indices, starts[rows], by_row.data


class RowAdam(torch.optim.Optimizer):
    """Adam over the rows that a sparse gradient names; all others, and their moments, rest.

    Kingma & Ba 2015, algorithm 1, applied lazily as in `torch.optim.SparseAdam`, but with one second moment a
    row, the mean over its entries: a row turns as a whole, and memory is passed over half as often.

    Args:
        params: tensors ``(V, d)`` whose gradients are sparse and coalesced, or groups of them.
        lr: learning rate.
        betas: decay of the running mean and of the running mean square.
        eps: added to the root of the mean square.
    """

    def __init__(
        self, params: Any, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step every row that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(weight), square=torch.zeros_like(weight[:, :1]))
                state["step"] += 1
                self._step_rows(weight, *rows_and_values(weight.grad), state, group)

    @staticmethod
    def _step_rows(weight: Tensor, rows: Tensor, slope: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        decay, decay_square = group["betas"]
        length = torch.linalg.vector_norm(slope, dim=1, keepdim=True)
        square = state["square"].index_select(0, rows).mul_(decay_square)
        square.addcmul_(length, length, value=(1 - decay_square) / slope.shape[1])
        state["square"].index_copy_(0, rows, square)
        # Everything but the mean's direction is one number a row, so that memory is passed over once for it.
        size = group["lr"] / (1 - decay ** state["step"])
        root = square.mul_(1 / (1 - decay_square ** state["step"])).sqrt_().add_(group["eps"])
        mean = state["mean"].index_select(0, rows).lerp_(slope, 1 - decay)
        _put_rows(state["mean"], rows, mean)
        # One pass over the rows instead of three: take, change, put back.
        weight.add_(_on_rows(rows, mean.mul_(root.reciprocal_()), weight), alpha=-size)


def _put_rows(table: Tensor, rows: Tensor, values: Tensor) -> None:
    """``table[rows] = values``. torch copies number by number, so it is handed the widest numbers that fit."""
    table = table.detach()
    if table.dtype == torch.float32 and table.is_contiguous() and table.shape[1] % 4 == 0:
        table, values = table.view(torch.complex128), values.view(torch.complex128)
    table.index_copy_(0, rows, values)


def rows_and_values(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows and their values. Autograd forgets that a gradient is coalesced; rising rows prove it."""
    rows = gradient._indices()[0]
    if not bool((rows[1:] > rows[:-1]).all()):
        gradient = gradient.coalesce()
        rows = gradient.indices()[0]
    return rows, gradient._values()
