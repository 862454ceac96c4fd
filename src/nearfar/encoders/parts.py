"""Tensors of which each rank holds a part: whole to be written down, and parts again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def gathered(tree: Any) -> Any:
    """The same with whole tensors in the place of parts; of mappings and lists all that is in them."""
    if isinstance(tree, DTensor):
        return tree.full_tensor()
    if isinstance(tree, Mapping):
        return {name: gathered(value) for name, value in tree.items()}
    return [gathered(value) for value in tree] if isinstance(tree, list) else tree


def as_parts(whole: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor, where `like` is shared out; else the tensor."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def parts_of_moments(state: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's state of whole tensors as that of this rank's parts."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    moments = {
        number: {
            name: as_parts(value, parameters[number])
            if isinstance(value, Tensor) and value.shape == parameters[number].shape
            else value
            for name, value in known.items()
        }
        for number, known in state["state"].items()
    }
    return {**state, "state": moments}
