"""Labels: texts of one label to anchor and positive, texts of others to negatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.data.convert.base import Converted, converted
from nearfar.data.limits import check_least
from nearfar.data.tables import Table
from nearfar.errors import InputError

Numbers = NDArray[np.int64]


def convert_labels(table: Table, *, count: int = 1, negatives: int = 0, seed: int = 0) -> Converted:
    """Each text with others of its label, drawn; never with itself or an equal text; the label is the row's group.

    The texts of a label stand in a circle at random, and each takes those that follow it: so every text is as often a
    positive as it is an anchor.

    Args:
        table: text, label.
        count: rows of a text; a label of fewer other texts gives it as many as there are.
        negatives: of a row, different texts of other labels.
        seed: of what is drawn.

    Raises:
        InputError: the table has other roles, there are too few texts of other labels, or no row can be made.
    """
    if table.kind != "labelled":
        raise InputError(f"{table.source}: found {', '.join(table.roles)}, wanted text, label")
    check_least("count", count, 1)
    check_least("negatives", negatives, 0)
    generator = np.random.default_rng(seed)
    labels, left_out = _one_label_each(table)
    circles = _Circles.of(list(labels.values()), generator)
    sizes = circles.sizes[circles.sizes > 0]
    anchors, positives = circles.steps(count)
    far = circles.outside(anchors, negatives, table.source, generator)
    order = np.argsort(circles.texts[anchors], kind="stable")  # as the texts stand in the table
    numbers = circles.texts[np.column_stack([anchors, positives, far])[order]]
    texts = list(labels)
    rows = [tuple(texts[number] for number in row) for row in numbers.tolist()]
    return converted(
        rows,
        groups=[labels[row[0]] for row in rows],
        negatives=negatives,
        source=table.source,
        read=len(table),
        left_out=[*left_out, ("of the only text of their label", int((sizes == 1).sum()))],
        noted=[
            (f"texts with fewer than {count} others of their label", int(sizes[(sizes > 1) & (sizes <= count)].sum()))
        ],
    )


def _one_label_each(table: Table) -> tuple[dict[str, str], list[tuple[str, int]]]:
    """Text -> its label, where it has one alone; and why -> how many rows have no part in that."""
    labels: dict[str, str] = {}
    rows: dict[str, int] = {}
    torn: set[str] = set()
    for text, label in zip(table.column("text"), table.column("label"), strict=True):
        rows[text] = rows.get(text, 0) + 1
        if labels.setdefault(text, label) != label:
            torn.add(text)
    several = sum(rows[text] for text in torn)
    kept = {text: label for text, label in labels.items() if text not in torn}
    return kept, [("of a text of several labels", several), ("repeated", len(table) - several - len(kept))]


@dataclass(frozen=True)
class _Circles:
    """Texts sorted by label, those of a label at random; a place is a number in this order.

    Attributes:
        texts: ``(n,)``: the text at each place.
        classes: ``(n,)``: the label at each place, as a number.
        sizes: ``(labels,)``: texts of each.
        starts: ``(labels,)``: its first place.
    """

    texts: Numbers
    classes: Numbers
    sizes: Numbers
    starts: Numbers

    @classmethod
    def of(cls, labels: list[str], generator: np.random.Generator) -> _Circles:
        _, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
        texts = generator.permutation(len(labels))
        texts = texts[np.argsort(codes[texts], kind="stable")]
        sizes = np.bincount(codes, minlength=1)
        return cls(texts, codes[texts], sizes, np.cumsum(sizes) - sizes)

    def steps(self, count: int) -> tuple[Numbers, Numbers]:
        """The places of anchors, and of the positives up to `count` steps on in their circles."""
        places = np.arange(len(self.texts))
        start, size = self.starts[self.classes], self.sizes[self.classes]
        steps = np.arange(1, min(count, int(self.sizes.max()) - 1) + 1)
        there = steps[:, None] < size
        further = start + (places - start + steps[:, None]) % np.maximum(size, 1)
        return np.broadcast_to(places, there.shape)[there], further[there]

    def outside(self, anchors: Numbers, count: int, source: str, generator: np.random.Generator) -> Numbers:
        """``(rows, count)``: different places outside the circle of each anchor, drawn."""
        start, size = (of[self.classes[anchors]][:, None] for of in (self.starts, self.sizes))
        others = len(self.texts) - size
        if not count or not len(anchors):
            return np.zeros((len(anchors), 0), np.int64)
        if others.min() < count:
            raise InputError(
                f"{source}: found {others.min()} texts of other labels, wanted at least {count} as negatives"
            )
        edges = others * np.arange(count + 1) // count  # one from each of equal stretches: none is drawn twice
        drawn = generator.integers(edges[:, :-1], edges[:, 1:])
        outside: Numbers = generator.permuted(drawn + np.where(drawn >= start, size, 0), axis=1)
        return outside
