"""Contrasts whose candidates are shared: every anchor is held against the whole batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.contrasts.base import Contrast, Places, Recipe, Relation, Strip, join, nothing
from nearfar.contrasts.checks import check_embeddings, check_ids, check_margin, check_texts, check_weights, with_queue
from nearfar.contrasts.filters import Classes, check_guide, guided, same_group, same_text


def views(
    first: Tensor,
    second: Tensor,
    *,
    groups: Tensor | None = None,
    texts: Sequence[Tensor] | None = None,
    guide: Sequence[Tensor] | None = None,
    guide_margin: float = 0.0,
    queue: Tensor | None = None,
    weights: Tensor | None = None,
) -> Contrast:
    """2N items, each anchored in turn; its only near item is its other view; itself is ignored.

    Args:
        first: ``(N, d)``.
        second: ``(N, d)``, row i being the other view of ``first[i]``.
        groups: ``(N,)`` ids; items of equal id are never far from each other.
        texts: ids of the texts of both, see `pairs`.
        guide: a second model's embeddings ``(N, g)`` of both, see `pairs`.
        guide_margin: see `pairs`.
        queue: ``(Q, d)`` additional far candidates without a gradient, see `pairs`.
        weights: ``(N,)``, per pair of views.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("first", first)
    check_embeddings("second", second, like=first, rows=len(first))
    check_margin("guide_margin", guide_margin)
    half = len(first)
    items = torch.cat([first, second])
    ids = torch.arange(half, device=first.device) if groups is None else check_ids("groups", groups, half, first)
    alike = [] if groups is None else [same_group(ids.repeat(2), partner=half)]
    if texts is not None:
        texts = check_texts(texts, first)
        each = torch.cat(texts)
        alike.append(same_text(each, each, ids.repeat(2)))

    def relation(rows: slice) -> Strip:
        numbers = torch.arange(rows.start, rows.stop, device=items.device)
        local = numbers - rows.start
        itself = (local, numbers)
        other = Places(((numbers + half) % (2 * half))[:, None])
        return Strip(other, join(itself, *(entries(rows) for entries in alike)))

    seen_by: Relation = relation
    if guide is not None:
        guide = check_guide(guide, ("first", "second"), (half, half), first.device)
        seen_by = guided(relation, torch.cat(guide), torch.cat(guide), guide_margin)
    each_weight = check_weights(weights, half, first)
    others = {"groups": groups, "texts": texts, "guide": guide, "guide_margin": guide_margin, "weights": weights}
    return Contrast(
        items,
        items if queue is None else with_queue([items], queue),
        seen_by,
        "views",
        Recipe(views, {"first": first, "second": second, "queue": queue}, others),
        weights=None if each_weight is None else each_weight.repeat(2),
        slots=torch.zeros(2 * half, dtype=torch.long, device=items.device) if guide is None and queue is None else None,
    )


def labelled(
    embeddings: Tensor,
    labels: Tensor,
    *,
    guide: Tensor | None = None,
    guide_margin: float = 0.0,
    queue: Tensor | None = None,
    weights: Tensor | None = None,
) -> Contrast:
    """Same label near, other labels far, itself ignored.

    Args:
        embeddings: ``(N, d)``.
        labels: ``(N,)`` integer ids.
        guide: a second model's embeddings ``(N, g)``, see `pairs`.
        guide_margin: see `pairs`.
        queue: ``(Q, d)`` additional far candidates without a gradient, see `pairs`.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("embeddings", embeddings)
    check_margin("guide_margin", guide_margin)
    count = len(embeddings)
    ids = check_ids("labels", labels, count, embeddings)
    classes = Classes(ids)

    def relation(rows: slice) -> Strip:
        numbers = torch.arange(rows.start, rows.stop, device=embeddings.device)
        return Strip(classes.near(rows), (numbers - rows.start, numbers))

    seen_by: Relation = relation
    if guide is not None:
        check_embeddings("guide", guide, rows=count)
        seen = guide.to(embeddings.device)
        seen_by = guided(relation, seen, seen, guide_margin)
    return Contrast(
        embeddings,
        embeddings if queue is None else with_queue([embeddings], queue),
        seen_by,
        "labelled",
        Recipe(
            labelled,
            {"embeddings": embeddings, "queue": queue},
            {"labels": labels, "guide": guide, "guide_margin": guide_margin, "weights": weights},
        ),
        weights=check_weights(weights, count, embeddings),
        near_width=classes.width,
        slots=classes.slots if guide is None and queue is None else None,
    )


def assigned(embeddings: Tensor, centres: Tensor, assignment: Tensor, *, weights: Tensor | None = None) -> Contrast:
    """Items against cluster centres: the own centre near, all others far.

    Args:
        embeddings: ``(N, d)``.
        centres: ``(K, d)``.
        assignment: ``(N,)`` each item's centre, 0 to K - 1.
        weights: ``(N,)``, per item.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("embeddings", embeddings)
    check_embeddings("centres", centres, like=embeddings)
    ids = check_ids("assignment", assignment, len(embeddings), embeddings)
    if (ids < 0).any() or (ids >= len(centres)).any():
        raise ValueError(
            f"assignment: found numbers from {int(ids.min())} to {int(ids.max())}, wanted 0 to {len(centres) - 1}"
        )

    def relation(rows: slice) -> Strip:
        here = ids[rows]
        return Strip(Places(here[:, None]), nothing(embeddings))

    return Contrast(
        embeddings,
        centres,
        relation,
        "assigned",
        Recipe(
            assigned,
            {"embeddings": embeddings, "centres": centres},
            {"assignment": assignment, "weights": weights},
            frozenset({"centres"}),
        ),
        weights=check_weights(weights, len(embeddings), embeddings),
    )
