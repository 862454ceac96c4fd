"""Prototypes: items against the centres of clusters or classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from nearfar.contrasts import Contrast, assigned
from nearfar.execution import full_precision
from nearfar.objectives.base import Reduction, check_choice, check_positive, finite_loss, prepared
from nearfar.objectives.softmax import InfoNCELoss
from nearfar.objectives.spaces import unit, wide


@dataclass(frozen=True, kw_only=True)
class PrototypeLoss:
    """Prototypes: tell an item's own centre from the others by a softmax over cosines.

        loss_i = -log( exp(cos(x_i, c_own)/t) / sum_k exp(cos(x_i, c_k)/t) )

    (Li et al. 2021, "Prototypical Contrastive Learning", eq. 11 without its instance term and with one concentration
    for all; Caron et al. 2020, SwAV, eq. 2 with hard codes.) Over `nearfar.assigned` the centres are given; over
    `nearfar.labelled` they are the means of the batch's classes (Snell et al. 2017), the item's own part included;
    whatever else is far or ignored there, by a queue or a guide, says nothing about classes and is left aside.

    Args:
        temperature: divides the cosines.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: an argument is out of range.
    """

    temperature: float = 0.1
    reduction: Reduction = "mean"

    equation: ClassVar[str] = "-log( exp(cos(x, c_own)/t) / sum_k exp(cos(x, c_k)/t) )"
    source: ClassVar[str] = "Li et al. 2021"
    contrasts: ClassVar[tuple[str, ...]] = ("assigned", "labelled")
    by_direction: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, temperature=self.temperature)
        check_choice(self, reduction=(self.reduction, get_args(Reduction)))

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        """The loss of a contrast, see `RowLoss.__call__`."""
        contrast = prepared(self, contrast)
        if contrast.kind == "labelled":
            contrast = _to_class_means(contrast)
        loss = InfoNCELoss(temperature=self.temperature, reduction=self.reduction)
        with full_precision(contrast.anchors):
            return finite_loss(self, loss.of_whole(contrast, strip_rows))


def _to_class_means(contrast: Contrast) -> Contrast:
    labels = contrast.recipe.others["labels"].to(contrast.anchors.device)
    _, own, sizes = labels.unique(return_inverse=True, return_counts=True)
    items = unit(wide(contrast.anchors))
    sums = items.new_zeros(len(sizes), items.shape[1]).index_add(0, own, items)
    centres = sums / sizes[:, None]
    # Members that cancel leave rounding, whose direction means nothing and whose gradient is its inverse.
    cancelled = torch.linalg.vector_norm(centres.detach(), dim=1) < 8 * torch.finfo(centres.dtype).eps
    return assigned(items, centres.masked_fill(cancelled[:, None], 0), own, weights=contrast.weights)
