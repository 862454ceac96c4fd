"""Judgements of two texts, near or far, combined by anchor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Fill = Callable[[str, Sequence[str], Sequence[str]], Sequence[str]]
"""(anchor, its near texts, its far texts) -> more far texts."""


class Judgement(NamedTuple):
    """One judgement; a row of the source may stand for several.

    Attributes:
        row: of the source.
        anchor: a text.
        other: a text.
        near: whether they were judged near.
    """

    row: int
    anchor: str
    other: str
    near: bool


@dataclass
class Combined:
    """Rows made of judgements.

    Attributes:
        rows: anchor, positive, negatives.
        used: rows of the source that have a part in them.
        reasons: row of the source -> why it has none.
        several: anchors with several near or far texts.
        filled: far texts that nobody judged.
    """

    rows: list[tuple[str, ...]] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    reasons: dict[int, str] = field(default_factory=dict)
    several: int = 0
    filled: int = 0

    def left_out(self) -> list[tuple[str, int]]:
        """Why -> how many rows of the source."""
        return Counter(why for row, why in self.reasons.items() if row not in self.used).most_common()


def combine(
    judgements: Iterable[Judgement],
    *,
    negatives: int,
    fill: Fill = lambda anchor, near, far: (),
    need: str = "far texts",
) -> Combined:
    """Each near text of an anchor with `negatives` of its far texts.

    Far texts are dealt in turn, so an anchor has as many rows as its near texts, or its far texts, ask for, and none
    of either is left over. An anchor with fewer than `negatives` far texts is left out.

    Args:
        judgements: in any order. Of equal ones the first counts; texts judged both near and far count for neither.
        negatives: far texts of a row.
        fill: more far texts, of anchors with near ones.
        need: what far texts are called, in a reason.
    """
    found = Combined()
    near, far = _by_anchor(judgements, found.reasons)
    for anchor, positives in near.items():
        against = far.get(anchor, {})
        filling = fill(anchor, list(positives), list(against)) if negatives else ()
        found.filled += len(filling)
        others = [*against, *filling]
        if len(others) < negatives:
            few = f"with {len(others)} {need}, fewer than {negatives}" if others else f"without {need}"
            found.reasons |= dict.fromkeys([*positives.values(), *against.values()], f"of an anchor {few}")
            continue
        found.rows += _rows(anchor, list(positives), others, negatives)
        found.used.update(positives.values(), against.values() if negatives else ())
        found.several += len(positives) > 1 or bool(negatives and len(against) > negatives)
    for anchor, against in far.items():
        why = "of an anchor without a near text" if anchor not in near else "far, where no negatives are wanted"
        found.reasons |= {row: why for row in against.values() if row not in found.used and row not in found.reasons}
    return found


def _rows(anchor: str, positives: Sequence[str], others: Sequence[str], negatives: int) -> Iterator[tuple[str, ...]]:
    turns = max(len(positives), -(-len(others) // negatives)) if negatives else len(positives)
    for turn in range(turns):
        dealt = (others[(turn * negatives + place) % len(others)] for place in range(negatives))
        yield anchor, positives[turn % len(positives)], *dealt


Side = dict[str, dict[str, int]]
"""Anchor -> its texts, each with the row that it comes from."""


def _by_anchor(judgements: Iterable[Judgement], reasons: dict[int, str]) -> tuple[Side, Side]:
    near: Side = {}
    far: Side = {}
    torn: set[tuple[str, str]] = set()
    for row, anchor, other, is_near in judgements:
        mine, opposite = (near, far) if is_near else (far, near)
        if anchor == other:
            reasons[row] = "of two equal texts"
        elif (anchor, other) in torn or other in opposite.get(anchor, ()):
            torn.add((anchor, other))
            reasons[row] = "judged both near and far"
            if (before := opposite.get(anchor, {}).pop(other, None)) is not None:
                reasons[before] = reasons[row]
        elif other in mine.setdefault(anchor, {}):
            reasons[row] = "repeated"
        else:
            mine[anchor][other] = row
    return {anchor: texts for anchor, texts in near.items() if texts}, far
