"""Whatever the text, every view ends, raises nothing and returns valid text."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.views import VIEWS, TextView, Views
from nearfar.data.views.units import cut
from tests.data.views.conftest import CHINESE, ENGLISH, KOREAN, ODD, any_text

NAMES = [name for name, view in VIEWS.items() if view.space == "text"]
every_view = pytest.mark.parametrize("name", NAMES)


def check(view: TextView, text: str, seed: int) -> None:
    first, second = view.pair(text, Random(seed))
    assert (first, second) == view.pair(text, Random(seed))
    for side in (first, second):
        side.encode()
        assert not side or side.isspace() == text.isspace()
        assert bool(side) == bool(text)


@every_view
@given(text=any_text, seed=st.integers(0, 9))
def test_any_text(name: str, text: str, seed: int, text_views: dict[str, TextView]) -> None:
    check(text_views[name], text, seed)


@every_view
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts(name: str, text: str, text_views: dict[str, TextView]) -> None:
    for seed in range(5):
        check(text_views[name], text, seed)


@every_view
@pytest.mark.parametrize("text", [ENGLISH + " ", KOREAN, CHINESE, "가", "a b\0"], ids=repr)
def test_a_megabyte(name: str, text: str, text_views: dict[str, TextView]) -> None:
    for side in text_views[name].pair(text * (1_000_000 // len(text)), Random(0)):
        side.encode()
        assert not side.isspace()


@given(text=any_text)
def test_units_and_gaps_make_the_text(text: str) -> None:
    parts = cut(text)
    assert parts.joined(parts.units) == text
    assert parts.part(0, len(parts)) == text.strip()
    assert all(parts.units)
    assert not any(unit.isspace() for unit in parts.units)


@pytest.mark.parametrize("text", [ENGLISH, KOREAN, CHINESE, *ODD.values()])
def test_half_characters_alone_are_replaced(text: str, text_views: dict[str, TextView]) -> None:
    whole = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    assert text_views["delete"].pair(text, Random(0))[0] == whole


@given(texts=st.lists(any_text), seed=st.integers())
def test_a_chain_of_all(texts: list[str], seed: int, text_views: dict[str, TextView]) -> None:
    views = Views(tuple(text_views.values()))
    for side in views.pairs(texts, range(len(texts)), seed=seed, epoch=0):
        assert len(side) == len(texts)
        "".join(side).encode()
