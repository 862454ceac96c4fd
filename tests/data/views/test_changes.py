"""Each view does what it says, by what can be seen of its result."""

from __future__ import annotations

import unicodedata
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.views import korean, parse_view
from nearfar.data.views.spans import sentences
from nearfar.data.views.typo import slips
from nearfar.data.views.units import cut
from tests.data.views.conftest import CHINESE, ENGLISH, KOREAN

texts = pytest.mark.parametrize("text", [ENGLISH, KOREAN, CHINESE], ids=["en", "ko", "zh"])
words = st.lists(st.text("abcde가나다", min_size=1), min_size=2, max_size=40).map(" ".join)


def pairs(view: str, text: str, count: int = 30) -> list[tuple[str, str]]:
    return [parse_view(view).pair(text, Random(seed)) for seed in range(count)]


def changed(view: str, text: str, count: int = 30) -> list[str]:
    for anchor, _ in pairs(view, text, count):
        assert anchor == text
    return [positive for _, positive in pairs(view, text, count)]


def is_subsequence(part: str, whole: str) -> bool:
    letters = iter(whole)
    return all(letter in letters for letter in part)


@texts
def test_delete_leaves_out_a_share(text: str) -> None:
    units = cut(text).units
    for positive in changed("delete:share=0.3", text):
        assert is_subsequence(positive, text)
        lost = Counter(text.replace(" ", "")) - Counter(positive.replace(" ", ""))
        assert 0.15 * len(units) <= lost.total()
    assert len(set(changed("delete", text))) > 5


@given(text=words, seed=st.integers(0, 99))
def test_delete_and_mask_leave_something(text: str, seed: int) -> None:
    assert parse_view("delete:share=1").pair(text, Random(seed))[1] in cut(text).units
    masked = parse_view("mask:share=1,token=#").pair(text, Random(seed))[1]
    assert masked.count("#") == len(cut(text)) - 1


@texts
def test_swap_keeps_every_unit(text: str) -> None:
    for positive in changed("swap", text):
        assert Counter(positive) == Counter(text)
        assert positive != text


@texts
def test_repeat_only_adds(text: str) -> None:
    units = cut(text).units
    lengths = set()
    for positive in changed("repeat", text):
        assert is_subsequence(text, positive)
        added = Counter(positive.replace(" ", "")) - Counter(text.replace(" ", ""))
        assert added.total() <= sum(sorted(map(len, units))[-max(2, int(0.32 * len(units))) :])
        lengths.add(len(positive))
    assert len(lengths) > 3


@texts
def test_mask_keeps_the_places_of_the_rest(text: str) -> None:
    for positive in changed("mask:share=0.2,token=#", text):
        assert positive.count("#") == max(1, int(0.2 * len(cut(text)) + 0.5))
        parts = [part.strip() for part in positive.split("#")]
        assert is_subsequence("".join(parts), text)


@texts
def test_crop_is_a_run_of_the_text(text: str) -> None:
    found = changed("crop:keep=0.5", text)
    assert len(set(found)) > 5
    for positive in found:
        assert positive in text
        assert 0.2 * len(text) < len(positive) < 0.8 * len(text)


@texts
def test_span_makes_two_runs_of_the_text(text: str) -> None:
    longer = 0
    for anchor, positive in pairs("span:shortest=3,longest=12", text, 200):
        assert anchor in text
        assert positive in text
        longer += len(anchor) > len(positive)
        start, other = text.index(anchor), text.index(positive)
        assert other <= start + len(anchor) + 2  # within, over the edge, or next to each other
        assert start <= other + len(positive) + 2
    assert longer > 120  # Beta(4, 2) against Beta(2, 4)


def test_sentences() -> None:
    assert sentences(ENGLISH) == [
        "The quick cat jumps over the lazy dog, and then it sleeps.",
        "It wakes up at noon!",
        "Nobody knows why.",
    ]
    assert len(sentences(KOREAN)) == 3
    assert sentences(CHINESE) == ["我今天去学校。", "他很高兴！", "我们一起吃饭。"]
    assert sentences('He said "No." Then 3.5 kg vs. two.\nA title\n') == [
        'He said "No."',
        "Then 3.5 kg vs. two.",
        "A title",
    ]


@texts
def test_inverse_cloze_takes_a_sentence_out(text: str) -> None:
    whole = sentences(text)
    for anchor, positive in pairs("inverse_cloze:keep=0", text):
        assert anchor in whole
        assert sentences(positive) == [sentence for sentence in whole if sentence != anchor]
    kept = sum(positive == text for _, positive in pairs("inverse_cloze:keep=0.5", text, 200))
    assert 60 < kept < 140


@texts
def test_adjacent_are_neighbours(text: str) -> None:
    whole = sentences(text)
    apart = {whole.index(anchor) - whole.index(positive) for anchor, positive in pairs("adjacent", text)}
    assert apart == {1, -1}
    apart = {whole.index(anchor) - whole.index(positive) for anchor, positive in pairs("adjacent:window=9", text)}
    assert apart == {1, -1, 2, -2}


NEAR = {
    "a": "qwsz",
    "g": "tyfhvb",
    "p": "ol",
    "m": "njk",
    "Q": "WA",
    "1": "",
    "é": "",
    "ㅋ": "ㅁㄴㅌ",
    "ㅠ": "ㅗㅎㅍㅜ",
}
"""Read off a keyboard by hand."""


@pytest.mark.parametrize(("letter", "near"), NEAR.items())
def test_neighbours_on_the_keyboard(letter: str, near: str) -> None:
    assert set(slips(letter)) == set(near)


def test_a_slip_in_a_syllable_is_one_jamo_on_a_key_beside_or_the_other_shift() -> None:
    assert set(slips("가")) == set("다사아라까" + "거기갸개그")
    for syllable in "가값쀓힣뷁":
        for other in slips(syllable):
            assert "가" <= other <= "힣"
            one, two = (unicodedata.normalize("NFD", each) for each in (syllable, other))
            assert sum(a != b for a, b in zip(one, two, strict=True)) == 1


@pytest.mark.parametrize("text", [ENGLISH, KOREAN], ids=["en", "ko"])
def test_typo_strikes_neighbouring_keys(text: str) -> None:
    most = int(0.1 * len(text) + 0.5)
    for positive in changed("typo:share=0.1", text):
        assert len(positive) == len(text)
        different = [(a, b) for a, b in zip(text, positive, strict=True) if a != b]
        assert 0 < len(different) <= most
    for positive in changed("typo:share=0.001", text):
        ((before, after),) = [(a, b) for a, b in zip(text, positive, strict=True) if a != b]
        assert after in slips(before)


def test_a_letter_with_a_mark_is_left_alone() -> None:
    assert set(changed("typo:share=1", "e\u0301")) == {"e\u0301"}


def test_korean_units_are_morphemes() -> None:
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed (nearfar[ko])")
    assert cut("나는 학교에 갔다.").units == ["나", "는", "학교", "에", "갔", "다."]
    assert cut("나는 computer를 샀다").units == ["나", "는", "computer", "를", "샀", "다"]


def test_without_kiwipiepy_korean_units_are_eojeol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(korean, "installed", lambda: False)
    assert cut(KOREAN).units == KOREAN.split()


def test_scripts_without_spaces_are_cut_at_characters_with_their_marks() -> None:
    assert cut("か\u3099き 漢字 abc").units == ["か\u3099", "き", "漢", "字", "abc"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_syllables_stay_whole(form: str) -> None:
    text = unicodedata.normalize(form, KOREAN)
    whole = set(KOREAN)
    for view in ("delete:share=0.5", "swap", "repeat", "crop", "mask:token=."):
        for positive in changed(view, text, 5):
            assert set(unicodedata.normalize("NFC", positive)) <= whole


def test_white_space_stays_as_it_was() -> None:
    text = "\n one  two\tthree   four "
    assert parse_view("mask:share=0.01,token=two").pair(text, Random(7))[1].split("two")[0].startswith("\n ")
    for positive in changed("delete:share=0.01", text):
        assert positive in {
            "\n two\tthree   four ",
            "\n one  three   four ",
            "\n one  two   four ",
            "\n one  two\tthree ",
        }
