"""The checks of what a contrast is made from: each mistake has a message that names the argument."""

from __future__ import annotations

import torch
from torch import Tensor


def check_embeddings(
    name: str, value: Tensor, *, like: Tensor | None = None, rows: int | None = None, empty: bool = False
) -> None:
    """Raise a ValueError unless `value` is ``(n, d)``, floating-point and finite.

    Args:
        name: of the argument.
        value: what was given.
        like: the embeddings whose width, dtype and device are wanted.
        rows: how many rows are wanted; None: any number.
        empty: whether no row at all is fine.
    """
    width = "d" if like is None else like.shape[-1]
    wanted = f"({'n' if rows is None else rows}, {width})"
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found {type(value).__name__}, wanted a tensor of shape {wanted}")
    if value.dim() != 2 or (rows is not None and len(value) != rows):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted {wanted}")
    check_device(name, value)
    if value.shape[1] == 0 or (len(value) == 0 and not empty):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted at least one row and one column")
    if not value.is_floating_point():
        raise ValueError(f"{name}: found dtype {value.dtype}, wanted a floating-point tensor")
    if like is not None and value.shape[1] != like.shape[-1]:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted width {like.shape[-1]}")
    if like is not None and (value.dtype, value.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name}: found {value.dtype} on {value.device}, wanted {like.dtype} on {like.device} as the anchors"
        )
    # A sum is NaN or infinite where an entry is; only then is the slower question asked.
    if not torch.isfinite(value.detach().sum(dtype=torch.float32)) and not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}: found NaN or infinity, first in row {bad}, wanted finite numbers")


def check_own(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Candidates of each anchor's own, ``(N, d)`` or ``(N, k, d)``, as ``(N, k, d)``."""
    rows, width = like.shape
    if isinstance(value, Tensor) and value.dim() == 3:
        if value.shape[0] != rows or value.shape[2] != width or value.shape[1] == 0:
            raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted ({rows}, k, {width})")
        check_embeddings(name, value.flatten(0, 1), like=like)
        return value
    check_embeddings(name, value, like=like, rows=rows)
    return value[:, None]


def flat(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Candidates that all anchors see, ``(K, d)`` or k for each anchor ``(N, k, d)``, as ``(K, d)``."""
    rows, width = like.shape
    if isinstance(value, Tensor) and value.dim() == 3:
        if value.shape[::2] != (rows, width):
            raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted ({rows}, k, {width})")
        value = value.flatten(0, 1)
    check_embeddings(name, value, like=like, empty=True)
    return value


def with_queue(parts: list[Tensor], queue: Tensor | None) -> Tensor:
    """All shared candidates, the queue last and without a gradient."""
    if queue is not None:
        check_embeddings("queue", queue, like=parts[0], empty=True)
        parts = [*parts, queue.detach()]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def check_ids(name: str, ids: Tensor, rows: int, like: Tensor) -> Tensor:
    """Integer ids, ``(rows,)``, on the device of `like`."""
    check_shape(name, ids, (rows,))
    check_device(name, ids)
    if ids.is_floating_point() or ids.is_complex():
        raise ValueError(f"{name}: found dtype {ids.dtype}, wanted integer ids")
    return ids.to(like.device)


def check_numbers(name: str, value: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Finite real numbers of that shape, on the device of `like`, without a gradient."""
    check_shape(name, value, shape)
    check_device(name, value)
    if value.is_complex() or not torch.isfinite(value).all():
        raise ValueError(f"{name}: found {value.dtype} with NaN or infinity, wanted finite numbers")
    return value.detach().to(like.device)


def check_weights(weights: Tensor | None, rows: int, like: Tensor) -> Tensor | None:
    """Finite numbers from 0 up, ``(rows,)``, or None."""
    if weights is None:
        return None
    check_shape("weights", weights, (rows,))
    check_device("weights", weights)
    if weights.is_complex() or not torch.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"weights: found {weights.dtype} with NaN, infinity or below 0, wanted finite numbers from 0 up"
        )
    return weights.detach().to(like.device)


def check_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless `value` is a tensor of that shape."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found {type(value).__name__}, wanted a tensor of shape {shape}")
    if tuple(value.shape) != shape:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted {shape}")


def check_device(name: str, value: Tensor) -> None:
    """Raise a ValueError where there is no data."""
    if value.is_meta:
        raise ValueError(f"{name}: found a tensor on meta, wanted one with data")
