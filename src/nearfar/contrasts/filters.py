"""Relations and what takes far candidates out of them: equal groups, a guide."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.contrasts.base import Index, Places, Relation, Strip, join
from nearfar.contrasts.checks import check_embeddings, check_tensor

Entries = Callable[[slice], Index]


def same_group(ids: Tensor, partner: int = 0) -> Entries:
    """Entries of equal id, but for the item itself and, of two views, its other view."""
    _, group, counts = ids.unique(return_inverse=True, return_counts=True)
    # Most batches hold few duplicates or none: only those are compared.
    doubled = (counts[group] > (2 if partner else 1)).nonzero()[:, 0]

    def entries(rows: slice) -> Index:
        here = doubled[(doubled >= rows.start) & (doubled < rows.stop)]
        row, column = (ids[here, None] == ids[doubled]).nonzero(as_tuple=True)
        row, column = here[row], doubled[column]
        distance = (row - column).abs()
        other = distance != 0
        if partner:
            other &= distance != partner
        return row[other] - rows.start, column[other]

    return entries


def same_text(anchors: Tensor, candidates: Tensor, groups: Tensor) -> Entries:
    """Entries of a candidate that is the anchor's own text, but for those of equal groups.

    To join the two rows as a group would make one group of a whole chain (a near b, b near c ...).
    """
    # In most batches few or none.
    asking, met = (torch.isin(*two).nonzero()[:, 0] for two in ((anchors, candidates), (candidates, anchors)))

    def entries(rows: slice) -> Index:
        here = asking[(asking >= rows.start) & (asking < rows.stop)]
        row, column = (anchors[here, None] == candidates[met]).nonzero(as_tuple=True)
        row, column = here[row], met[column]
        other = groups[row] != groups[column]
        return row[other] - rows.start, column[other]

    return entries


class Classes:
    """Items of equal label.

    Attributes:
        width: how many items the largest class has.
        slots: ``(N,)``: which item of its class each is.
    """

    def __init__(self, labels: Tensor) -> None:
        ordered, order = labels.sort(stable=True)
        sizes = ordered.unique_consecutive(return_counts=True)[1]
        self.width = int(sizes.max())
        # A class is a run of `order`; what follows fills up a smaller one, and is not near.
        self._runs = torch.cat([order, order[: self.width]]).unfold(0, self.width, 1)
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        self._first, self._sizes = ((part.repeat_interleave(sizes)[place]) for part in (sizes.cumsum(0) - sizes, sizes))
        self.slots = place - self._first
        self._even = len(order) == self.width * len(sizes)

    def near(self, rows: slice) -> Places:
        """The items of the same class, the item itself left out."""
        columns = self._runs[self._first[rows]]
        real = columns != torch.arange(rows.start, rows.stop, device=columns.device)[:, None]
        if not self._even:
            real &= torch.arange(self.width, device=columns.device) < self._sizes[rows, None]
        return Places(columns, real)


def guided(relation: Relation, anchors: Tensor, candidates: Tensor, margin: float, first: int = 0) -> Relation:
    """The relation without far candidates that a guide finds at least as near as the true positive, less a margin.

    Solatorio 2024, "GISTEmbed", eq. 3; of several near candidates the one that the guide finds nearest counts.

    Args:
        relation: the relation to filter.
        anchors: ``(N, g)`` the guide's embeddings of the anchors.
        candidates: ``(C, g)`` the guide's embeddings of C columns; others stay as they are.
        margin: in units of the guide's cosine.
        first: the first of these columns.
    """
    anchors, candidates = _directions(anchors), _directions(candidates)
    # A copy of the positive is as near as it, but a product may round the two apart, by where in the matrix they are.
    margin = float(margin) + 32 * torch.finfo(anchors.dtype).eps

    def filtered(rows: slice) -> Strip:
        strip = relation(rows)
        row, column = strip.near.listed()
        column = column - first
        nearness = anchors[rows] @ candidates.T
        least = nearness.new_full((len(nearness),), -torch.inf)
        least.scatter_reduce_(0, row, nearness[row, column], "amax")
        threshold = torch.where(least == -torch.inf, torch.inf, least - margin)
        suspect = nearness >= threshold[:, None]
        ignored_row, ignored = strip.ignored[0], strip.ignored[1] - first
        known = ((ignored >= 0) & (ignored < len(candidates))).nonzero()[:, 0]
        suspect[row, column] = False
        suspect[ignored_row[known], ignored[known]] = False
        doubtful = suspect.nonzero(as_tuple=True)
        return Strip(strip.near, join(strip.ignored, (doubtful[0], doubtful[1] + first)))

    return filtered


def _directions(rows: Tensor) -> Tensor:
    return normalize(rows.detach().to(torch.promote_types(rows.dtype, torch.float32)), dim=1)


def check_guide(
    guide: Sequence[Tensor], names: Sequence[str], rows: Sequence[int], device: torch.device
) -> tuple[Tensor, ...]:
    """The guide's embeddings, one tensor for each of the names, some of the last of which may be missing."""
    if isinstance(guide, Tensor) or not isinstance(guide, Sequence) or not 2 <= len(guide) <= len(names):
        found = f"{len(guide)} parts" if isinstance(guide, Sequence) else type(guide).__name__
        raise ValueError(f"guide: found {found}, wanted a tuple of the guide's embeddings of {', '.join(names)}")
    parts: list[Tensor] = []
    for name, part, wanted in zip(names, guide, rows, strict=False):
        check_tensor(f"guide of {name}", part, f"({wanted}, g)")
        flattened = (part.flatten(0, 1) if part.dim() == 3 else part).to(device)
        like = parts[0] if parts else None
        check_embeddings(f"guide of {name}", flattened, like=like, rows=wanted, empty=not wanted)
        parts.append(flattened)
    return tuple(parts)
