"""What every objective shares: the call, the reduction, the checks. The equations are elsewhere."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

from torch import Tensor

from nearfar.contrasts import Contrast

Reduction = Literal["mean", "sum", "none"]
Similarity = Literal["cosine", "dot"]


class Objective(Protocol):
    """``loss = Objective(...); value = loss(contrast)``: a scalar with autograd.

    Attributes:
        reduction: "mean" over the rows that count, their "sum", or "none": a value for each row,
            ``(N,)``, 0 where the row is left out.
        equation: the equation in plain characters, for `nearfar objectives`.
        source: the paper.
        contrasts: kinds of contrast the equation is made for; empty: any.
    """

    equation: ClassVar[str]
    source: ClassVar[str]
    contrasts: ClassVar[tuple[str, ...]]

    @property
    def reduction(self) -> Reduction: ...

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor: ...


def check_positive(owner: object, **values: float) -> None:
    """Raise a ValueError that names the class, the argument and the value unless all are above 0."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted a number above 0")


def check_choice(owner: object, name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise a ValueError that lists the choices unless `value` is one of them."""
    if value not in choices:
        wanted = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{type(owner).__name__}: {name}: found {value!r}, wanted one of {wanted}")
