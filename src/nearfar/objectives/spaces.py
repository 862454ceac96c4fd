"""Spaces: what a score is, cosine, dot product or distance, with the scale and shift that an equation wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.contrasts import Contrast
from nearfar.execution import (
    Cosines,
    Distances,
    Dots,
    MakeScores,
    inverse_lengths,
    own_distances,
    own_dots,
    with_columns,
)

Change = Callable[[Tensor], Tensor]
Tensors = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Space:
    """Embeddings made ready, and the scores they have there.

    Attributes:
        tensors: anchors ``(N, d)``, shared candidates ``(M, d)`` and the scores ``(N, k)`` of own ones, with a graph.
        make_scores: makes the scores of these.
    """

    tensors: Tensors
    make_scores: MakeScores


def cosine(contrast: Contrast, scale: float | Tensor = 1.0) -> Space:
    """Cosine times `scale`; a zero vector has cosine 0 to everything, and gradient 0."""

    def own(anchors: Tensor, own: Tensor) -> Tensor:
        return own_dots(unit(anchors), unit(own)) * scale

    if isinstance(scale, Tensor):
        return _dots(contrast, own, scale, unit)
    return _space(contrast, own, partial(Cosines, scale=scale))


def dot(contrast: Contrast, scale: float = 1.0) -> Space:
    """Dot product times `scale`."""
    return _dots(contrast, lambda anchors, own: _times(own_dots(anchors, own), scale), scale)


def squared_distance(contrast: Contrast, scale: float = 1.0) -> Space:
    """-D^2 times `scale`."""
    return _space(
        contrast,
        lambda anchors, own: _times(own_distances(anchors, own), scale),
        Distances,
        lambda rows: _times(rows, scale**0.5),
    )


def distance(contrast: Contrast) -> Space:
    """-D."""
    return _space(contrast, partial(own_distances, root=True), partial(Distances, root=True))


def unit_distance(contrast: Contrast) -> Space:
    """-D^2 of the embeddings brought to length 1."""
    return _space(contrast, lambda anchors, own: own_distances(unit(anchors), unit(own)), Distances, unit)


def shifted(space: Space, for_anchors: Tensor | float, for_shared: Tensor | float, for_own: Tensor | float) -> Space:
    """The space of dot products with ``for_anchors * for_shared[j]`` or ``for_anchors * for_own`` added to a score."""
    anchors, shared, own = space.tensors
    if len(shared):
        anchors, shared = _with_column(anchors, for_anchors), _with_column(shared, for_shared)
    if own.shape[1]:
        own = (own + for_anchors * for_own).to(own.dtype)
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
        inverse = inverse_lengths(rows)
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


def _space(
    contrast: Contrast,
    score: Callable[[Tensor, Tensor], Tensor],
    make_scores: MakeScores,
    change: Change = lambda rows: rows,
) -> Space:
    """How a row's own candidates are scored, and those that all rows see, of embeddings that are changed before."""
    anchors = wide(contrast.anchors)
    own = anchors.new_empty(len(anchors), 0) if contrast.own is None else score(anchors, wide(contrast.own))
    if not len(contrast.candidates):
        nothing = own.detach()[:0]
        return Space((nothing, nothing, own), Dots)
    anchors = change(anchors)
    # In views and labelled both sides are one tensor, which is prepared once.
    same = contrast.candidates is contrast.anchors
    return Space((anchors, anchors if same else change(wide(contrast.candidates)), own), make_scores)


def _dots(
    contrast: Contrast,
    score: Callable[[Tensor, Tensor], Tensor],
    scale: float | Tensor,
    change: Change = lambda rows: rows,
) -> Space:
    if contrast.mirrored:
        return _space(contrast, score, Dots, lambda rows: _times(change(rows), scale**0.5))
    space = _space(contrast, score, Dots, change)
    return Space((_times(space.tensors[0], scale), *space.tensors[1:]), Dots)


def _times(values: Tensor, factor: float | Tensor) -> Tensor:
    return values if isinstance(factor, float) and factor == 1.0 else values * factor


def _with_column(part: Tensor, column: Tensor | float) -> Tensor:
    if not isinstance(column, Tensor):
        column = part.new_tensor(column)
    return with_columns(part, column.to(part).expand(part.shape[:-1])[..., None])
