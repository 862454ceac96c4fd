"""Scores of candidates that only their anchor sees: a table ``(N, k)``, worked out at once, linear in the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from nearfar.execution.derivative import once


class Own(Protocol):
    """A table of scores and its way back to what it was made of."""

    def table(self) -> Tensor:
        """The scores ``(N, k)``, for the caller to overwrite."""

    def pull(self, slopes: Tensor) -> tuple[Tensor, ...]:
        """The gradients of what the scores were made of, from slopes ``(N, k)``; once."""


MakeOwn = Callable[..., Own]
"""Makes a table of anchors ``(N, d)`` and of parts ``(N, k, d)`` of their candidates, without a graph."""


class Given:
    """Scores that are there already."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        (self.scores,) = tensors

    def table(self) -> Tensor:
        return self.scores.clone()

    def pull(self, slopes: Tensor) -> tuple[Tensor, ...]:
        return (slopes,)


class OwnDots:
    """``scale * <x_i, c_ij> - less_ij``, a candidate of all rows at a time: no product of ``(N, k, d)`` is stored."""

    def __init__(self, tensors: Sequence[Tensor], *, scale: float = 1.0, less: Tensor | None = None) -> None:
        self.anchors, *self.parts = tensors
        self.scale, self.less = scale, less

    def table(self) -> Tensor:
        # As products of matrices of one row, which store nothing: vecdot writes all products before it sums them up.
        anchors = self.anchors[:, None]
        dots = [anchors @ own[..., None] for part in self.parts for own in _columns(part)]
        scores = torch.cat(dots, 1).squeeze(2)
        if self.scale != 1.0:
            scores.mul_(self.scale)
        return scores if self.less is None else scores.sub_(self.less.to(scores))

    def pull(self, slopes: Tensor) -> tuple[Tensor, ...]:
        if self.scale != 1.0:
            slopes = slopes * self.scale
        slopes = slopes[..., None]
        own = [own for part in self.parts for own in _columns(part)]
        for_anchors = own[0] * slopes[:, 0]
        for place in range(1, len(own)):
            for_anchors.addcmul_(own[place], slopes[:, place])
        anchors = self.anchors[:, None]
        return for_anchors, *(anchors * slope for slope in _of_parts(slopes, self.parts))


class OwnDistances:
    """``-scale * D^2``, or ``-D`` with `root`; D = 0 has gradient 0."""

    def __init__(self, tensors: Sequence[Tensor], *, scale: float = 1.0, root: bool = False) -> None:
        anchors, *parts = tensors
        self.scale, self.root = scale, root
        self.apart = [anchors[:, None] - part for part in parts]
        lengths = [torch.linalg.vector_norm(apart, dim=-1) for apart in self.apart]
        self.lengths = lengths[0] if len(lengths) == 1 else torch.cat(lengths, 1)

    def table(self) -> Tensor:
        return self.lengths.neg() if self.root else self.lengths.square().mul_(-self.scale)

    def pull(self, slopes: Tensor) -> tuple[Tensor, ...]:
        slopes = (self._over_lengths(slopes) if self.root else slopes * (2 * self.scale))[..., None]
        gradients = [apart.mul_(slope) for apart, slope in zip(self.apart, _of_parts(slopes, self.apart), strict=True)]
        first, *others = (own for gradient in gradients for own in _columns(gradient))
        for_anchors = first.neg()
        for own in others:
            for_anchors.sub_(own)
        return for_anchors, *gradients

    def _over_lengths(self, slopes: Tensor) -> Tensor:
        return (slopes / self.lengths).masked_fill_(self.lengths == 0, 0)


def own_table(make: MakeOwn, tensors: Sequence[Tensor]) -> Tensor:
    """The scores ``(N, k)``, differentiable once."""
    if make is Given:
        return tensors[0]
    scores: Tensor = _Table.apply(make, *tensors)  # type: ignore[no-untyped-call]
    return scores


class _Table(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, make: MakeOwn, *tensors: Tensor) -> Tensor:
        ctx.make = make
        ctx.save_for_backward(*tensors)
        return make(tensors).table()

    @staticmethod
    @once("the loss")
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.make(ctx.saved_tensors).pull(slopes)


def _columns(part: Tensor) -> list[Tensor]:
    """``(N, d)`` for each of ``(N, k, d)``."""
    return [part[:, place] for place in range(part.shape[1])]


def _of_parts(slopes: Tensor, parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """The slopes ``(N, k, 1)`` of each part."""
    return (slopes,) if len(parts) == 1 else slopes.split([part.shape[1] for part in parts], 1)
