"""Every figure is called, read and explained in English and Korean."""

from __future__ import annotations

import re
from dataclasses import fields
from string import Formatter

import pytest

from nearfar.analysis.verdicts import MEASURES
from nearfar.analysis.words import LANGUAGES, VERDICTS, Text, meaning, reading, title, words
from nearfar.errors import InputError

HANGUL = re.compile("[가-힣]")


def test_every_figure_has_words_and_every_word_a_figure() -> None:
    assert list(words()) == list(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_words_are_of_their_language(name: str) -> None:
    wording = words()[name]
    for part in fields(wording):
        text: Text = getattr(wording, part.name)
        assert not HANGUL.search(text.en)
        assert HANGUL.search(text.ko) or name in ("mrr@10", "ndcg@10"), (name, part.name)
        wanted = ["value"] if part.name in VERDICTS else []
        for language in LANGUAGES:
            assert [field for _, field, _, _ in Formatter().parse(text[language]) if field] == wanted
            assert text[language].endswith((".", "다.", "세요.")) or part.name == "title"


def test_the_verdict_chooses_the_sentence() -> None:
    said = [meaning("uniformity", value) for value in (-3.0, -1.5, -0.2)]
    assert len(set(said)) == 3
    assert said[2].startswith("At -0.200, the texts are nearly in one spot")
    assert meaning("recall@1", 0.123, language="ko") == "12.3%만 맨 위에 옵니다."
    assert meaning("effective_rank", 120.0, 0.9) == "120.0 directions are in use, a good part of the space."
    assert title("invariance:swap", "ko") == "변형에 대한 불변성: swap"
    assert "비율" in reading("antihubs", "ko")
    assert [VERDICTS[name]["ko"] for name in ("good", "watch", "bad")] == ["좋음", "주의", "나쁨"]


def test_another_language_is_refused() -> None:
    with pytest.raises(InputError, match="language: found 'fr', wanted one of en, ko"):
        title("auc", "fr")  # type: ignore[arg-type]
