"""What the report of a space says besides the figures, from words.toml beside this file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from nearfar.analysis.words import Language, Text


def page_words(language: Language) -> dict[str, str]:
    """Name -> word or sentence of the page."""
    return {name: Text(**both)[language] for name, both in _everything()["page"].items()}


def picture_words(language: Language) -> dict[str, dict[str, str]]:
    """Picture -> its `title` and its `reading`."""
    return {
        name: {part: Text(**both)[language] for part, both in parts.items()}
        for name, parts in _everything()["pictures"].items()
    }


@cache
def _everything() -> dict[str, Any]:
    return tomllib.loads(files("nearfar.analysis.report").joinpath("words.toml").read_text("utf-8"))
