"""The checks of what a contrast is made from: each mistake has a message that names the argument."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from nearfar.errors import NotFiniteError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NUMBERS = (*FLOATS, torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""What sums, products and comparisons are there for: not 8-bit floats, not wider unsigned integers."""


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
    check_tensor(name, value, wanted)
    if value.dim() != 2 or (rows is not None and len(value) != rows):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted {wanted}")
    if value.shape[1] == 0 or (len(value) == 0 and not empty):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted at least one row and one column")
    if value.dtype not in FLOATS:
        raise ValueError(f"{name}: found dtype {value.dtype}, wanted a floating-point tensor of 16 bits or more")
    if like is not None and value.shape[1] != like.shape[-1]:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted width {like.shape[-1]}")
    if like is not None and (value.dtype, value.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name}: found {value.dtype} on {value.device}, wanted {like.dtype} on {like.device} as the anchors"
        )
    if not _all_finite(value):
        bad = int((~torch.isfinite(value)).any(dim=1).nonzero()[0])
        raise NotFiniteError(f"{name}: found NaN or infinity, first in row {bad}, wanted finite numbers")


def check_own(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Candidates of each anchor's own, ``(N, d)`` or ``(N, k, d)``, as ``(N, k, d)``."""
    rows, width = like.shape
    check_tensor(name, value, f"({rows}, {width}) or ({rows}, k, {width})")
    if value.dim() == 3:
        if value.shape[0] != rows or value.shape[2] != width or value.shape[1] == 0:
            raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted ({rows}, k, {width})")
        check_embeddings(name, value.flatten(0, 1), like=like)
        return value
    check_embeddings(name, value, like=like, rows=rows)
    return value[:, None]


def flat(name: str, value: Tensor, like: Tensor) -> Tensor:
    """Candidates that all anchors see, ``(K, d)`` or k for each anchor ``(N, k, d)``, as ``(K, d)``."""
    rows, width = like.shape
    check_tensor(name, value, f"(K, {width}) or ({rows}, k, {width})")
    if value.dim() == 3:
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
    parts = [part for part in parts if len(part)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def check_ids(name: str, ids: Tensor, rows: int, like: Tensor) -> Tensor:
    """Integer ids, ``(rows,)``, as int64 on the device of `like`."""
    check_shape(name, ids, (rows,))
    if ids.is_floating_point() or ids.is_complex():
        raise ValueError(f"{name}: found dtype {ids.dtype}, wanted integer ids")
    return ids.to(like.device, torch.int64)


def check_texts(texts: Sequence[Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
    """Ids of two columns of texts, ``(rows,)`` each."""
    if isinstance(texts, Tensor) or not isinstance(texts, Sequence) or len(texts) != 2:
        found = f"{len(texts)} parts" if isinstance(texts, Sequence) else type(texts).__name__
        raise ValueError(f"texts: found {found}, wanted ids of the first and of the second text of each row")
    first, second = (check_ids("texts", ids, len(like), like) for ids in texts)
    return first, second


def check_numbers(name: str, value: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Finite real numbers of that shape, on the device of `like`, without a gradient."""
    check_shape(name, value, shape)
    if value.dtype not in NUMBERS:
        raise ValueError(f"{name}: found dtype {value.dtype}, wanted real numbers")
    if not _all_finite(value):
        raise ValueError(f"{name}: found NaN or infinity, wanted finite numbers")
    return value.detach().to(like.device)


def _all_finite(value: Tensor) -> bool:
    # A sum is NaN or infinite where an entry is; only then is the slower question asked.
    return isfinite(value.detach().sum(dtype=torch.float32).item()) or bool(torch.isfinite(value).all())


def check_weights(weights: Tensor | None, rows: int, like: Tensor) -> Tensor | None:
    """Finite numbers from 0 up, ``(rows,)``, or None."""
    if weights is None:
        return None
    numbers = check_numbers("weights", weights, (rows,), like)
    if (numbers < 0).any():
        raise ValueError(f"weights: found {numbers.min().item():g}, wanted numbers from 0 up")
    return numbers


def check_margin(name: str, value: float) -> None:
    """Raise a ValueError unless `value` is a finite number."""
    if not is_number(value):
        raise ValueError(f"{name}: found {value!r}, wanted a finite number")


def is_number(value: Any) -> bool:
    """Whether it is a finite number, not beyond a float."""
    plain = isinstance(value, Real) and not isinstance(value, bool)
    return plain and bool(-sys.float_info.max <= value <= sys.float_info.max)


def check_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise a ValueError unless `value` is a tensor of that shape, its numbers laid out one after another."""
    check_tensor(name, value, str(shape))
    if tuple(value.shape) != shape:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted {shape}")


def check_tensor(name: str, value: Tensor, shape: str) -> None:
    """Raise a ValueError unless `value` is a tensor whose numbers are there, one after another."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found {type(value).__name__}, wanted a tensor of shape {shape}")
    if value.is_meta:
        raise ValueError(f"{name}: found a tensor on meta, wanted one with data")
    if value.is_nested or value.layout != torch.strided:
        kind = "nested" if value.is_nested else value.layout
        raise ValueError(f"{name}: found a {kind} tensor, wanted a dense one of shape {shape}")
