"""Contrasts: who is near whom, and who is far.

A contrast holds anchors, candidates and a relation between them. The relation is kept as ids and
small index tensors and answers for a run of rows at a time (`Relation.strip`), so that no ``N x M``
matrix of it ever exists. Everything that is neither near nor ignored is far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Index = tuple[Tensor, Tensor]
"""Row and column numbers of some entries of a strip: two int64 vectors of equal length."""


@dataclass(frozen=True)
class Strip:
    """The relation of a run of rows: which entries are near and which are ignored; all others are far."""

    near: Index
    ignored: Index


@dataclass(frozen=True)
class Contrast:
    """Anchors against candidates.

    Attributes:
        anchors: ``(N, d)``.
        candidates: ``(M, d)``, seen by every anchor.
        relation: maps a run of rows to its `Strip`.
        weights: ``(N,)`` or None: how much each anchor's row counts in the mean.
        transpose: makes the contrast from the candidates' side, every positive anchored in turn; None
            where both sides are the same items, so that it would be this contrast again.
        kind: the constructor's name, for messages and for objectives that are bound to one.
    """

    anchors: Tensor
    candidates: Tensor
    relation: Callable[[slice], Strip]
    kind: str
    weights: Tensor | None = None
    transpose: Callable[[], Contrast] | None = None

    def __len__(self) -> int:
        return len(self.anchors)

    def weighted(self, weights: Tensor | None) -> Contrast:
        """The same contrast with a weight for each anchor, ``(N,)``."""
        if weights is None:
            return self
        _check_vector("weights", weights, len(self))
        _check_device("weights", weights)
        if weights.is_complex() or not torch.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                f"weights: found {weights.dtype} with NaN, infinity or below 0, wanted finite numbers from 0 up"
            )
        return replace(self, weights=weights.to(self.anchors.device))


def pairs(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    groups: Tensor | None = None,
    weights: Tensor | None = None,
) -> Contrast:
    """Row i's positive is near anchor i; every other positive and all negatives are far.

    Args:
        anchors: ``(N, d)``.
        positives: ``(N, d)``.
        negatives: ``(K, d)``, or ``(N, k, d)`` with k for each anchor; all anchors see all of them.
        groups: ``(N,)`` ids; rows of equal id are never far from each other, so that a text that
            stands in a batch twice is no false negative. Negatives belong to no group.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    _check_embeddings("anchors", anchors)
    _check_embeddings("positives", positives, like=anchors, rows=len(anchors))
    candidates = positives if negatives is None else torch.cat([positives, _flat(negatives, anchors)])
    same = None if groups is None else _same_group(_check_ids("groups", groups, len(anchors), anchors))

    def relation(rows: slice) -> Strip:
        numbers = torch.arange(rows.start, rows.stop, device=anchors.device)
        near = numbers - rows.start, numbers
        return Strip(near, _nothing(anchors) if same is None else same(rows))

    def transpose() -> Contrast:
        return pairs(positives, anchors, groups=groups, weights=weights)

    return Contrast(anchors, candidates, relation, "pairs", transpose=transpose).weighted(weights)


def views(
    first: Tensor,
    second: Tensor,
    *,
    groups: Tensor | None = None,
    weights: Tensor | None = None,
) -> Contrast:
    """2N items, each anchored in turn; its only near item is its other view; itself is ignored.

    Args:
        first: ``(N, d)``.
        second: ``(N, d)``, row i being the other view of ``first[i]``.
        groups: ``(N,)`` ids; items of equal id are never far from each other.
        weights: ``(N,)``, per pair of views.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    _check_embeddings("first", first)
    _check_embeddings("second", second, like=first, rows=len(first))
    half = len(first)
    items = torch.cat([first, second])
    same = None
    if groups is not None:
        same = _same_group(_check_ids("groups", groups, half, first).repeat(2), partner=half)

    def relation(rows: slice) -> Strip:
        numbers = torch.arange(rows.start, rows.stop, device=items.device)
        local = numbers - rows.start
        itself = (local, numbers)
        ignored = itself if same is None else _join(itself, same(rows))
        return Strip((local, (numbers + half) % (2 * half)), ignored)

    if weights is not None:
        _check_vector("weights", weights, half)
        weights = weights.repeat(2)
    return Contrast(items, items, relation, "views").weighted(weights)


def labelled(embeddings: Tensor, labels: Tensor, *, weights: Tensor | None = None) -> Contrast:
    """Same label near, other labels far, itself ignored.

    Args:
        embeddings: ``(N, d)``.
        labels: ``(N,)`` integer ids.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    _check_embeddings("embeddings", embeddings)
    ids = _check_ids("labels", labels, len(embeddings), embeddings)

    def relation(rows: slice) -> Strip:
        row, column = (ids[rows, None] == ids).nonzero(as_tuple=True)
        itself = row + rows.start == column
        return Strip((row[~itself], column[~itself]), (row[itself], column[itself]))

    return Contrast(embeddings, embeddings, relation, "labelled").weighted(weights)


def _flat(negatives: Tensor, anchors: Tensor) -> Tensor:
    """Negatives of either shape as ``(K, d)``."""
    width = anchors.shape[1]
    if isinstance(negatives, Tensor) and negatives.dim() == 3:
        if negatives.shape[::2] != (len(anchors), width):
            raise ValueError(f"negatives: found shape {tuple(negatives.shape)}, wanted ({len(anchors)}, k, {width})")
        negatives = negatives.flatten(0, 1)
    if not isinstance(negatives, Tensor) or negatives.shape != (0, width):  # none at all is fine
        _check_embeddings("negatives", negatives, like=anchors)
    return negatives


def _same_group(ids: Tensor, partner: int = 0) -> Callable[[slice], Index]:
    """Entries of equal id, but for the item itself and, of two views, its other view."""
    _, group, counts = ids.unique(return_inverse=True, return_counts=True)
    # Most batches hold few duplicates or none: only those are compared.
    doubled = (counts[group] > (2 if partner else 1)).nonzero()[:, 0]

    def same(rows: slice) -> Index:
        here = doubled[(doubled >= rows.start) & (doubled < rows.stop)]
        row, column = (ids[here, None] == ids[doubled]).nonzero(as_tuple=True)
        row, column = here[row], doubled[column]
        distance = (row - column).abs()
        other = distance != 0
        if partner:
            other &= distance != partner
        return row[other] - rows.start, column[other]

    return same


def _nothing(like: Tensor) -> Index:
    empty = torch.empty(0, dtype=torch.long, device=like.device)
    return empty, empty


def _join(first: Index, second: Index) -> Index:
    return torch.cat([first[0], second[0]]), torch.cat([first[1], second[1]])


def _check_embeddings(name: str, value: Tensor, *, like: Tensor | None = None, rows: int | None = None) -> None:
    width = "d" if like is None else like.shape[1]
    wanted = f"({'n' if rows is None else rows}, {width})"
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found {type(value).__name__}, wanted a tensor of shape {wanted}")
    if value.dim() != 2 or (rows is not None and len(value) != rows):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted {wanted}")
    _check_device(name, value)
    if value.numel() == 0:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted at least one row and one column")
    if not value.is_floating_point():
        raise ValueError(f"{name}: found dtype {value.dtype}, wanted a floating-point tensor")
    if like is not None and value.shape[1] != like.shape[1]:
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted width {like.shape[1]}")
    if like is not None and (value.dtype, value.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name}: found {value.dtype} on {value.device}, wanted {like.dtype} on {like.device} as the anchors"
        )
    # A sum is NaN or infinite where an entry is; only then is the slower question asked.
    if not torch.isfinite(value.detach().sum(dtype=torch.float32)) and not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}: found NaN or infinity, first in row {bad}, wanted finite numbers")


def _check_ids(name: str, ids: Tensor, rows: int, like: Tensor) -> Tensor:
    _check_vector(name, ids, rows)
    _check_device(name, ids)
    if ids.is_floating_point() or ids.is_complex():
        raise ValueError(f"{name}: found dtype {ids.dtype}, wanted integer ids")
    return ids.to(like.device)


def _check_vector(name: str, value: Tensor, rows: int) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name}: found {type(value).__name__}, wanted a tensor of shape ({rows},)")
    if tuple(value.shape) != (rows,):
        raise ValueError(f"{name}: found shape {tuple(value.shape)}, wanted ({rows},)")


def _check_device(name: str, value: Tensor) -> None:
    if value.is_meta:
        raise ValueError(f"{name}: found a tensor on meta, wanted one with data")
