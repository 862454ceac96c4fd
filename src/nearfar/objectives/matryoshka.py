"""Matryoshka: the same objective over the first columns of the space, several times over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nearfar.contrasts import Contrast
from nearfar.objectives.base import Objective, Reduction, check_from_zero


class Matryoshka(nn.Module):
    """The weighted sum of an objective over the space cut to each of some widths.

        loss = sum_k weight_k * objective(first dims_k columns)

    (Kusupati et al. 2022, "Matryoshka Representation Learning", eq. 1.) Embeddings can then be cut to any of them.

    Args:
        objective: any objective.
        dims: widths from 1 up, none twice; the whole width is one of them only if it is named.
        weights: one for each width, by default 1.

    Raises:
        ValueError: widths or weights are out of range; when called, a width is larger than the space.
    """

    def __init__(self, objective: Objective, dims: Sequence[int], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if isinstance(objective, type) or not (callable(objective) and hasattr(objective, "contrasts")):
            raise ValueError(f"Matryoshka: objective: found {objective!r}, wanted one, as nearfar.InfoNCELoss()")
        if not isinstance(dims, Sequence) or not dims or not all(map(_whole, dims)) or len(set(dims)) < len(dims):
            raise ValueError(f"Matryoshka: dims: found {dims!r}, wanted different whole numbers from 1 up")
        if weights is not None and (not isinstance(weights, Sequence) or len(weights) != len(dims)):
            raise ValueError(f"Matryoshka: weights: found {weights!r}, wanted {len(dims)} numbers from 0 up")
        check_from_zero(self, **{f"weights: number {place}": weight for place, weight in enumerate(weights or (), 1)})
        self.objective, self.dims = objective, tuple(dims)
        self.weights = (1.0,) * len(self.dims) if weights is None else tuple(weights)

    @property
    def equation(self) -> str:
        """That of the objective."""
        return self.objective.equation

    @property
    def source(self) -> str:
        """That of the objective."""
        return self.objective.source

    @property
    def contrasts(self) -> tuple[str, ...]:
        """Those of the objective."""
        return self.objective.contrasts

    @property
    def by_direction(self) -> bool:
        """That of the objective."""
        return self.objective.by_direction

    @property
    def reduction(self) -> Reduction:
        """That of the objective."""
        return self.objective.reduction

    def forward(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        """The loss of a contrast, see `RowLoss.__call__`."""
        if not isinstance(contrast, Contrast):
            raise ValueError(f"Matryoshka: found {type(contrast).__name__}, wanted a contrast (nearfar.pairs …)")
        width = contrast.anchors.shape[1]
        if max(self.dims) > width:
            raise ValueError(f"Matryoshka: dims: found {max(self.dims)}, wanted at most the space's width, {width}")
        parts = [
            weight * self.objective(contrast if width == cut else contrast.cut(cut), strip_rows=strip_rows)
            for cut, weight in zip(self.dims, self.weights, strict=True)
        ]
        return torch.stack(parts).sum(0)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
