"""Units of change: words, Korean morphemes, characters of scripts without spaces; what is between them is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import regex

from nearfar.data.views.korean import has_hangul, morpheme_starts

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
"""Scripts written without spaces between words."""

IS_UNSPACED = regex.compile(f"[{UNSPACED}]")
WORD = regex.compile(r"\S+")
CHARACTER = regex.compile(rf"(?=[{UNSPACED}])\X|[^\s{UNSPACED}]+")
"""A character with its marks, or a run of other scripts."""


class Cut:
    """A text in units.

    Attributes:
        units: the pieces that a view moves.
        gaps: what stands before, between and after them, one more than units; None: single spaces between and
            nothing around, as in most text.
    """

    __slots__ = ("gaps", "units")

    def __init__(self, units: list[str], gaps: list[str] | None) -> None:
        self.units = units
        self.gaps = gaps

    def __len__(self) -> int:
        return len(self.units)

    def joined(self, units: Sequence[str]) -> str:
        """The text with other units, as many, between the same gaps."""
        if self.gaps is None:
            return " ".join(units)
        pairs = zip(self.gaps, units, strict=False)  # one gap is left over
        return "".join(chain.from_iterable(pairs)) + self.gaps[-1]

    def part(self, start: int, stop: int) -> str:
        """The text from one unit up to another."""
        units = self.units[start:stop]
        if self.gaps is None:
            return " ".join(units)
        return Cut(units, ["", *self.gaps[start + 1 : stop], ""]).joined(units)

    def without(self, places: Iterable[int]) -> str:
        """The text less some units; where units fall out, the widest of the gaps around them is left."""
        places = set(places)
        kept = [place for place in range(len(self.units)) if place not in places]
        units = [self.units[place] for place in kept]
        if self.gaps is None or not kept:
            return " ".join(units)
        between = [max(self.gaps[left + 1 : right + 1], key=len) for left, right in pairwise(kept)]
        return Cut(units, [self.gaps[0], *between, self.gaps[-1]]).joined(units)

    def stands_alone(self, place: int) -> bool:
        """Whether a unit has white space, or an end of the text, on both sides."""
        if self.gaps is None:
            return True
        return (place == 0 or self.gaps[place] != "") and (place == len(self.units) - 1 or self.gaps[place + 1] != "")

    @property
    def spaced(self) -> bool:
        """Whether there is white space between any two units."""
        return self.gaps is None or any(self.gaps[1:-1])

    @property
    def ends(self) -> Sequence[int]:
        """The units that white space follows, and the last one; all of them where there is none between any."""
        if self.gaps is None or not self.spaced:
            return range(len(self.units))
        return [place for place, gap in enumerate(self.gaps[1:-1]) if gap] + [len(self.units) - 1]


def cut(text: str) -> Cut:
    """The units of a text."""
    if text.isascii():
        return _words(text)
    starts = morpheme_starts(text) if has_hangul(text) else None
    unspaced = IS_UNSPACED.search(text) is not None
    if unspaced:
        characters = (match.start() for match in CHARACTER.finditer(text))
        return _at(text, sorted({*characters, *(starts or ())}))
    return _words(text) if starts is None else _at(text, starts)


def _words(text: str) -> Cut:
    units = text.split()
    if " ".join(units) == text:
        return Cut(units, None)
    return _at(text, [match.start() for match in WORD.finditer(text)])


def _at(text: str, starts: Iterable[int]) -> Cut:
    """The units that begin at these places; the white space that a piece ends in is a gap."""
    places = [*starts, len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(places)]
    units = [piece.rstrip() for piece in pieces]
    gaps = [piece[len(unit) :] for piece, unit in zip(pieces, units, strict=True)]
    return Cut(units, [text[: places[0]], *gaps])


def part_of(share: float, size: int) -> int:
    """How many of `size` units a share is: rounded, and at least one."""
    return max(1, int(share * size + 0.5))
