"""Gradients between the backward pass and the optimiser: summed over ranks, and shortened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from nearfar.encoders.rows import rows_and_values
from nearfar.execution.ranks import gathered_rows
from nearfar.training.ranks import many
from nearfar.training.sharing import sharing

BUCKET = 2**24
"""Numbers that are summed over the ranks at a time."""


@torch.no_grad()
def sum_over_ranks_(parameters: Sequence[Tensor]) -> None:
    """Give every rank the gradient of the whole batch, of which each has its own rows' part.

    A sum and no mean: the loss is that of the whole batch on every rank. Of a sparse gradient the rows that occur are
    exchanged, and nothing else. Where parameters are shared out, their gradients have been summed already.
    """
    parameters = [parameter for parameter in parameters if not isinstance(parameter, DTensor)]
    if not many():
        return
    with_gradient = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
    sparse = torch.tensor([_is_sparse(parameter.grad) for parameter in parameters], dtype=torch.int32)
    for told in (with_gradient, sparse):
        distributed.all_reduce(told, distributed.ReduceOp.MAX)
    chosen = [parameter for parameter, has in zip(parameters, with_gradient.tolist(), strict=True) if has]
    is_sparse = [bool(one) for one, has in zip(sparse.tolist(), with_gradient.tolist(), strict=True) if has]
    dense: list[Tensor] = []
    for parameter, rows in zip(chosen, is_sparse, strict=True):
        if parameter.grad is None:  # none of this rank's texts had to do with it
            parameter.grad = _nothing(parameter, rows)
        if rows:
            parameter.grad = _sum_of_rows(parameter.grad)
        else:
            dense.append(parameter.grad)
    for bucket in _buckets(dense):
        _sum_(bucket)


@torch.no_grad()
def norm_of(parameters: Sequence[Tensor]) -> float:
    """The norm of all gradients together; of a sparse one the rows that occur, which is the same."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return 0.0
    values = [rows_and_values(gradient)[1] if gradient.is_sparse else _part(gradient) for gradient in gradients]
    norms = [torch.linalg.vector_norm(each, dtype=torch.float32).to(values[0].device) for each in values]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if any(isinstance(gradient, DTensor) for gradient in gradients):  # then all are, and ranks hold different parts
        squared = norm.square().cpu()
        distributed.all_reduce(squared)
        norm = squared.sqrt()
    return float(norm)


@torch.no_grad()
def clip_(parameters: Sequence[Tensor], largest: float) -> float:
    """Shorten all gradients together to a norm of at most `largest`; the norm that they had.

    Pascanu et al. 2013, "On the difficulty of training recurrent neural networks", algorithm 1.
    """
    norm = norm_of(parameters)
    if norm > largest:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(largest / norm)
    return norm


def _part(gradient: Tensor) -> Tensor:
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient


def _is_sparse(gradient: Tensor | None) -> bool:
    return gradient is not None and gradient.is_sparse


def _nothing(parameter: Tensor, sparse: bool) -> Tensor:
    if not sparse:
        return torch.zeros_like(parameter)
    rows = torch.zeros((1, 0), dtype=torch.long, device=parameter.device)
    return torch.sparse_coo_tensor(
        rows, parameter.new_zeros(0, *parameter.shape[1:]), parameter.shape, check_invariants=False
    )


def _sum_of_rows(gradient: Tensor) -> Tensor:
    """The sum over ranks of sparse gradients, coalesced, its rows added up in the order of ranks."""
    rows, values = rows_and_values(gradient)
    with sharing():
        rows, values = gathered_rows(rows)[0], gathered_rows(values)[0]
    return torch.sparse_coo_tensor(rows[None], values, gradient.shape, check_invariants=False).coalesce()


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Runs of gradients of one type, of about `BUCKET` numbers together."""
    held: list[Tensor] = []
    for gradient in gradients:
        alike = held and (held[0].dtype, held[0].device) == (gradient.dtype, gradient.device)
        if held and (not alike or sum(one.numel() for one in held) >= BUCKET):
            yield held
            held = []
        held.append(gradient)
    if held:
        yield held


def _sum_(gradients: Sequence[Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, whole in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        gradient.copy_(whole.view_as(gradient))
