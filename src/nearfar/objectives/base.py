"""What every objective shares: the call, the reduction, the checks. The equations are elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, Strip
from nearfar.contrasts.checks import is_number
from nearfar.errors import NotFiniteError
from nearfar.execution import Task, Terms, divisor, full_precision, mean_over_rows, total_of_rows, whole_batch
from nearfar.objectives.spaces import Space

Reduction = Literal["mean", "sum", "none"]
Similarity = Literal["cosine", "dot"]

EMBEDDED = ("pairs", "views", "labelled", "triplets", "judged", "sampled", "assigned")
"""Contrasts in which candidates are near or far."""


class Objective(Protocol):
    """``loss = Objective(...); value = loss(contrast)``: a scalar with autograd.

    Attributes:
        reduction: "mean" over what counts, its "sum", or "none": a value for each anchor's row, ``(N,)``, 0 where the
            row is left out.
        equation: the equation in plain characters, for `nearfar objectives`.
        source: the paper.
        contrasts: kinds of contrast the equation is made for.
        by_direction: whether it looks at nothing of an embedding but its direction.
    """

    equation: ClassVar[str]
    source: ClassVar[str]
    contrasts: ClassVar[tuple[str, ...]]

    @property
    def reduction(self) -> Reduction: ...

    @property
    def by_direction(self) -> bool: ...

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor: ...


class RowLoss:
    """An equation whose rows stand alone: the call that runs it over strips.

    A subclass says in which space its scores are (`space`) and what a strip of them contributes (`slopes_`).
    """

    contrasts: ClassVar[tuple[str, ...]] = EMBEDDED
    reduction: Reduction

    @property
    def by_direction(self) -> bool:
        """Whether only the directions of embeddings count: where scores are cosines."""
        return False

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        """The loss of a contrast.

        Args:
            contrast: who is near whom.
            strip_rows: anchors at a time; None: as `nearfar.execution` has it.

        Raises:
            ValueError: the equation is not made for this kind of contrast.
            NotFiniteError: scores, or what becomes of them, are larger than their dtype can say.
        """
        contrast = prepared(self, contrast)
        with full_precision(contrast.anchors):
            return finite_loss(self, self.of_whole(contrast, strip_rows))

    def of_whole(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        """The loss of the whole batch's contrast."""
        return self.over_strips(contrast, strip_rows)

    def over_strips(self, contrast: Contrast, strip_rows: int | None) -> Tensor:
        """The loss in one sweep over the strips."""
        space = self.space(contrast)
        task = Task(self, contrast, space.make_scores, strip_rows)
        if self.reduction == "mean":
            return mean_over_rows(task, space.tensors)
        rows = total_of_rows(task, space.tensors)
        return rows.sum() if self.reduction == "sum" else rows

    def space(self, contrast: Contrast) -> Space:
        """Where the scores come from."""
        raise NotImplementedError

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        """See `nearfar.execution.RowObjective`."""
        raise NotImplementedError


class ByAutograd(RowLoss):
    """An equation that leaves its gradient to autograd over the strip."""

    def terms(self, scores: Tensor, strip: Strip) -> Terms:
        """The rows' terms, differentiable in `scores`, which are -inf at ignored entries."""
        raise NotImplementedError

    def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor | None]:
        terms, (slopes,) = slopes_of(lambda leaf: self.terms(leaf, strip), scores.clone())
        scores.copy_(slopes)
        return terms, None


def slopes_of(equation: Callable[..., Terms], *parts: Tensor) -> tuple[Terms, tuple[Tensor, ...]]:
    """The rows' terms as an equation has them, and the slopes of their sum in each of its parts.

    In inference mode, where torch differentiates nothing and nobody asks for slopes, these are 0.
    """
    if torch.is_inference_mode_enabled():
        return equation(*parts), tuple(map(torch.zeros_like, parts))
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part in parts]
        terms = equation(*leaves)
        slopes = torch.autograd.grad(terms.total.sum(), leaves, materialize_grads=True)
    return Terms(terms.total.detach(), terms.weight.detach()), slopes


def prepared(owner: Objective | RowLoss, contrast: Contrast) -> Contrast:
    """The contrast of the whole batch, of a kind that the objective is made for."""
    if not isinstance(contrast, Contrast):
        raise ValueError(
            f"{type(owner).__name__}: found {type(contrast).__name__}, wanted a contrast (nearfar.pairs …)"
        )
    if contrast.kind not in owner.contrasts:
        wanted = " or ".join(f"nearfar.{kind}" for kind in owner.contrasts)
        raise ValueError(f"{type(owner).__name__}: found a contrast of {contrast.kind}, wanted {wanted}")
    return whole_batch(contrast)


def finite_loss(owner: Objective | RowLoss, value: Tensor) -> Tensor:
    """The loss, or of each row; a NotFiniteError where embeddings, themselves finite, were too large for it."""
    if not value.isfinite().all().item():
        wanted = f"embeddings whose scores {value.dtype} can hold"
        raise NotFiniteError(f"{type(owner).__name__}: found a loss that is NaN or infinite, wanted {wanted}")
    return value


def reduced(terms: Terms, contrast: Contrast, reduction: Reduction) -> Tensor:
    """Rows' terms under autograd as the reduction asks, times the anchors' weights."""
    total, weight = terms.total, terms.weight.to(terms.total.dtype)
    if contrast.weights is not None:
        by = contrast.weights.to(total.dtype)
        total, weight = total * by, weight * by
    if reduction == "none":
        return total
    if reduction == "sum":
        return total.sum()
    return total.sum() / divisor(weight)


def check_positive(owner: object, **values: float) -> None:
    """Raise a ValueError that names the class, the argument and the value unless all are above 0."""
    for name, value in values.items():
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted a number above 0")


def check_from_zero(owner: object, **values: float) -> None:
    """The same with 0 allowed."""
    for name, value in values.items():
        if not (_is_number(value) and value >= 0):
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted a number from 0 up")


def check_finite(owner: object, **values: float) -> None:
    """The same with any number."""
    for name, value in values.items():
        if not _is_number(value):
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted a finite number")


def _is_number(value: Any) -> bool:
    """A number that torch multiplies by: no fraction."""
    return is_number(value) and not isinstance(value, Fraction)


def check_flag(owner: object, **values: bool) -> None:
    """Raise a ValueError unless all are True or False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted True or False")


def check_choice(owner: object, **values: tuple[object, tuple[str, ...]]) -> None:
    """Raise a ValueError that lists the choices unless each value is one of its choices."""
    for name, (value, choices) in values.items():
        if value not in choices:
            wanted = ", ".join(repr(choice) for choice in choices)
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted one of {wanted}")
