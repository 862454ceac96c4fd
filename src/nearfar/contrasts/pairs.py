"""Pairs: an anchor and its positive, every other positive far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nearfar.contrasts.base import Contrast, Places, Recipe, Relation, Strip, join, nothing
from nearfar.contrasts.checks import (
    check_embeddings,
    check_ids,
    check_margin,
    check_own,
    check_shape,
    check_texts,
    check_weights,
    flat,
    with_queue,
)
from nearfar.contrasts.filters import check_guide, guided, same_group, same_text


def pairs(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    groups: Tensor | None = None,
    negative_groups: Tensor | None = None,
    texts: Sequence[Tensor] | None = None,
    guide: Sequence[Tensor] | None = None,
    guide_margin: float = 0.0,
    queue: Tensor | None = None,
    own_negatives: Tensor | None = None,
    weights: Tensor | None = None,
) -> Contrast:
    """Row i's positive is near anchor i; every other positive and all negatives are far.

    Args:
        anchors: ``(N, d)``.
        positives: ``(N, d)``.
        negatives: ``(K, d)``, or ``(N, k, d)`` with k for each anchor; all anchors see all of them.
        groups: ``(N,)`` ids; rows of equal id are never far from each other. Negatives belong to none, but for:
        negative_groups: ``(K,)`` or ``(N, k)`` ids of the negatives among `groups`, for one that is another row's text.
        texts: two of ``(N,)`` ids: no anchor is far from a text of its own id that is another row's positive.
        guide: a second model's embeddings ``(.., g)`` of anchors, positives and, to filter them too, negatives: what it
            finds at least as near to an anchor as its positive, less `guide_margin` in cosine, is ignored.
        guide_margin: see there.
        queue: ``(Q, d)`` older embeddings, far from all, without a gradient (He et al. 2020, MoCo).
        own_negatives: ``(N, k, d)`` far candidates that only their anchor sees, as mixed ones are.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("anchors", anchors)
    count = len(anchors)
    check_embeddings("positives", positives, like=anchors, rows=count)
    check_margin("guide_margin", guide_margin)
    more = anchors[:0] if negatives is None else flat("negatives", negatives, anchors)
    own = None if own_negatives is None else check_own("own_negatives", own_negatives, anchors)
    first = 0 if own is None else own.shape[1]  # the column of the first candidate that all see
    met = None if texts is None else check_texts(texts, anchors)
    relation = _pairing(anchors, _ids(groups, negative_groups, negatives, anchors), met, first)
    if guide is not None:
        guide = check_guide(guide, ("anchors", "positives", "negatives"), (count, count, len(more)), anchors.device)
        relation = guided(relation, guide[0], torch.cat(guide[1:]), guide_margin, first)
    embeddings = {"anchors": anchors, "positives": positives, "negatives": negatives, "own_negatives": own_negatives}
    options: dict[str, Any] = {"groups": groups, "guide_margin": guide_margin, "weights": weights}
    others = {**options, "guide": guide, "negative_groups": negative_groups, "texts": met}
    return Contrast(
        anchors,
        with_queue([positives, more], queue),
        relation,
        "pairs",
        Recipe(pairs, embeddings | {"queue": queue}, others),
        own=None if own is None else (own,),
        weights=check_weights(weights, count, anchors),
        transpose=partial(pairs, positives, anchors, texts=met and met[::-1], guide=guide and guide[1::-1], **options),
        paired=guide is None and own is None,
    )


def _pairing(anchors: Tensor, ids: Tensor | None, texts: tuple[Tensor, Tensor] | None, first: int) -> Relation:
    """Row i near to column ``first + i``, and far from none of its group or text."""
    alike = [] if ids is None else [same_group(ids)]
    if texts is not None:
        alike.append(same_text(*texts, torch.arange(len(anchors), device=anchors.device) if ids is None else ids))

    def relation(rows: slice) -> Strip:
        near = Places(torch.arange(rows.start + first, rows.stop + first, device=anchors.device)[:, None])
        if not alike:
            return Strip(near, nothing(anchors))
        row, column = join(*(entries(rows) for entries in alike))
        return Strip(near, (row, column + first))

    return relation


def _ids(groups: Tensor | None, of_negatives: Tensor | None, negatives: Tensor | None, like: Tensor) -> Tensor | None:
    """The groups of anchors and their positives, and after them those of negatives that have one."""
    if groups is None:
        if of_negatives is not None:
            raise ValueError("groups: found None, wanted ids beside negative_groups")
        return None
    ids = check_ids("groups", groups, len(like), like)
    if of_negatives is None:
        return ids
    if negatives is None:
        raise ValueError("negative_groups: found ids, wanted None where there are no negatives")
    check_shape("negative_groups", of_negatives, tuple(negatives.shape[:-1]))
    more = of_negatives.flatten()
    return torch.cat([ids, check_ids("negative_groups", more, len(more), like)])
