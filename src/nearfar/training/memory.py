"""Older embeddings as far candidates: a queue, filled by a copy of the encoder that follows slowly (MoCo)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nearfar.data.groups import Ids
from nearfar.encoders import Encoder
from nearfar.encoders.tokens import Tokens
from nearfar.training.sharing import embedded
from nearfar.training.sources import Batch


class Memory:
    """The last texts that passed, embedded by a momentum encoder.

    He et al. 2020, "Momentum Contrast for Unsupervised Visual Representation Learning", eq. 2: the copy's parameters
    become ``m * copy + (1 - m) * encoder`` after each step. As in ESimCSE (Wu et al. 2022) positives come from the
    encoder itself and the copy fills the queue alone. Texts of the batch at hand are left out of what it sees, and
    those of its labels or groups: an older embedding of what is near is no negative.

    Args:
        encoder: the one that learns.
        size: embeddings that are kept.
        momentum: the m above.
    """

    def __init__(self, encoder: Encoder, *, size: int, momentum: float) -> None:
        self.encoder, self.size, self.momentum = encoder, size, momentum
        self.copy = copy.deepcopy(encoder)
        self.embeddings: Tensor | None = None
        self.ids: Ids = np.zeros((0, 2), np.int64)

    def queue(self, batch: Batch) -> Tensor | None:
        """``(q, d)``: what is far from this batch, the newest last; None while there is nothing."""
        if self.embeddings is None:
            return None
        near = np.concatenate([_near(batch, place) for place in range(len(batch.tokens))])
        known = [np.isin(old, new) for old, new in zip(self.ids.T, near.T, strict=True)]
        return self.embeddings[torch.from_numpy(~np.logical_or(*known))]

    @torch.no_grad()
    def update(self, batch: Batch) -> None:
        """Let the copy follow, and take in the batch's positives (texts where there are labels)."""
        for old, new in zip(self.copy.parameters(), self.encoder.parameters(), strict=True):
            old.lerp_(new, 1 - self.momentum)
        place = min(1, len(batch.tokens) - 1)
        tokens, ids = self._newest(batch.tokens[place], _near(batch, place))
        self.copy.model.train()
        newest = embedded(self.copy, tokens)
        known = [] if self.embeddings is None else [self.embeddings]
        self.embeddings = torch.cat([*known, newest])[-self.size :]
        self.ids = np.concatenate([self.ids, ids])[-self.size :]

    def state(self) -> dict[str, Any]:
        """The copy and the queue, for `load`."""
        return {"copy": self.copy.state(), "embeddings": self.embeddings, "ids": self.ids}

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.copy.load(state["copy"])
        embeddings = state["embeddings"]
        self.embeddings = None if embeddings is None else embeddings.to(self.copy.model.device)
        self.ids = state["ids"]

    def _newest(self, tokens: Tokens, ids: Ids) -> tuple[Tokens, Ids]:
        rows = np.arange(max(0, len(ids) - self.size), len(ids))
        return tokens.take(rows), ids[rows]


def _near(batch: Batch, place: int) -> Ids:
    """``(n, 2)``: what makes two texts of a column near: that they are equal, or of one label or group."""
    texts = batch.ids[place]
    if batch.marks is None or batch.kind == "graded" or place > 1:
        return np.stack([texts, texts], axis=1)
    return np.stack([texts, batch.marks], axis=1)
