"""Rows of tokenised texts: how long each is, which are equal, and some of them as a batch of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

TEXTUAL = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids", "offsets"})
"""Tensors that follow from the text alone: rows of equal ids are equal in all of them."""


@dataclass(frozen=True)
class Padded:
    """Texts padded to one width, as a transformer takes them.

    Attributes:
        features: tensors of n rows, ``attention_mask`` ``(n, width)`` among them; whatever is no tensor belongs to
            all rows.
    """

    features: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.features["attention_mask"])

    @property
    def lengths(self) -> Tensor:
        """``(n,)``: columns up to a row's last token; padding on the left counts, since positions may hang on it."""
        mask = self.features["attention_mask"] != 0
        last: Tensor = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).amax(dim=1)
        return last.clamp(min=1)

    def take(self, rows: Tensor) -> dict[str, Any]:
        """Features of these rows, without the columns that are padding in all of them."""
        full = self.features["attention_mask"].shape[1]
        width = int(self.lengths[rows].max())
        taken = dict(self.features)
        for name, value in self.features.items():
            if isinstance(value, Tensor):
                wide = value.dim() > 1 and value.shape[1] == full
                taken[name] = value[rows, :width] if wide else value[rows]
        return taken

    def keys(self) -> list[bytes] | None:
        """A row's ids without padding, equal for equal texts; None where the ids do not say it all."""
        if "input_ids" not in self.features or not _textual(self.features):
            return None
        mask = self.features["attention_mask"] != 0
        return _runs(self.features["input_ids"][mask], mask.sum(dim=1).cumsum(0).tolist())


@dataclass(frozen=True)
class Bags:
    """Texts one after another, as a static embedding takes them.

    Attributes:
        features: ``input_ids`` ``(total,)`` and ``offsets`` ``(n,)``, where each row starts.
    """

    features: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.features["offsets"])

    @property
    def lengths(self) -> Tensor:
        """``(n,)``: how many tokens each row has."""
        offsets = self.features["offsets"]
        return torch.diff(offsets, append=offsets.new_tensor([len(self.features["input_ids"])]))

    def take(self, rows: Tensor) -> dict[str, Any]:
        """Features of these rows."""
        lengths = self.lengths[rows]
        offsets = lengths.cumsum(0) - lengths
        # Each flat position is its row's start plus its place in the row.
        places = torch.arange(int(lengths.sum()), device=offsets.device)
        places += (self.features["offsets"][rows] - offsets).repeat_interleave(lengths)
        return {**self.features, "input_ids": self.features["input_ids"][places], "offsets": offsets}

    def keys(self) -> list[bytes] | None:
        """A row's ids, equal for equal texts; None where the ids do not say it all."""
        if not _textual(self.features):
            return None
        return _runs(self.features["input_ids"], self.lengths.cumsum(0).tolist())


def rows_of(features: Mapping[str, Any]) -> Padded | Bags:
    """Tokenised texts by rows.

    Args:
        features: what a model's ``preprocess`` (or ``tokenize``) returns.

    Raises:
        ValueError: neither padded rows nor bags of ids, no row, or a tensor of another number of rows.
    """
    found = ", ".join(
        f"{name} {tuple(value.shape)}" if isinstance(value, Tensor) else name for name, value in features.items()
    )
    tensors = {name: value for name, value in features.items() if isinstance(value, Tensor)}
    if "offsets" in tensors and "input_ids" in tensors:
        rows: Padded | Bags = Bags(features)
        whole = {"offsets"}
    elif "attention_mask" in tensors and tensors["attention_mask"].dim() == 2:
        rows = Padded(features)
        whole = set(tensors)
    else:
        raise ValueError(
            f"features: found {found or 'nothing'}, wanted attention_mask (n, width), or input_ids and offsets"
        )
    uneven = [name for name in whole if tensors[name].dim() == 0 or len(tensors[name]) != len(rows)]
    if uneven or not len(rows):
        raise ValueError(f"features: found {found}, wanted tensors of equally many rows, at least one")
    return rows


def _textual(features: Mapping[str, Any]) -> bool:
    return all(name in TEXTUAL for name, value in features.items() if isinstance(value, Tensor))


def _runs(ids: Tensor, ends: list[int]) -> list[bytes]:
    flat = ids.cpu().numpy()
    return [flat[start:end].tobytes() for start, end in pairwise([0, *ends])]
