"""What all gradients written by hand share: there is no second derivative, and products are exact."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Backward = Callable[..., Result]


def once(what: str) -> Callable[[Backward[Result]], Backward[Result]]:
    """Decorates the backward of a ``torch.autograd.Function`` whose gradient has none itself.

    It raises a RuntimeError under ``create_graph=True``, since a number without a graph would make the second
    derivative silently wrong, and runs outside autocast, as the forward pass did.

    Args:
        what: is differentiable once, for the message.
    """

    def decorate(backward: Backward[Result]) -> Backward[Result]:
        @wraps(backward)
        def first_derivative(ctx: Any, *upstream: Tensor | None) -> Result:
            if torch.is_grad_enabled():
                raise RuntimeError(f"{what} is differentiable once (found create_graph=True)")
            like = next((part for part in upstream if part is not None), None)
            with nullcontext() if like is None else full_precision(like):
                return backward(ctx, *upstream)

        return first_derivative

    return decorate


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """A block in which torch does not make products less exact by itself, on the device of `like`."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
