"""Scores of candidates that only their anchor sees: a table ``(N, k)``, worked out at once, linear in the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def own_dots(anchors: Tensor, own: Tensor) -> Tensor:
    """``<x_i, c_ij>`` of anchors ``(N, d)`` and own candidates ``(N, k, d)``."""
    scores: Tensor = _Dots.apply(anchors, own)  # type: ignore[no-untyped-call]
    return scores


def own_distances(anchors: Tensor, own: Tensor, *, root: bool = False) -> Tensor:
    """``-D^2``, or ``-D`` with `root`; D = 0 has gradient 0."""
    scores: Tensor = _Distances.apply(anchors, own, root)  # type: ignore[no-untyped-call]
    return scores


class _Dots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, own: Tensor) -> Tensor:
        ctx.save_for_backward(anchors, own)
        scores: Tensor = torch.linalg.vecdot(anchors[:, None], own)
        return scores

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor]:
        anchors, own = ctx.saved_tensors
        return torch.einsum("nk,nkd->nd", slopes, own), slopes[..., None] * anchors[:, None]


class _Distances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, anchors: Tensor, own: Tensor, root: bool) -> Tensor:
        apart = anchors[:, None] - own
        distances: Tensor = torch.linalg.vector_norm(apart, dim=-1)
        ctx.save_for_backward(apart, distances if root else None)
        return distances.neg_() if root else distances.square_().neg_()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        apart, scores = ctx.saved_tensors
        slopes = 2 * slopes if scores is None else (slopes / -scores).masked_fill_(scores == 0, 0)
        return torch.einsum("nk,nkd->nd", slopes, apart).neg_(), slopes[..., None] * apart, None
