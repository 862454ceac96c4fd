"""What figures are called, how each is read, what a value means, in English or Korean; words.toml has the texts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from nearfar.analysis.verdicts import Verdict, judge, measure_named
from nearfar.errors import InputError

Language = Literal["en", "ko"]
LANGUAGES: tuple[Language, ...] = ("en", "ko")


@dataclass(frozen=True)
class Text:
    """One text in both languages."""

    en: str
    ko: str

    def __getitem__(self, language: Language) -> str:
        if language not in LANGUAGES:
            raise InputError(f"language: found {language!r}, wanted one of {', '.join(LANGUAGES)}")
        return self.en if language == "en" else self.ko


@dataclass(frozen=True)
class Wording:
    """A figure in words."""

    title: Text
    reading: Text
    good: Text
    watch: Text
    bad: Text


VERDICTS: dict[Verdict, Text] = {
    "good": Text("good", "좋음"),
    "watch": Text("watch", "주의"),
    "bad": Text("bad", "나쁨"),
}


def title(figure: str, language: Language = "en") -> str:
    """What the figure is called; the view of `invariance:delete` stands behind it."""
    _, _, view = figure.partition(":")
    return words()[measure_named(figure).name].title[language] + (f": {view}" if view else "")


def reading(figure: str, language: Language = "en") -> str:
    """One sentence on how to read it."""
    return words()[measure_named(figure).name].reading[language]


def meaning(figure: str, value: float, judged: float | None = None, language: Language = "en") -> str:
    """One sentence on what this value means, by its verdict; `judged` where that goes by another number."""
    measure = measure_named(figure)
    text: Text = getattr(words()[measure.name], judge(figure, value if judged is None else judged))
    return text[language].format(value=format(value, measure.form))


@cache
def words() -> dict[str, Wording]:
    """The wording of every figure, from words.toml beside this file."""
    found = tomllib.loads(files("nearfar.analysis").joinpath("words.toml").read_text("utf-8"))
    return {name: Wording(**{part: Text(**both) for part, both in parts.items()}) for name, parts in found.items()}
