"""Names and options as text, and the messages about wrong ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data.views import VIEWS, Views, parse_view
from nearfar.data.views.rewriting import Paraphrase
from nearfar.data.views.spans import Crop
from nearfar.data.views.words import Mask
from nearfar.errors import InputError
from tests.data.views.conftest import upper


@pytest.mark.parametrize("name", VIEWS)
def test_settings_are_read_back(name: str) -> None:
    view = parse_view(f"{name}:probability=0.25")
    assert view.probability == 0.25
    assert parse_view(str(view)) == view
    assert Views.parse(Views.parse([str(view)]).settings()).views == (view,)
    for told in (view.keeps, view.breaks, view.source, type(view).__doc__):
        assert told


@given(token=st.text(st.sampled_from("a,\\=: [가]")), share=st.floats(0, 1, exclude_min=True))
def test_any_value_is_read_back(token: str, share: float) -> None:
    view = Mask(token=token, share=share)
    assert parse_view(str(view)) == view


def test_values_are_of_their_options() -> None:
    assert parse_view("crop:keep=0.5,probability=0.1") == Crop(keep=0.5, probability=0.1)
    assert parse_view("crop") == Crop()
    with pytest.raises(TypeError):
        Crop(0.5)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("corp", "found 'corp', wanted one of delete, swap, .+; did you mean crop?"),
        ("", "found '', wanted one of delete"),
        ("crop:kep=1", "found option 'kep', wanted one of .*keep.*; did you mean keep?"),
        ("crop:keep", "found 'keep', wanted option=value"),
        ("crop:keep=much", "keep: found 'much', wanted a number above 0 and at most 1"),
        ("crop:keep=0", "keep: found 0.0, wanted a number above 0 and at most 1"),
        ("crop:keep=nan", "keep: found nan"),
        ("crop:keep=1,keep=1", "found option keep twice"),
        ("crop:probability=-1", "probability: found -1.0, wanted a number from 0 to 1"),
        ("span:shortest=1.5", "shortest: found '1.5', wanted a whole number from 1 up"),
        ("span:shortest=10,longest=3", "longest: found 3, wanted at least shortest, 10"),
        ("dropout:share=1", "found option 'share', wanted one of probability"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_view(text)


def test_a_function_cannot_be_written() -> None:
    with pytest.raises(InputError, match="wanted a folder's name"):
        str(Paraphrase(model=upper))
    with pytest.raises(InputError, match=r"token: found .*upper.*, wanted a text"):
        Mask(token=upper)  # type: ignore[arg-type]
