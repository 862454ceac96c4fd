"""What a contrast is: anchors, candidates, and a relation that answers for a run of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

Index = tuple[Tensor, Tensor]
"""Row and column numbers of some entries of a strip: two int64 vectors of equal length."""


@dataclass(frozen=True)
class Strip:
    """The relation of a run of rows: which entries are near and which are ignored; all others are far.

    A row's columns are its own candidates first, then those that all rows share.
    """

    near: Index
    ignored: Index


Relation = Callable[[slice], Strip]
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a contrast was made, so that it can be made again from changed parts.

    Attributes:
        make: the constructor.
        embeddings: its arguments that lie in the space, by name.
        others: its other arguments; those that are tensors, or tuples of tensors, go by rows too.
        replicated: names of arguments that are the same on every rank.
    """

    make: Callable[..., Contrast]
    embeddings: Mapping[str, Tensor | None]
    others: Mapping[str, Any] = field(default_factory=dict)
    replicated: frozenset[str] = frozenset()

    def again(
        self, embedding: Change, other: Change = lambda part: part, but: frozenset[str] = frozenset()
    ) -> Contrast:
        """The contrast of the parts changed, but for those named."""
        changes = [(self.embeddings, embedding), (self.others, other)]
        parts = {
            name: part if name in but else _changed(part, change)
            for named, change in changes
            for name, part in named.items()
        }
        return self.make(**parts)


def _changed(part: Any, change: Change) -> Any:
    if isinstance(part, tuple):
        return tuple(change(each) for each in part)
    return change(part) if isinstance(part, Tensor) else part


@dataclass(frozen=True)
class Contrast:
    """Anchors against candidates. Made by the constructors of `nearfar.contrasts`.

    Attributes:
        anchors: ``(N, d)``.
        candidates: ``(M, d)``, seen by every anchor; M may be 0 where there are `own` ones.
        relation: maps a run of rows to its `Strip`.
        kind: the constructor's name, for messages and for objectives that are bound to some.
        recipe: how it was made.
        own: ``(N, k, d)`` or None: candidates that only their anchor sees.
        weights: ``(N,)`` or None: how much each anchor's row counts in the mean.
        transpose: makes the contrast from the candidates' side, every positive anchored in turn; None where both sides
            are the same items, so that it would be this contrast again, or where there is no other side.
        mirrored: the anchors are the candidates, and j is to i what i is to j.
        paired: anchors ``0..N-1`` and the first N candidates are rows of one table, near where the
            numbers are equal, and what is ignored is ignored from both sides.
        near_count: how many entries are near; None: at most one a row.
        log_noise: log-probabilities of the noise distribution, ``(N, k)`` for own and ``(M,)`` for shared
            candidates, without the factor of how many are drawn; or None.
        scores: ``(N, k)`` graded nearness of own candidates, or None.
    """

    anchors: Tensor
    candidates: Tensor
    relation: Relation
    kind: str
    recipe: Recipe
    own: Tensor | None = None
    weights: Tensor | None = None
    transpose: Callable[[], Contrast] | None = None
    mirrored: bool = False
    paired: bool = False
    near_count: int | None = None
    log_noise: tuple[Tensor, Tensor] | None = None
    scores: Tensor | None = None

    def __len__(self) -> int:
        return len(self.anchors)

    @property
    def own_count(self) -> int:
        """Candidates that only their anchor sees."""
        return 0 if self.own is None else self.own.shape[1]

    @property
    def columns(self) -> int:
        """Candidates that a row sees."""
        return self.own_count + len(self.candidates)

    @property
    def near_total(self) -> int:
        """How many entries are near, at most."""
        return len(self) if self.near_count is None else self.near_count

    def cut(self, width: int) -> Contrast:
        """The contrast of the first `width` columns of the space."""
        return self.recipe.again(embedding=lambda part: part[..., :width])


def nothing(like: Tensor) -> Index:
    """No entry."""
    empty = torch.empty(0, dtype=torch.long, device=like.device)
    return empty, empty


def join(*indices: Index) -> Index:
    """The entries of all."""
    return torch.cat([index[0] for index in indices]), torch.cat([index[1] for index in indices])
