"""What the space looks like: how near the near are, and how far the far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.vectors import cosines

if TYPE_CHECKING:
    from nearfar.analysis.tasks import Embed
    from nearfar.data import Table

Sample = NDArray[np.float32]


def near_and_far(table: Table, embed: Embed, *, seed: int = 0, most: int = 2000) -> tuple[Sample, Sample]:
    """Cosines of pairs that a table calls near, and of pairs that it does not.

    pairs: each anchor with its positive, against it with the positive of another row. labelled: two texts of
    one label, against two of different labels. scored: the quarter of the rows with the highest scores, against
    the quarter with the lowest.

    Args:
        table: of one of these kinds.
        embed: texts to vectors.
        seed: of the rows that are drawn.
        most: rows that are looked at.

    Returns:
        Two samples of cosines, not necessarily of one length.
    """
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(len(table))[:most])
    table = table.select(rows)
    roles = table.text_roles[:2]
    vectors = [embed([str(text) for text in table.column(role)]) for role in roles]
    first, second = vectors[0], vectors[-1]
    other = (np.arange(len(rows)) + generator.integers(1, max(len(rows), 2), len(rows))) % len(rows)
    if table.kind == "labelled":
        labels = np.asarray(table.column("label"))
        found = cosines(first, second[other])
        return found[labels == labels[other]], found[labels != labels[other]]
    found = cosines(first, second)
    if table.kind in ("scored", "words"):
        low, high = np.quantile(scores := np.asarray(table.column("score"), np.float64), [0.25, 0.75])
        near, far = scores >= high, scores <= low
        if low == high:  # most scores are one: what is left is what can be told from it
            near, far = scores >= scores.mean(), scores < scores.mean()
        return found[near], found[far]
    return found, cosines(first, second[other])
