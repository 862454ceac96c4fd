"""Negatives that no text has, mixed from hard ones in the space of embeddings."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.errors import InputError

HARDEST = 64
"""Far candidates of an anchor that are mixed."""


@torch.no_grad()
def mix_negatives(
    anchors: Tensor,
    negatives: Tensor,
    *,
    mixed: int = 16,
    with_anchor: int = 0,
    hardest: int = HARDEST,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Synthetic hard negatives: points between hard negatives, and between those and the anchor.

        h  = (a n_i + (1 - a) n_j) / |...|,  a uniform in (0, 1)       (section 4.1)
        h' = (b q + (1 - b) n_i) / |...|,    b uniform in (0, 0.5)     (section 4.2)

    with q the anchor and n_i, n_j drawn from the `hardest` negatives nearest to it (Kalantidis et al. 2020, "Hard
    Negative Mixing for Contrastive Learning", MoCHi; all vectors of length 1). Without a gradient. They are each
    anchor's own, as `own_negatives` of `nearfar.pairs`; as its `negatives` all anchors would see them.

    Args:
        anchors: ``(N, d)``.
        negatives: ``(K, d)`` shared by all anchors, such as a queue or what was mined for the batch, or ``(N, K, d)``,
            each anchor's own.
        mixed: of the first kind, for each anchor (s in the paper).
        with_anchor: of the second kind, for each anchor (s' in the paper); b below a half keeps it nearer to the
            negative.
        hardest: how many of the nearest negatives are mixed (N in the paper); all where there are fewer.
        generator: of the draw; None takes torch's own.

    Returns:
        ``(N, mixed + with_anchor, d)``, of length 1.

    Raises:
        InputError: shapes do not fit, or a number is out of range.
    """
    _check(anchors, negatives, mixed, with_anchor, hardest)
    queries, far = normalize(anchors.float(), dim=-1), normalize(negatives.float(), dim=-1)
    scores = queries @ far.T if far.dim() == 2 else torch.einsum("nd,nkd->nk", queries, far)
    drawn = draw_hardest(scores, 2 * mixed + with_anchor, hardest=hardest, generator=generator)
    hard = far[drawn] if far.dim() == 2 else far.gather(1, drawn[..., None].expand(-1, -1, far.shape[-1]))
    first, second, others = hard.split([mixed, mixed, with_anchor], dim=1)
    made = between(first, second, generator=generator), between(queries[:, None], others, 0.5, generator=generator)
    return torch.cat(made, dim=1).to(anchors.dtype)


def draw_hardest(
    scores: Tensor, count: int, *, hardest: int = HARDEST, generator: torch.Generator | None = None
) -> Tensor:
    """Columns ``(N, count)`` drawn with replacement from the `hardest` largest of each row.

    Args:
        scores: ``(N, K)``; -inf is not drawn, and every row has another.
        count: draws of a row.
        hardest: columns drawn from; all where there are fewer.
        generator: of the draw; None takes torch's own.
    """
    best, place = scores.topk(min(hardest, scores.shape[1]), dim=1)
    there = (best > -torch.inf).sum(1, keepdim=True)
    lots = (_uniform(scores, (len(scores), count), generator) * there).long().minimum(there - 1)
    return place.gather(1, lots)


def between(first: Tensor, second: Tensor, most: float = 1.0, *, generator: torch.Generator | None = None) -> Tensor:
    """Points ``(N, k, d)`` of length 1 between two vectors each, at a share of the first uniform in (0, `most`)."""
    share = most * _uniform(second, (*second.shape[:2], 1), generator).to(second.dtype)
    return normalize(share * first + (1 - share) * second, dim=-1)


def _uniform(like: Tensor, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    place = torch.device("cpu") if generator is None else generator.device
    return torch.rand(shape, generator=generator, device=place).to(like.device)


def _check(anchors: Tensor, negatives: Tensor, mixed: int, with_anchor: int, hardest: int) -> None:
    if anchors.dim() != 2:
        raise InputError(f"anchors: found shape {tuple(anchors.shape)}, wanted (N, d)")
    own = negatives.dim() == 3 and len(negatives) == len(anchors)
    if not (negatives.dim() == 2 or own) or negatives.shape[-1] != anchors.shape[1] or not negatives.shape[-2]:
        wanted = f"(K, {anchors.shape[1]}) or ({len(anchors)}, K, {anchors.shape[1]}), K 1 or more"
        raise InputError(f"negatives: found shape {tuple(negatives.shape)}, wanted {wanted}")
    for name, value, least in (("mixed", mixed, 0), ("with_anchor", with_anchor, 0), ("hardest", hardest, 1)):
        if value < least:
            raise InputError(f"{name}: found {value}, wanted {least} or more")
