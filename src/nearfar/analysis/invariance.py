"""Does a view leave a text where it is? The way it moves, against the way to its nearest neighbour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.geometry import alignment_by_row
from nearfar.analysis.neighbours import nearest
from nearfar.analysis.vectors import checked
from nearfar.errors import InputError

Floats = NDArray[np.float64]
ROUNDING = 1e-6
"""A distance of unit rows below this is none: the root of what float32 embeddings leave of it."""


def invariance(x: ArrayLike, moved: ArrayLike, *, among: ArrayLike | None = None) -> Floats:
    """|u_i - v_i| over the distance of u_i to its nearest neighbour: `(n,)`; below 1 the text is still recognised.

    `x` `(n, d)` texts and `moved` `(n, d)` the same through a view; neighbours are the other rows of `x`, or of `among`
    `(m, d)`, whose first n rows are `x`. 0 where nothing moved, infinite where a row that has a copy did. Exact,
    float64. Purushwalkam & Gupta 2020 and Xiao et al. 2021 ask which invariances a view teaches; the yardstick is
    ours.
    """
    rows, everything = checked(x), checked(x if among is None else among)
    if len(everything) < len(rows):
        raise InputError(f"among: found {len(everything)} embeddings, wanted the {len(rows)} texts' own and more")
    places = nearest(everything, k=1).places[: len(rows), 0]
    return ratios(rows, moved, rows, everything[places])


def ratios(left: ArrayLike, right: ArrayLike, rows: ArrayLike, neighbours: ArrayLike) -> Floats:
    """The distance of `left` to `right`, both sides of a view, over that of `rows` to `neighbours`; all `(n, d)`."""
    way, yardstick = (np.sqrt(alignment_by_row(*sides)) for sides in ((left, right), (rows, neighbours)))
    way, yardstick = np.where(way < ROUNDING, 0, way), np.where(yardstick < ROUNDING, 0, yardstick)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(way == 0, 0.0, way / yardstick)


def moved_texts(
    texts: Sequence[str], views: Sequence[str], *, seed: int = 0
) -> Mapping[str, tuple[list[str], list[str]]]:
    """The texts through each view, for the embedding of both sides: setting -> (anchors, positives).

    `views`: settings as `nearfar train --view` takes them, of text space (`delete`, `crop:share=0.5` …); views that
    make both sides anew (`span`) give other anchors than the texts.

    Raises `InputError` for a view that is unknown or works on token vectors, which texts alone cannot show.
    """
    from nearfar.data.views import Views

    found = {}
    for setting in views:
        parsed = Views.parse([setting])
        if parsed.in_embedding:
            raise InputError(f"--view {setting}: found a view of token vectors, wanted one of texts")
        parsed.prepare()
        found[setting] = parsed.pairs(texts, range(len(texts)), seed=seed, epoch=0)
    return found
