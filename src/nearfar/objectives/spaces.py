"""Spaces: what a score is, cosine, dot product or distance, with the scale and shift that an equation wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.contrasts import Contrast
from nearfar.execution import (
    Cosines,
    Distances,
    Dots,
    Given,
    MakeOwn,
    MakeScores,
    OwnDistances,
    OwnDots,
    inverse_lengths,
    once,
    own_table,
    with_columns,
)

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Space:
    """Embeddings made ready, and the scores they have there.

    Attributes:
        anchors: ``(N, d)``, with a graph.
        shared: ``(M, d)`` candidates that all see, with a graph.
        own: what the table of the scores of own candidates is made of, with a graph.
        make: makes scores of these, given
        make_own: makes that table.
    """

    anchors: Tensor
    shared: Tensor
    own: tuple[Tensor, ...]
    make: Callable[..., Any]
    make_own: MakeOwn

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What `make_scores` wants."""
        return self.anchors, self.shared, *self.own

    @property
    def make_scores(self) -> MakeScores:
        """Makes the scores of the tensors."""
        return partial(self.make, own=self.make_own)


def cosine(contrast: Contrast, scale: float | Tensor = 1.0) -> Space:
    """Cosine times `scale`; a zero vector has cosine 0 to everything, and gradient 0."""
    if isinstance(scale, Tensor):
        return _dots(contrast, scale, unit)
    return _space(contrast, partial(Cosines, scale=scale), partial(OwnDots, scale=scale), of_own=unit)


def dot(contrast: Contrast, scale: float = 1.0, *, less: Tensor | None = None) -> Space:
    """Dot product times `scale`, those of own candidates less numbers ``(N, k)``."""
    space = _dots(contrast, scale)
    return space if less is None else replace(space, make_own=partial(space.make_own, less=less))


def squared_distance(contrast: Contrast, scale: float = 1.0) -> Space:
    """-D^2 times `scale`."""
    return _space(contrast, Distances, partial(OwnDistances, scale=scale), lambda rows: _times(rows, scale**0.5))


def distance(contrast: Contrast) -> Space:
    """-D."""
    return _space(contrast, partial(Distances, root=True), partial(OwnDistances, root=True))


def unit_distance(contrast: Contrast) -> Space:
    """-D^2 of the embeddings brought to length 1."""
    return _space(contrast, Distances, OwnDistances, unit, unit)


def shifted(space: Space, for_anchors: Tensor | float, for_shared: Tensor | float, for_own: Tensor | float) -> Space:
    """The space of dot products with ``for_anchors * for_shared[j]`` or ``for_anchors * for_own`` added to a score."""
    anchors, shared, own = space.anchors, space.shared, own_table(space.make_own, space.own)
    if len(shared):
        anchors, shared = _with_column(anchors, for_anchors), _with_column(shared, for_shared)
    if own.shape[1]:
        own = (own + for_anchors * for_own).to(own.dtype)
    return Space(anchors, shared, (own,), space.make, Given)


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
    @once("the loss")
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        direction, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(direction, upstream)[..., None]
        gradient: Tensor = torch.addcmul(upstream, direction, along, value=-1) * inverse
        return gradient


def _same(rows: Tensor) -> Tensor:
    return rows


def _space(
    contrast: Contrast, make: Callable[..., Any], make_own: MakeOwn, change: Change = _same, of_own: Change = _same
) -> Space:
    """Candidates that all rows see, and a row's own, each of embeddings that are changed before."""
    anchors = wide(contrast.anchors)
    own: tuple[Tensor, ...] = (anchors.new_empty(len(anchors), 0),)
    if contrast.own is None:
        make_own = Given
    else:
        own = (of_own(anchors), *(of_own(wide(part)) for part in contrast.own))
    if not len(contrast.candidates):
        nothing = anchors.detach()[:0]
        return Space(nothing, nothing, own, Dots, make_own)
    anchors = change(anchors)
    # In views and labelled both sides are one tensor, which is prepared once.
    same = contrast.candidates is contrast.anchors
    return Space(anchors, anchors if same else change(wide(contrast.candidates)), own, make, make_own)


def _dots(contrast: Contrast, scale: float | Tensor, change: Change = _same) -> Space:
    """Dot products of changed embeddings, times a number that may be learnt."""
    if contrast.mirrored:
        return _space(contrast, Dots, OwnDots, lambda rows: _times(change(rows), scale**0.5))
    if isinstance(scale, float):
        space = _space(contrast, Dots, partial(OwnDots, scale=scale), change, change)
        return replace(space, anchors=_times(space.anchors, scale))
    space = _space(contrast, Dots, OwnDots, change, change)
    own = own_table(space.make_own, space.own) * scale
    return replace(space, anchors=space.anchors * scale, own=(own,), make_own=Given)


def _times(values: Tensor, factor: float | Tensor) -> Tensor:
    return values if isinstance(factor, float) and factor == 1.0 else values * factor


def _with_column(part: Tensor, column: Tensor | float) -> Tensor:
    if not isinstance(column, Tensor):
        column = part.new_tensor(column)
    return with_columns(part, column.to(part).expand(part.shape[:-1])[..., None])
