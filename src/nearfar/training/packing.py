"""State as JSON and tensors: dicts and lists go into JSON, tensors and arrays beside it, and nothing is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

TENSOR, ARRAY = "$tensor", "$array"


def pack(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """What JSON holds of a state, and the tensors that it names.

    Args:
        state: dicts with str keys, lists, tuples (which become lists), tensors, arrays, and what JSON knows.
    """
    tensors: dict[str, Tensor] = {}
    return _packed(state, "state", tensors), tensors


def unpack(record: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The state that `pack` took apart; its tensors are of memory of their own."""
    if isinstance(record, list):
        return [unpack(one, tensors) for one in record]
    if not isinstance(record, dict):
        return record
    if TENSOR in record:
        return tensors[record[TENSOR]].clone()  # at an address like any other tensor's, not at one inside a file
    if ARRAY in record:
        return tensors[record[ARRAY]].numpy().copy()
    return {name: unpack(one, tensors) for name, one in record.items()}


def _packed(state: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(state, Tensor):
        tensors[name] = _alone(state.detach(), tensors)
        return {TENSOR: name}
    if isinstance(state, np.ndarray):
        tensors[name] = torch.from_numpy(np.ascontiguousarray(state))
        return {ARRAY: name}
    if isinstance(state, Mapping):
        return {key: _packed(value, f"{name}/{key}", tensors) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_packed(value, f"{name}/{place}", tensors) for place, value in enumerate(state)]
    return state


def _alone(tensor: Tensor, others: Mapping[str, Tensor]) -> Tensor:
    """The tensor as safetensors takes it: contiguous, and in memory that none of the others shares."""
    tensor, place = tensor.contiguous(), tensor.untyped_storage().data_ptr()
    shared = any(place == other.untyped_storage().data_ptr() for other in others.values())
    return tensor.clone() if shared else tensor
