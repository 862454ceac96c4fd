"""Cosines of near against those of far pairs: how well a threshold, or an order, tells them apart.

Figures of two samples; `*_by_row` spreads them over the rows that the pairs belong to, so that an interval counts rows
(anchors) and not pairs, which hang together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.errors import InputError

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

BINS = 50


def auc(near: ArrayLike, far: ArrayLike) -> float:
    """The chance that a near pair has the higher cosine than a far one, ties counted half: 1 perfect, 0.5 blind.

    The area under the ROC curve (Hanley & McNeil 1982), the Mann-Whitney statistic over the product of the sizes.
    `near` `(p,)`, `far` `(q,)`. Exact, O((p + q) log(p + q)).
    """
    return float(_placements(*_samples(near, far))[0].mean())


def _samples(near: ArrayLike, far: ArrayLike) -> tuple[Floats, Floats]:
    found = np.asarray(near, dtype=np.float64), np.asarray(far, dtype=np.float64)
    if not (len(found[0]) and len(found[1])):
        raise InputError(f"found {len(found[0])} near and {len(found[1])} far cosines, wanted at least one of each")
    return found


def _placements(near: Floats, far: Floats) -> tuple[Floats, Floats]:
    """For each near pair the share of far ones below it, `(p,)`; for each far one that of near ones above, `(q,)`."""

    def below(values: Floats, others: Floats) -> Floats:
        ordered = np.sort(others)
        left, right = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
        return (left + right) / (2 * len(others))

    return below(near, far), 1 - below(far, near)


def auc_by_row(near: ArrayLike, far: ArrayLike, near_rows: Ids, far_rows: Ids) -> Floats:
    """Each row's share in `auc` (DeLong et al. 1988), `(n,)`, n one more than the largest row.

    `near_rows` `(p,)` and `far_rows` `(q,)` say which row a pair belongs to; each row from 0 to n - 1 has a pair.
    """
    return _by_row(_placements(*_samples(near, far)), (near_rows, far_rows))


def overlap(near: ArrayLike, far: ArrayLike, *, bins: int = BINS) -> float:
    """How much of two histograms lies under both: 0 apart, 1 the same.

    Sum over bins of the smaller share (Inman & Bradley 1989), `bins` of equal width over the joint range; exact for
    these bins, a little high for small samples. `near` `(p,)`, `far` `(q,)`.
    """
    shares = histogram(near, far, bins=bins)[1:]
    return float(np.minimum(*shares).sum())


def histogram(near: ArrayLike, far: ArrayLike, *, bins: int = BINS) -> tuple[Floats, Floats, Floats]:
    """Edges `(bins + 1,)`, and the share of near and of far pairs in each bin, `(bins,)` each."""
    samples = _samples(near, far)
    edges = np.histogram_bin_edges(np.concatenate(samples), bins=bins)
    first, second = (np.histogram(sample, edges)[0] / len(sample) for sample in samples)
    return edges, first, second


def overlap_by_row(near: ArrayLike, far: ArrayLike, near_rows: Ids, far_rows: Ids, *, bins: int = BINS) -> Floats:
    """Each row's share in `overlap`, `(n,)`, the rows given as for `auc_by_row`."""
    samples = _samples(near, far)
    edges, shares, others = histogram(*samples, bins=bins)
    fewer = shares <= others
    bin_of = [np.clip(np.searchsorted(edges, sample, "right") - 1, 0, bins - 1) for sample in samples]
    parts = fewer[bin_of[0]].astype(np.float64), (~fewer)[bin_of[1]].astype(np.float64)
    # The figure is the sum of both means, and `_by_row` counts one of them.
    return np.asarray(_by_row(parts, (near_rows, far_rows)) + parts[1].mean())


def _by_row(parts: tuple[Floats, Floats], rows: tuple[Ids, Ids]) -> Floats:
    """Rows `(n,)` whose mean is that of `parts[0]` and whose spread is that of both means together."""
    count = int(max(rows[0].max(), rows[1].max())) + 1
    found = np.full(count, parts[0].mean())
    for part, of in zip(parts, rows, strict=True):
        found += np.bincount(of, part - part.mean(), minlength=count) * (count / len(part))
    return found
