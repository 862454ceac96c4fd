"""Where Korean morphemes begin in a text, by kiwipiepy where it is installed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import regex

from nearfar.data.views.kept import Kept

HANGUL = re.compile("[\uac00-\ud7a3]")
GRAPHEME = regex.compile(r"\X")

MARKS = ("SF", "SP", "SE", "SSC")
"""Kiwi's tags of full stops, commas, dots and what closes a bracket or a quotation."""

LONGEST = 20_000
"""Characters; a longer text is cut at white space, since kiwipiepy takes seconds and much memory for a megabyte."""


def has_hangul(text: str) -> bool:
    """Whether there is a Hangul syllable in it."""
    return HANGUL.search(text) is not None


@lru_cache
def installed() -> bool:
    """Whether kiwipiepy is there (`pip install nearfar[ko]`)."""
    return find_spec("kiwipiepy") is not None


def morpheme_starts(text: str) -> Sequence[int] | None:
    """Where each morpheme, or what is written together of several, begins; None: cut at white space instead."""
    if not installed() or len(text) > LONGEST:
        return None
    return _starts(text)


def prepare(texts: Sequence[str], *, lasting: bool) -> None:
    """Analyse a batch together, which kiwipiepy does on several threads."""
    if installed() and (found := [text for text in texts if has_hangul(text) and len(text) <= LONGEST]):
        _starts.add(found, lasting=lasting)


def forget() -> None:
    """Drop the analyses that are kept, about 400 bytes for a sentence."""
    _starts.clear()


@lru_cache
def _kiwi() -> Any:
    from kiwipiepy import Kiwi

    return Kiwi()


def _analyse(texts: list[str]) -> Iterator[Sequence[int]]:
    for text, tokens in zip(texts, _kiwi().tokenize(texts), strict=True):
        yield array("H", sorted(_boundaries(text, tokens)))


def _boundaries(text: str, tokens: Sequence[Any]) -> set[int]:
    """Beginnings of words, and of tokens that share no character with the one before (갔다 is 가, 았 and 다).

    A mark stays with what it follows, as it does in words.
    """
    starts, covered = set(), 0
    for token in tokens:
        if token.start >= covered and token.tag not in MARKS:
            starts.add(token.start)
        covered = max(covered, token.start + token.len)
    whole = {match.start() for match in GRAPHEME.finditer(text)}  # no mark without its letter, no half of an emoji
    words = {match.start() for match in re.finditer(r"\S+", text)}
    return {start for start in starts & whole if not text[start].isspace()} | words


_starts: Kept[Sequence[int]] = Kept(_analyse)
