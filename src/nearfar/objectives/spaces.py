"""Spaces: what a score is, cosine, dot product or distance, with the scale and shift that an equation wants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.contrasts import Contrast
from nearfar.execution import Cosines, Distances, Dots, MakeScores, with_columns

Tensors = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Space:
    """Embeddings made ready, and the scores they have there.

    Attributes:
        tensors: anchors ``(N, d)``, shared ``(M, d)`` and own candidates ``(N, k, d)``, with a graph.
        make_scores: makes the scores of these.
    """

    tensors: Tensors
    make_scores: MakeScores


def cosine(contrast: Contrast, scale: float | Tensor = 1.0) -> Space:
    """Cosine times `scale`; a zero vector has cosine 0 to everything, and gradient 0."""
    if isinstance(scale, Tensor):
        return _dots(_each(contrast, unit), contrast, scale)
    return Space(_each(contrast, lambda rows: rows), partial(Cosines, scale=scale))


def dot(contrast: Contrast, scale: float | Tensor = 1.0) -> Space:
    """Dot product times `scale`."""
    return _dots(_each(contrast, lambda rows: rows), contrast, scale)


def squared_distance(contrast: Contrast, scale: float = 1.0) -> Space:
    """-D^2 times `scale`."""
    tensors = _each(contrast, lambda rows: rows)
    return Space(_scaled_alike(tensors, contrast, scale), Distances)


def distance(contrast: Contrast) -> Space:
    """-D."""
    return Space(_each(contrast, lambda rows: rows), partial(Distances, root=True))


def unit_distance(contrast: Contrast) -> Space:
    """-D^2 of the embeddings brought to length 1."""
    return Space(_each(contrast, unit), Distances)


def shifted(space: Space, for_anchors: Tensor | float, for_shared: Tensor | float, for_own: Tensor | float) -> Space:
    """The space of dot products with ``for_anchors[i] * for_shared[j]`` added to each score, likewise for own ones."""
    sides = zip(space.tensors, (for_anchors, for_shared, for_own), strict=True)
    anchors, shared, own = (_with_column(part, column) for part, column in sides)
    return Space((anchors, shared, own), space.make_scores)


def wide(part: Tensor) -> Tensor:
    """In float32 at least, since half precision is summed in float32, and such that autograd may keep it."""
    if part.is_inference() and torch.is_grad_enabled():
        part = part.clone()
    return part.to(torch.promote_types(part.dtype, torch.float32))


def unit(rows: Tensor) -> Tensor:
    """Rows ``(.., d)`` brought to length 1; a zero row stays zero and keeps gradient 0."""
    value: Tensor = _Unit.apply(rows)  # type: ignore[no-untyped-call]
    return value


class _Unit(torch.autograd.Function):
    """rows / |rows| and its gradient (g - u <u, g>) / |rows| in as few passes over memory as that takes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        inverse = length.reciprocal_().masked_fill_(length == torch.inf, 0)
        direction: Tensor = rows * inverse
        ctx.save_for_backward(direction, inverse)
        return direction

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("the loss is differentiable once (found create_graph=True)")
        direction, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(direction, upstream)[..., None]
        gradient: Tensor = torch.addcmul(upstream, direction, along, value=-1) * inverse
        return gradient


def _each(contrast: Contrast, change: Any) -> Tensors:
    """The contrast's embeddings changed, `wide`."""
    anchors = change(wide(contrast.anchors))
    # In views and labelled both sides are one tensor, which is prepared once.
    same = contrast.candidates is contrast.anchors
    shared = anchors if same else change(wide(contrast.candidates))
    if contrast.own is None:
        return anchors, shared, anchors.new_empty(len(anchors), 0, anchors.shape[1])
    return anchors, shared, change(wide(contrast.own))


def _dots(tensors: Tensors, contrast: Contrast, scale: float | Tensor) -> Space:
    if isinstance(scale, float) and scale == 1.0:
        return Space(tensors, Dots)
    if contrast.mirrored:
        return Space(_scaled_alike(tensors, contrast, scale), Dots)
    return Space((tensors[0] * scale, *tensors[1:]), Dots)


def _scaled_alike(tensors: Tensors, contrast: Contrast, scale: float | Tensor) -> Tensors:
    """All sides times the root of `scale`, one tensor staying one."""
    if isinstance(scale, float) and scale == 1.0:
        return tensors
    root = scale**0.5
    anchors = tensors[0] * root
    shared = anchors if tensors[1] is tensors[0] else tensors[1] * root
    return anchors, shared, tensors[2] * root


def _with_column(part: Tensor, column: Tensor | float) -> Tensor:
    if not isinstance(column, Tensor):
        column = part.new_tensor(column)
    return with_columns(part, column.to(part).expand(part.shape[:-1])[..., None])
