"""From a batch to its contrast: embedded, with all that is near, far and neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.contrasts import Contrast, graded, labelled, pairs, sampled, views
from nearfar.data.groups import Ids, among, duplicate_groups, groups_of_negatives
from nearfar.encoders import Encoder
from nearfar.encoders.base import Change
from nearfar.encoders.tokens import Tokens
from nearfar.training.sharing import embedded
from nearfar.training.sources import Batch

Queue = Callable[[Batch], Tensor | None]
Mix = Callable[[Contrast], Tensor | None]


@dataclass(frozen=True)
class Contrasting:
    """Makes contrasts of batches.

    Attributes:
        encoder: whose embeddings they are.
        any_length: whether the objective looks at directions alone.
        guide_margin: see `Settings`.
        queue: older embeddings that are far from a batch, or None.
        mix: own negatives out of what is far in a contrast, or None.
    """

    encoder: Encoder
    any_length: bool
    guide_margin: float = 0.0
    queue: Queue | None = None
    mix: Mix | None = None

    def __call__(self, batch: Batch, change: Change | None = None) -> Contrast:
        """The contrast, embedded with a graph; `change` is made to the token vectors of the second column."""
        first, *others = self._embed(batch.tokens, change)
        guide = None if batch.guide is None else tuple(map(torch.from_numpy, batch.guide))
        queue = None if self.queue is None else self.queue(batch)
        marks = None if batch.marks is None else torch.from_numpy(batch.marks)
        if batch.kind == "graded":
            assert marks is not None
            return graded(first, _candidates(others), marks)
        if batch.kind == "labelled":
            assert marks is not None
            one = None if guide is None else guide[0]
            return labelled(first, marks, guide=one, guide_margin=self.guide_margin, queue=queue)
        if batch.log_shares is not None:
            return sampled(first, others[0], log_noise_positive=torch.from_numpy(batch.log_shares))
        named = () if batch.marks is None else (batch.marks,)
        ids = duplicate_groups((*batch.ids[:2], *named))
        options: dict[str, Any] = {
            "groups": torch.from_numpy(ids),
            "texts": _texts(batch),
            "guide": guide,
            "guide_margin": self.guide_margin,
            "queue": queue,
        }
        if batch.kind == "views":
            return views(first, others[0], **options)
        negatives = others[1] if len(others) > 1 else None
        make = partial(pairs, first, others[0], negatives, negative_groups=_negative_groups(batch, ids), **options)
        contrast = make()
        own = None if self.mix is None else self.mix(contrast)
        return contrast if own is None else make(own_negatives=own)

    def _embed(self, columns: Sequence[Tokens], change: Change | None) -> list[Tensor]:
        if change is None or len(columns) < 2:
            return self._together(columns)
        first, second, *others = columns
        plain, *rest = self._together([first, *others])
        changed = embedded(self.encoder, second, any_length=self.any_length, change=change)
        return [plain, changed, *rest]

    def _together(self, columns: Sequence[Tokens]) -> list[Tensor]:
        whole = embedded(self.encoder, Tokens.concatenate(columns), any_length=self.any_length)
        return list(torch.split(whole, [len(column) for column in columns]))


def _candidates(columns: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Each row's candidates ``(n, d)``: the only ones, or a positive and k negatives."""
    if len(columns) == 1:
        return columns[0]
    positives, negatives = columns
    return positives, *negatives.view(-1, *positives.shape)


def _texts(batch: Batch) -> tuple[Tensor, Tensor] | None:
    """An anchor must not be pushed from itself where it is another row's positive; of two views groups see to it."""
    anchors, positives = batch.ids[:2]
    if np.array_equal(anchors, positives) or not among(np.sort(anchors), np.sort(positives)).any():
        return None
    return torch.from_numpy(anchors), torch.from_numpy(positives)


def _negative_groups(batch: Batch, groups: Ids) -> Tensor | None:
    """A negative that is another row's text must not push that row."""
    if len(batch.ids) < 3:
        return None
    return torch.from_numpy(groups_of_negatives(batch.ids[2], batch.ids[:2], groups))
