"""Views that take parts of a text: crop, span, inverse_cloze, adjacent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from nearfar.data.views.base import TextView, option
from nearfar.data.views.draws import pick
from nearfar.data.views.units import cut
from nearfar.data.views.words import UnitView
from nearfar.errors import InputError

END = re.compile(r"""[.!?…]["'”’»)\]]*\s+|[。！？][」』”’）]*\s*|[\n\u2028\u2029]""")
"""A mark with what closes after it and white space, of which Chinese and Japanese need none; or a new line."""


def sentences(text: str) -> list[str]:
    """The sentences of a text, by their marks and lines; "Dr. Smith" is cut, as no list of abbreviations is kept."""
    ends = [match.end() for match in END.finditer(text)]
    places = [0, *(end for end in ends if not text[end : end + 1].islower()), len(text)]
    parts = (text[start:stop].strip() for start, stop in pairwise(places))
    return [part for part in parts if part]


@dataclass(frozen=True, kw_only=True)
class Crop(UnitView):
    """Keeps one run of units."""

    name = "crop"
    keeps = "a run of the text word for word; what holds for the whole often holds for its part"
    breaks = "what was said outside the run; of a short sentence that may be the point"
    source = "Izacard et al. 2022 (Contriever), section 3.1; Gao et al. 2021 (SimCSE), table 1"

    keep: float = option(0.7, "share of the units that stay", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts = cut(text)
        size = len(parts)
        length = max(1, min(int(self.keep * size + 0.5), size - 1))
        if size < 2:
            return text
        start = pick(random, size - length + 1)
        return parts.part(start, start + length)


@dataclass(frozen=True, kw_only=True)
class Span(UnitView):
    """Two runs of one text: a longer one as anchor and a shorter one in, over the edge of, or next to it."""

    name = "span"
    keeps = "the topic of the document, as far as neighbouring passages share it"
    breaks = "the detail: the two runs may say different things; of single sentences little is left"
    source = "Giorgi et al. 2021 (DeCLUTR), section 3.1: lengths from Beta(4, 2) and Beta(2, 4)"

    shortest: int = option(4, "units of a run at least", least=1)
    longest: int = option(256, "units of a run at most", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.longest < self.shortest:
            raise InputError(f"span: longest: found {self.longest}, wanted at least shortest, {self.shortest}")

    def split(self, text: str, random: Random) -> tuple[str, str]:
        parts = cut(text)
        size = len(parts)
        if size < 2:
            return text, text
        low, high = min(self.shortest, size - 1), min(self.longest, size)
        # the k-th smallest of n uniform numbers is Beta(k, n + 1 - k)
        long = sorted(random.random() for _ in range(5))[3]
        short = sorted(random.random() for _ in range(5))[1]
        length, other = low + int(long * (high - low + 1)), low + int(short * (high - low + 1))
        start = pick(random, size - length + 1)
        first, last = max(0, start - other), min(start + length, size - other)
        beside = first + pick(random, last - first + 1)
        return parts.part(start, start + length), parts.part(beside, beside + other)


@dataclass(frozen=True, kw_only=True)
class InverseCloze(TextView):
    """A sentence as anchor, what stands around it as positive."""

    name = "inverse_cloze"
    keeps = "the topic: a sentence is to find the passage that it was taken from, as a question finds its answer"
    breaks = "nothing of a text with one theme; a text of one sentence stays as it is"
    source = "Lee et al. 2019 (ORQA), section 5"

    keep: float = option(0.1, "share of the rows whose passage keeps the sentence", least=0, most=1)

    def split(self, text: str, random: Random) -> tuple[str, str]:
        found = sentences(text)
        if len(found) < 2:
            return text, text
        place = pick(random, len(found))
        if random.random() < self.keep:
            return found[place], text
        return found[place], " ".join(found[:place] + found[place + 1 :])


@dataclass(frozen=True, kw_only=True)
class Adjacent(TextView):
    """A sentence as anchor, a neighbouring one as positive."""

    name = "adjacent"
    keeps = "the topic and the thread of the text"
    breaks = "the meaning proper: neighbours say different things; a text of one sentence stays as it is"
    source = "Logeswaran & Lee 2018 (Quick-Thoughts); Iter et al. 2020 (CONPONO)"

    window: int = option(1, "sentences that the positive may be away", least=1)

    def split(self, text: str, random: Random) -> tuple[str, str]:
        found = sentences(text)
        size = len(found)
        if size < 2:
            return text, text
        place = pick(random, size)
        first, last = max(0, place - self.window), min(size - 1, place + self.window)
        other = first + pick(random, last - first)
        return found[place], found[other + (other >= place)]
