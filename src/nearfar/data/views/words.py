"""Views that change single units: delete, swap, repeat, mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from nearfar.data.views import korean
from nearfar.data.views.base import TextView, option
from nearfar.data.views.draws import choose, pick
from nearfar.data.views.units import cut, part_of


@dataclass(frozen=True, kw_only=True)
class UnitView(TextView):
    """A view that changes units, for which Korean text is analysed."""

    def prepare(self, texts: Sequence[str] = (), *, lasting: bool = True) -> None:
        korean.prepare(texts, lasting=lasting)


@dataclass(frozen=True, kw_only=True)
class Delete(UnitView):
    """Leaves out some units, never all of them."""

    name = "delete"
    keeps = "the order and most of the words; it teaches that no single word decides"
    breaks = "a negation, a number or the one word that matters may be the one left out"
    source = "Wei & Zou 2019 (EDA); a fixed share, not a coin a word, so that a short text changes too"

    share: float = option(0.1, "share of the units left out, at least one", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts = cut(text)
        size = len(parts)
        if size < 2:
            return text
        return parts.without(choose(random, size, min(part_of(self.share, size), size - 1)))


@dataclass(frozen=True, kw_only=True)
class Swap(UnitView):
    """Lets two units change places, so many times as the share says."""

    name = "swap"
    keeps = "every word"
    breaks = "who does what to whom (the dog bit the man), and in Korean which noun a particle belongs to"
    source = "Wei & Zou 2019 (EDA)"

    share: float = option(0.1, "exchanges as a share of the units, at least one", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts = cut(text)
        units, size = parts.units, len(parts)
        if size < 2:
            return text
        for _ in range(part_of(self.share, size)):
            one = pick(random, size)
            other = (one + 1 + pick(random, size - 1)) % size
            units[one], units[other] = units[other], units[one]
        return parts.joined(units)


@dataclass(frozen=True, kw_only=True)
class Repeat(UnitView):
    """Says some units twice in a row; how many is drawn anew for each text."""

    name = "repeat"
    keeps = "all that is said and its order; the pair differs in length, which else gives positives away"
    breaks = "next to nothing; a number said twice reads as another number"
    source = "Wu et al. 2022 (ESimCSE), section 3.1"

    share: float = option(0.32, "units said twice at the most, as a share; at least two", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts = cut(text)
        units, size = parts.units, len(parts)
        if not size:
            return text
        most = min(max(2, int(self.share * size)), size)
        for place in choose(random, size, 1 + pick(random, most)):
            unit = units[place]
            units[place] = f"{unit} {unit}" if parts.stands_alone(place) else unit + unit
        return parts.joined(units)


@dataclass(frozen=True, kw_only=True)
class Mask(UnitView):
    """Puts a mask in the place of some units, never of all."""

    name = "mask"
    keeps = "order, length, and that something stood there"
    breaks = "what stood there; a token that the encoder does not know as its mask is a word like any other"
    source = "Devlin et al. 2019 (BERT) for the mask; Liu et al. 2021 (Mirror-BERT) for a positive made so"

    share: float = option(0.15, "share of the units masked, at least one", above=0, most=1)
    token: str = option("[MASK]", "what the encoder's tokenizer takes for a mask")

    def change(self, text: str, random: Random) -> str:
        parts = cut(text)
        units, size = parts.units, len(parts)
        if size < 2:
            return text
        for place in choose(random, size, min(part_of(self.share, size), size - 1)):
            units[place] = self.token
        return parts.joined(units)
