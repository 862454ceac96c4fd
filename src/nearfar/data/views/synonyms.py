"""Views that need to know which words may stand for each other: synonym, insert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from nearfar.data.views.base import option
from nearfar.data.views.draws import choose, pick
from nearfar.data.views.thesaurus import Lookup, apart, open_thesaurus
from nearfar.data.views.units import cut, part_of
from nearfar.data.views.words import UnitView
from nearfar.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ThesaurusView(UnitView):
    """A view with a source of synonyms."""

    wordnet: str = option("", "folder of WordNet's files; Debian's where it is there")
    senses: int = option(1, "most frequent senses of WordNet that count; EDA takes all", least=1)
    model: str = option("", "folder of a static encoder, for words that WordNet does not know")
    closest: int = option(5, "neighbours in the encoder that count as synonyms", least=1)
    similarity: float = option(0.5, "cosine that such a neighbour has at least", least=-1, most=1)

    @property
    def thesaurus(self) -> Lookup:
        """The source, opened once for all views that share it."""
        try:
            return open_thesaurus(self.wordnet, self.model, self.senses, self.closest, self.similarity)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error

    def prepare(self, texts: Sequence[str] = (), *, lasting: bool = True) -> None:
        self.thesaurus  # noqa: B018 (so that it is known whether there is one)
        super().prepare(texts, lasting=lasting)


@dataclass(frozen=True, kw_only=True)
class Synonym(ThesaurusView):
    """Puts synonyms in the place of some words."""

    name = "synonym"
    keeps = "the meaning, as far as the synonym is one in this sense; inflected and function words stay as they are"
    breaks = "the sense (a bank of a river), register, a or an; neighbours in an encoder are often opposites or kin"
    source = "Wei & Zou 2019 (EDA); WordNet, Miller 1995"

    share: float = option(0.1, "share of the units replaced, at least one", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts, synonyms = cut(text), self.thesaurus
        units = parts.units
        known = [place for place, unit in enumerate(units) if synonyms(unit)]
        if not known:
            return text
        for place in choose(random, len(known), min(part_of(self.share, len(units)), len(known))):
            found = synonyms(units[known[place]])
            units[known[place]] = found[pick(random, len(found))]
        return parts.joined(units)


@dataclass(frozen=True, kw_only=True)
class Insert(ThesaurusView):
    """Puts synonyms of some words at places drawn by chance."""

    name = "insert"
    keeps = "every word and their order; what comes in is near what is there"
    breaks = "grammar; a synonym of another sense brings in a topic of its own"
    source = "Wei & Zou 2019 (EDA)"

    share: float = option(0.1, "insertions as a share of the units, at least one", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        parts, synonyms = cut(text), self.thesaurus
        units, size = parts.units, len(parts)
        known = [unit for unit in units if synonyms(unit)]
        if not known:
            return text
        ends, between = parts.ends, " " if parts.spaced or size == 1 else ""
        for _ in range(part_of(self.share, size)):
            found = synonyms(known[pick(random, len(known))])
            word = apart(found[pick(random, len(found))])[1]
            units[ends[pick(random, len(ends))]] += between + word
        return parts.joined(units)
