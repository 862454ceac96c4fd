"""`analyse`: everything that a set of embeddings allows; `analyse_table`: the same from a table and an encoder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.analysis import gathering
from nearfar.analysis.analysis import Analysis, Hub, Suspect
from nearfar.analysis.false_negatives import false_negatives
from nearfar.analysis.given import Columns, Given, Ids, Texts, given_of
from nearfar.analysis.hardness import BATCH
from nearfar.analysis.invariance import moved_texts
from nearfar.analysis.labels import codes_of
from nearfar.analysis.neighbours import hubness_of
from nearfar.analysis.tasks import Embed, embedded
from nearfar.analysis.vectors import Vectors, checked, cosines
from nearfar.analysis.words import Text
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.data import Table

MOST = 10_000
"""Rows that are looked at by default; more are sampled down to it."""

LISTED = 100
"""Entries of the lists of hubs and of false negatives."""

VIEWED = 1000
"""Texts whose views `analyse_table` encodes."""


def analyse(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    texts: Sequence[str] | None = None,
    other_texts: Sequence[str] | None = None,
    labels: Sequence[Hashable] | None = None,
    scores: ArrayLike | None = None,
    moved: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    before: tuple[ArrayLike, ArrayLike | None] | None = None,
    temperature: float = 0.05,
    batch_size: int = BATCH,
    k: int = 10,
    most: int = MOST,
    total: int | None = None,
    seed: int = 0,
    resamples: int = 1000,
    source: str = "memory",
) -> Analysis:
    """Every measurement that a set of embeddings allows, with intervals; the rest is left out with the reason.

    Args:
        x: `(n, d)`. Alone: texts. With `labels`: labelled texts. With `y`: near pairs, row beside row; with `scores`
            too: scored pairs, whose highest quarter is near and whose lowest is far.
        y: `(n, d)`.
        texts: of `x`; rows of one text are one point, and lists have words.
        other_texts: of `y`, where `texts` are given.
        labels: of `x`.
        scores: `(n,)`.
        moved: view -> both sides `(v, d)` of the first v rows of `x` through it, see `moved_texts`.
        before: `x` and `y` under another model, of any width, for the drift from it.
        temperature: of the softmax whose negatives and gradients are measured.
        batch_size: rows that see each other as negatives.
        k: neighbours of hubness.
        most: rows that are looked at; of more, so many are drawn, and a note says so.
        total: rows of the data, where `x` is drawn from it already.
        seed: of all that is drawn.
        resamples: of the bootstrap; 0 does without intervals.
        source: what to call the data.

    Raises:
        InputError: NaN or infinity (with the row), or columns that do not go together.
    """
    moved, total = moved or {}, len(np.asarray(x)) if total is None else total
    keep = max((len(np.asarray(left)) for left, _ in moved.values()), default=0)
    given = given_of(Columns(x, y, texts, other_texts, labels, scores), most=most, keep=keep, seed=seed, source=source)
    out = gathering.Gathering(given, gathering.Options(temperature, batch_size, k, seed, resamples))
    gathering.gather(out)
    gathering.views(out, moved)
    if before is not None:
        gathering.other_model(out, _points_of(before, given, y is not None, source))
    return _analysis(out, total, source)


def _analysis(out: gathering.Gathering, total: int, source: str) -> Analysis:
    given, options = out.given, out.options
    return Analysis(
        source=source,
        kind=given.kind,
        rows=total,
        used=len(given.rows),
        width=given.points.shape[1],
        figures=gathering.in_table_order(out.figures),
        left_out=gathering.in_table_order(out.left_out),
        notes=_notes(given, total),
        samples=out.samples,
        points=given.points,
        texts=given.texts,
        labels=_labels_of_points(given),
        hubs=_hubs(out),
        false_negatives=_suspects(given),
        settings={name: getattr(options, name) for name in ("temperature", "batch_size", "k", "seed")},
    )


def _points_of(before: tuple[ArrayLike, ArrayLike | None], given: Given, both: bool, source: str) -> np.ndarray:
    """The points under another model: of the same rows."""
    what = "embeddings of the other model"
    sides = [checked(side, least=1, source=source, what=what) for side in before if side is not None]
    found = [len(side) for side in sides]
    if found != [given.total] * (1 + both):
        raise InputError(f"before: found {found} embeddings, wanted those of the same {given.total} rows")
    rows = np.concatenate([side[given.rows] for side in sides])
    return np.asarray(rows[given.first])


def _notes(given: Given, total: int) -> tuple[Text, ...]:
    notes = []
    if len(given.rows) < total:
        many, all_ = f"{len(given.rows):,}", f"{total:,}"
        notes.append(Text(f"{many} of {all_} rows, drawn at random", f"{all_}행 가운데 무작위로 뽑은 {many}행"))
    if given.scored is not None and given.cosines is not None:
        notes.append(
            Text(
                "near pairs are the quarter of the rows with the highest scores, far ones that with the lowest",
                "가까운 쌍은 점수가 가장 높은 4분의 1, 먼 쌍은 가장 낮은 4분의 1입니다",
            )
        )
    if given.labelled is not None and given.pairs is not None:
        notes.append(
            Text(
                "a text's near one is another of its label, drawn at random",
                "가까운 쌍은 레이블이 같은 다른 텍스트를 무작위로 짝지은 것입니다",
            )
        )
    return tuple(notes)


def _labels_of_points(given: Given) -> tuple[Hashable, ...] | None:
    if given.labelled is None:
        return None
    return tuple(given.labelled[1][i] for i in given.first)


def _hubs(out: gathering.Gathering) -> tuple[Hub, ...]:
    if "neighbours" not in out.samples:
        return ()
    found, texts = hubness_of(out.samples["neighbours"]), out.given.texts
    return tuple(
        Hub(int(row), int(found.counts[row]), None if texts is None else texts[row]) for row in found.hubs[:LISTED]
    )


def _suspects(given: Given) -> tuple[Suspect, ...]:
    """Of labelled rows those of different labels, else of pairs, else of points."""
    x: Vectors = given.points
    y: Vectors | None = None
    groups: Ids | None = None
    own: NDArray[np.float32] | None = None
    texts: tuple[Texts, ...] | None = None if given.texts is None else (given.texts,) * 2
    if given.labelled is not None:
        x, groups = given.labelled[0], codes_of(given.labelled[1])
        if given.texts is not None:
            texts = (tuple(given.texts[i] for i in given.place.tolist()),) * 2
    elif given.pairs is not None:
        x, y, groups, texts = given.pairs.anchors, given.pairs.positives, given.pairs.groups, given.pairs.texts
        own = cosines(x, y)
    if len(x) < 2:
        return ()
    found = false_negatives(x, y, groups=groups, count=LISTED)
    return tuple(
        Suspect(
            row,
            other,
            cosine,
            None if own is None else float(own[row]),
            None if texts is None else texts[0][row],
            None if texts is None else texts[1][other],
        )
        for row, other, cosine in zip(found.rows.tolist(), found.others.tolist(), found.cosines.tolist(), strict=True)
    )


def analyse_table(
    table: Table,
    embed: Embed,
    *,
    before: Embed | None = None,
    views: Sequence[str] = (),
    temperature: float = 0.05,
    batch_size: int = BATCH,
    most: int = MOST,
    seed: int = 0,
    resamples: int = 1000,
) -> Analysis:
    """`analyse` a table under an encoder: only the rows that are looked at are encoded, each distinct text once.

    Args:
        table: of any kind; of pairs, the negatives are not looked at.
        embed: texts to embeddings `(n, d)`, `encoding.encoder(model)` for one.
        before: another model's, for the drift from it.
        views: settings of views, as `nearfar train --view` takes them, to whose change the first `VIEWED` rows are put.
        temperature, batch_size, most, seed, resamples: as `analyse`.

    Raises:
        InputError: as `analyse`; a view that is unknown or not of texts.
    """
    total = len(table)
    if total > most:
        table = table.select(np.sort(np.random.default_rng(seed).choice(total, most, replace=False)))
    columns = [[str(text) for text in table.column(role)] for role in table.text_roles[:2]]
    changed = moved_texts(columns[0][:VIEWED], views, seed=seed)
    sides = [side for pair in changed.values() for side in pair]
    vectors = embedded(embed, table.source, *columns, *sides)
    rest = iter(vectors[len(columns) :])
    old = None if before is None else embedded(before, table.source, *columns)
    return analyse(
        *vectors[: len(columns)],
        texts=columns[0],
        other_texts=columns[1] if len(columns) > 1 else None,
        labels=table.column("label") if table.kind == "labelled" else None,
        scores=table.column("score") if table.kind == "scored" else None,
        moved={view: (next(rest), next(rest)) for view in changed},
        before=None if old is None else (old[0], old[1] if len(old) > 1 else None),
        temperature=temperature,
        batch_size=batch_size,
        most=most,
        total=total,
        seed=seed,
        resamples=resamples,
        source=table.source,
    )
