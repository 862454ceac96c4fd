"""What a contrast is: anchors, candidates, and a relation that answers for a run of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

Index = tuple[Tensor, Tensor]
"""Row and column numbers of some entries of a strip: two int64 vectors of equal length."""


@dataclass(frozen=True)
class Places:
    """Where the near candidates of some rows are, equally many places for each.

    Attributes:
        columns: ``(r, k)`` int64.
        real: ``(r, k)`` booleans, or None: all are. What is not real fills up a row that has fewer, and names a column
            of it that is not near.
    """

    columns: Tensor
    real: Tensor | None = None

    @cached_property
    def count(self) -> Tensor:
        """``(r,)``: near candidates of each row."""
        rows, width = self.columns.shape
        return self.columns.new_full((rows,), width) if self.real is None else self.real.sum(1)

    @cached_property
    def unreal(self) -> Tensor:
        """``(r, k)``: what fills up, where there is any."""
        assert self.real is not None
        return ~self.real

    def of(self, scores: Tensor) -> Tensor:
        """Their scores ``(r, k)``, 0 where not real."""
        found = scores.gather(1, self.columns)
        return found if self.real is None else found.masked_fill(self.unreal, 0)

    def take_(self, scores: Tensor) -> Tensor:
        """Their scores ``(r, k)``, 0 where not real; the strip has -inf in their place from now on."""
        found = scores.gather(1, self.columns)
        if self.real is None:
            scores.scatter_(1, self.columns, -torch.inf)
            return found
        scores.scatter_(1, self.columns, found.masked_fill(self.real, -torch.inf))
        return found.masked_fill_(self.unreal, 0)

    def put_(self, scores: Tensor, values: Tensor) -> None:
        """Write their values ``(r, k)`` into the strip."""
        if self.real is not None:
            values = torch.where(self.real, values, scores.gather(1, self.columns))
        scores.scatter_(1, self.columns, values)

    def listed(self) -> Index:
        """Them one by one."""
        real = torch.ones_like(self.columns, dtype=torch.bool) if self.real is None else self.real
        row, place = real.nonzero(as_tuple=True)
        return row, self.columns[row, place]


@dataclass(frozen=True)
class Strip:
    """The relation of a run of rows: which entries are near and which are ignored; all others are far.

    A row's columns are its own candidates first, then those that all rows share.
    """

    near: Places
    ignored: Index

    def seen_count(self, columns: int) -> Tensor:
        """``(r,)``: how many of so many columns are near or far."""
        rows = self.near.columns.shape[0]
        if self.ignored[0].numel():
            return columns - torch.bincount(self.ignored[0], minlength=rows)
        return self.near.columns.new_full((rows,), columns)

    def far_count(self, columns: int) -> Tensor:
        """``(r,)``: how many of so many columns are far."""
        return self.seen_count(columns) - self.near.count


Relation = Callable[[slice], Strip]
Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a contrast was made, so that it can be made again from changed parts.

    Attributes:
        make: the constructor.
        embeddings: its arguments that lie in the space, by name: tensors, or tuples of tensors.
        others: its other arguments; those that are tensors, or tuples of tensors, go by rows too.
        replicated: names of arguments that are the same on every rank.
    """

    make: Callable[..., Contrast]
    embeddings: Mapping[str, Any]
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
        own: candidates that only their anchor sees, parts ``(N, k, d)`` in the order of their columns; or None.
        weights: ``(N,)`` or None: how much each anchor's row counts in the mean.
        transpose: makes the contrast from the candidates' side, every positive anchored in turn; None where both sides
            are the same items, so that it would be this contrast again, or where there is no other side.
        paired: anchors ``0..N-1`` and the first N candidates are rows of one table, near where the
            numbers are equal, and what is ignored is ignored from both sides.
        near_width: how many places for near candidates each row has.
        slots: ``(N,)`` where the anchors are the candidates and j is to i what i is to j: at which place other rows
            have this one among their near candidates; else None.
        log_noise: log-probabilities of the noise distribution, ``(N, k)`` for own and ``(M,)`` for shared
            candidates, without the factor of how many are drawn; or None.
        scores: ``(N, k)`` graded nearness of own candidates, or None.
    """

    anchors: Tensor
    candidates: Tensor
    relation: Relation
    kind: str
    recipe: Recipe
    own: tuple[Tensor, ...] | None = None
    weights: Tensor | None = None
    transpose: Callable[[], Contrast] | None = None
    paired: bool = False
    near_width: int = 1
    slots: Tensor | None = None
    log_noise: tuple[Tensor, Tensor] | None = None
    scores: Tensor | None = None

    def __len__(self) -> int:
        return self.anchors.shape[0]

    @property
    def own_count(self) -> int:
        """Candidates that only their anchor sees."""
        return 0 if self.own is None else sum(part.shape[1] for part in self.own)

    @property
    def columns(self) -> int:
        """Candidates that a row sees."""
        return self.own_count + len(self.candidates)

    @property
    def mirrored(self) -> bool:
        """Whether the anchors are the candidates, and j is to i what i is to j."""
        return self.slots is not None

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
