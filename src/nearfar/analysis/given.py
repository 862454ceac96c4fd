"""What there is to analyse, whatever its kind: distinct points, near pairs with their far ones, labels, scores."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis.labels import codes_of
from nearfar.analysis.vectors import Vectors, checked, cosines, paired
from nearfar.errors import InputError

Ids = NDArray[np.int64]
FAR = 10
"""Far pairs drawn for each near one."""

Texts = tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """Near pairs, row beside row, `(m, d)` both; rows of one group `(m,)` are not far from each other."""

    anchors: Vectors
    positives: Vectors
    groups: Ids
    texts: tuple[Texts, Texts] | None


@dataclass(frozen=True)
class Cosines:
    """Of near `(p,)` and far `(q,)` pairs, and the row (anchor), from 0, that each belongs to."""

    near: NDArray[np.float32]
    far: NDArray[np.float32]
    near_rows: Ids
    far_rows: Ids


@dataclass(frozen=True)
class Given:
    """A set in the forms that the measurements take; None where it has none of that.

    Attributes:
        kind: "texts", "labelled", "pairs" or "scored".
        rows: that were chosen, `(r,)`, of `total`.
        points: `(n, d)`, each distinct text once (every row where there are no texts).
        texts: of the points.
        place: `(r,)`, where among the points the text of each chosen row is; of two sides `(2 r,)`, all of `x` first.
        first: `(n,)`, where each point was first met: a row of `x` or, counted on from there, of `y`.
        pairs: near ones: the pairs given, rows of one label, or the quarter of the highest scores.
        cosines: of near pairs and of far ones.
        labelled: embeddings and labels, one a row.
        scored: scores and the embeddings of both sides.
    """

    kind: str
    rows: Ids
    total: int
    points: Vectors
    texts: Texts | None
    place: Ids
    first: Ids
    pairs: Pairs | None = None
    cosines: Cosines | None = None
    labelled: tuple[Vectors, tuple[Hashable, ...]] | None = None
    scored: tuple[NDArray[np.float64], Vectors, Vectors] | None = None


@dataclass(frozen=True)
class Columns:
    """What `analyse` was handed, before any of it is looked at."""

    x: ArrayLike
    y: ArrayLike | None = None
    texts: Sequence[str] | None = None
    other_texts: Sequence[str] | None = None
    labels: Sequence[Hashable] | None = None
    scores: ArrayLike | None = None


def given_of(columns: Columns, *, most: int, keep: int, seed: int, source: str) -> Given:
    """The set of `columns`: at most `most` rows of it, drawn by `seed`, the first `keep` in any case.

    Raises `InputError` for NaN, or columns that do not go together.
    """
    x, y = _sides(columns, source)
    generator = np.random.default_rng(seed)
    rows = np.arange(len(x))
    if len(x) > most:
        rest = np.sort(generator.choice(len(x) - keep, max(most - keep, 0), replace=False)) + keep
        rows = np.concatenate([rows[:keep], rest])
    x, y = x[rows], None if y is None else y[rows]
    texts = tuple(
        None if column is None else tuple(column[i] for i in rows.tolist())
        for column in (columns.texts, columns.other_texts)
    )
    points, names, place, first = _points(x, y, texts)
    given = Given("texts", rows, len(np.asarray(columns.x)), points, names, place, first)
    if y is not None and columns.scores is not None:
        scores = np.asarray(columns.scores, dtype=np.float64)[rows]
        return _scored(given, x, y, scores, texts, generator)
    if y is not None:
        return _paired(given, x, y, texts, generator)
    if columns.labels is not None:
        return _labelled(given, x, tuple(columns.labels[i] for i in rows.tolist()), texts, generator)
    return given


def _sides(columns: Columns, source: str) -> tuple[Vectors, Vectors | None]:
    x = checked(columns.x, least=1, source=source)
    y = None if columns.y is None else paired(x, columns.y, source=source)[1]
    if y is not None and y.shape != x.shape:
        raise InputError(f"{source}: found embeddings of shapes {x.shape} and {y.shape}, wanted one shape")
    if columns.labels is not None and y is not None:
        raise InputError(f"{source}: found labels and a second set of embeddings, wanted one of the two")
    if columns.scores is not None and y is None:
        raise InputError(f"{source}: found scores without a second set of embeddings, wanted both")
    if y is not None and (columns.texts is None) != (columns.other_texts is None):
        raise InputError(f"{source}: found texts of one side, wanted those of both or none")
    for name in ("texts", "other_texts", "labels", "scores"):
        column = getattr(columns, name)
        if column is not None and len(column) != len(x):
            raise InputError(f"{source}: found {len(column)} {name} with {len(x)} embeddings, wanted as many")
    return x, y


def _points(x: Vectors, y: Vectors | None, texts: tuple[Texts | None, ...]) -> tuple[Vectors, Texts | None, Ids, Ids]:
    """Each distinct text once, its text, and the place of each row's; of both sides."""
    vectors = x if y is None else np.concatenate([x, y])
    if texts[0] is None:
        return vectors, None, np.arange(len(vectors)), np.arange(len(vectors))
    names = texts[0] if y is None else texts[0] + (texts[1] or ())
    number = {text: i for i, text in enumerate(dict.fromkeys(names))}
    place = np.fromiter((number[text] for text in names), dtype=np.int64, count=len(names))
    first = np.unique(place, return_index=True)[1]
    return vectors[first], tuple(number), place, first


def _paired(
    given: Given, x: Vectors, y: Vectors, texts: tuple[Texts | None, ...], generator: np.random.Generator
) -> Given:
    pairs = Pairs(x, y, _shared(texts, len(x)), _both(texts))
    return replace(given, kind="pairs", pairs=pairs, cosines=_drawn(pairs, generator))


def _labelled(
    given: Given,
    x: Vectors,
    labels: tuple[Hashable, ...],
    texts: tuple[Texts | None, ...],
    generator: np.random.Generator,
) -> Given:
    """Each row's near one is another row of its label, drawn: the next in a circle of them all."""
    codes = codes_of(labels)
    order = generator.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    ends = np.cumsum(np.bincount(codes))
    following = np.arange(1, len(codes) + 1)
    following[ends - 1] = np.concatenate([[0], ends[:-1]])
    partner = np.empty(len(codes), dtype=np.int64)
    partner[order] = order[following]
    rows = np.flatnonzero(partner != np.arange(len(codes)))
    found = replace(given, kind="labelled", labelled=(x, labels))
    if not len(rows):
        return found
    names = None if texts[0] is None else tuple(tuple(texts[0][i] for i in side) for side in (rows, partner[rows]))
    pairs = Pairs(x[rows], x[partner[rows]], codes[rows], names)  # type: ignore[arg-type]
    return replace(found, pairs=pairs, cosines=_drawn(pairs, generator))


def _scored(
    given: Given,
    x: Vectors,
    y: Vectors,
    scores: NDArray[np.float64],
    texts: tuple[Texts | None, ...],
    generator: np.random.Generator,
) -> Given:
    """Near pairs are the quarter with the highest scores, far ones that with the lowest."""
    found = replace(given, kind="scored", scored=(scores, x, y))
    if not np.isfinite(scores).all() or np.ptp(scores) == 0:
        return found
    low, high = np.quantile(scores, [0.25, 0.75])
    near, far = np.flatnonzero(scores >= high), np.flatnonzero(scores <= low)
    if low == high:  # most scores are one: what is left is what can be told from it
        near, far = np.flatnonzero(scores >= scores.mean()), np.flatnonzero(scores < scores.mean())
    names = tuple(None if side is None else tuple(side[i] for i in near) for side in texts)
    pairs = Pairs(x[near], y[near], _shared(names, len(near)), _both(names))
    between = cosines(x, y)
    rows = np.arange(len(near)), len(near) + np.arange(len(far))
    return replace(found, pairs=pairs, cosines=Cosines(between[near], between[far], *rows))


def _drawn(pairs: Pairs, generator: np.random.Generator) -> Cosines | None:
    """Near cosines, and those of `FAR` pairs an anchor with positives of other groups; None where there are none."""
    count = len(pairs.anchors)
    rows = np.repeat(np.arange(count), FAR)
    other = generator.integers(0, count, count * FAR)
    far = pairs.groups[rows] != pairs.groups[other]
    if not far.any():
        return None
    rows, other = rows[far], other[far]
    found = np.concatenate(
        [
            cosines(pairs.anchors[rows[i : i + BLOCK]], pairs.positives[other[i : i + BLOCK]])
            for i in range(0, len(rows), BLOCK)
        ]
    )
    return Cosines(cosines(pairs.anchors, pairs.positives), found, np.arange(count), rows)


BLOCK = 16_384


def _shared(texts: tuple[Texts | None, ...], count: int) -> Ids:
    """Groups of rows that share a text, directly or through others; each row its own without texts."""
    from nearfar.data.groups import duplicate_groups, numbers_of

    if texts[0] is None or texts[1] is None:
        return np.arange(count)
    return duplicate_groups([numbers_of(side) for side in texts if side is not None])


def _both(texts: tuple[Texts | None, ...]) -> tuple[Texts, Texts] | None:
    return None if texts[0] is None or texts[1] is None else (texts[0], texts[1])
