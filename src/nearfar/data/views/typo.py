"""Slips of the finger: a key beside the right one, in Hangul on the 2-set keyboard."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random

from nearfar.data.views.base import TextView, option
from nearfar.data.views.draws import pick
from nearfar.data.views.units import part_of

KEYBOARDS = (
    ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    ("ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ", "ㅁㄴㅇㄹㅎㅗㅓㅏㅣ", "ㅋㅌㅊㅍㅠㅜㅡ"),
)
"""Rows of keys from the top; each row stands half a key to the right of the one above."""

SHIFTED = ("ㅂㅃ", "ㅈㅉ", "ㄷㄸ", "ㄱㄲ", "ㅅㅆ", "ㅐㅒ", "ㅔㅖ")
"""A jamo and what its key gives with shift: a slip of the other hand."""

PLACES = ("CHOSEONG", "JUNGSEONG", "JONGSEONG")
"""Unicode's names for the jamo of a syllable: first consonant, vowel, last consonant."""


@dataclass(frozen=True, kw_only=True)
class Typo(TextView):
    """Strikes a neighbouring key in the place of some letters; of a Hangul syllable, for one of its jamo."""

    name = "typo"
    keeps = "what a reader who is used to slips understands"
    breaks = "a word may turn into another one (cat, car; 물, 불); a static encoder sees unknown subwords"
    source = "Belinkov & Bisk 2018 (keyboard noise); the 2-set layout of KS X 5002"

    share: float = option(0.05, "slips as a share of the characters, at least one", above=0, most=1)

    def change(self, text: str, random: Random) -> str:
        letters = list(text)
        wanted = part_of(self.share, len(letters))
        for _ in range(2 * wanted + 6):  # most characters are letters; some strokes miss
            wanted -= letters != [] and _slip(letters, pick(random, len(letters)), random)
            if not wanted:
                break
        changed = "".join(letters)
        if changed == text and (places := [place for place, letter in enumerate(letters) if slips(letter)]):
            _slip(letters, places[pick(random, len(places))], random)
            return "".join(letters)
        return changed


def _slip(letters: list[str], place: int, random: Random) -> bool:
    """Change the letter at a place where it has neighbours and no mark on it; whether it has."""
    found = slips(letters[place])
    if not found or (place + 1 < len(letters) and unicodedata.combining(letters[place + 1])):
        return False
    letters[place] = found[pick(random, len(found))]
    return True


@lru_cache(maxsize=1 << 15)
def slips(letter: str) -> str:
    """What a slip may make of a character: one other after the other, none where it is on no known keyboard."""
    if "가" <= letter <= "힣":
        return "".join(_syllables(letter))
    near = NEIGHBOURS.get(letter.lower(), "")
    return near if letter in NEIGHBOURS else near.upper()


def _syllables(syllable: str) -> Iterator[str]:
    """The syllables that differ in one jamo by one slip.

    Unicode's own decomposition takes a syllable apart and puts it together, and its names tell which consonant
    is first and which last: no library for Hangul would add to that.
    """
    jamo = unicodedata.normalize("NFD", syllable)
    for place, part in enumerate(jamo):
        letter = unicodedata.name(part).rpartition(" ")[2]
        for near in NEIGHBOURS.get(unicodedata.lookup(f"HANGUL LETTER {letter}"), ""):
            name = f"HANGUL {PLACES[place]} {unicodedata.name(near).rpartition(' ')[2]}"
            try:
                other = unicodedata.lookup(name)
            except KeyError:  # a vowel beside a consonant, or a consonant that ends no syllable
                continue
            yield unicodedata.normalize("NFC", jamo[:place] + other + jamo[place + 1 :])


def _neighbours() -> dict[str, str]:
    """Character -> those on the keys around its own."""
    found: dict[str, str] = {}
    for rows in KEYBOARDS:
        places = {(column, row): key for row, keys in enumerate(rows) for column, key in enumerate(keys)}
        for (column, row), key in places.items():
            around = ((-1, 0), (1, 0), (0, -1), (1, -1), (-1, 1), (0, 1))
            found[key] = "".join(places.get((column + x, row + y), "") for x, y in around)
    for pair, (one, other) in product(SHIFTED, ((0, 1), (1, 0))):
        found[pair[one]] = found.get(pair[one], "") + pair[other]
    return found


NEIGHBOURS = _neighbours()
