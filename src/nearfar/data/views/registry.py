"""The views by name, and their settings as text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import Field, fields
from typing import Any

from nearfar.data.views.base import View, wanted
from nearfar.data.views.embedding import EMBEDDING_VIEWS
from nearfar.data.views.rewriting import BackTranslate, Paraphrase
from nearfar.data.views.spans import Adjacent, Crop, InverseCloze, Span
from nearfar.data.views.synonyms import Insert, Synonym
from nearfar.data.views.typo import Typo
from nearfar.data.views.words import Delete, Mask, Repeat, Swap
from nearfar.errors import InputError

IN_TEXT: tuple[type[View], ...] = (
    *(Delete, Swap, Insert, Synonym, Repeat, Crop, Span, InverseCloze, Adjacent, Mask, Typo),
    *(BackTranslate, Paraphrase),
)
VIEWS: dict[str, type[View]] = {view.name: view for view in (*IN_TEXT, *EMBEDDING_VIEWS)}
"""Command-line name -> class. A new view is one class and a name here."""


def parse_view(text: str) -> View:
    r"""The view of ``name`` or ``name:option=value,option=value``; ``\,`` stands for a comma in a value.

    Raises:
        InputError: the name or an option is unknown, or a value is not what its option wants; the message lists
            what there is.
    """
    name, _, rest = text.partition(":")
    make = VIEWS.get(name.strip())
    if make is None:
        raise InputError(f"--view: found {name!r}, wanted one of {', '.join(VIEWS)}{_hint(name, VIEWS)}")
    known = {each.name: each for each in fields(make)}
    given: dict[str, Any] = {}
    for word in re.findall(r"(?:\\[\\,]|[^,])+", rest):
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals:
            raise InputError(f"--view {make.name}: found {word!r}, wanted option=value")
        if key not in known:
            raise InputError(
                f"--view {make.name}: found option {key!r}, wanted one of {', '.join(known)}{_hint(key, known)}"
            )
        if key in given:
            raise InputError(f"--view {make.name}: found option {key} twice, wanted it once")
        given[key] = _value(make.name, known[key], value)
    try:
        return make(**given)
    except InputError as error:
        raise InputError(f"--view {error}") from None


def _value(view: str, each: Field[Any], text: str) -> Any:
    if isinstance(each.default, str):
        return re.sub(r"\\([\\,])", r"\1", text)
    kind = int if isinstance(each.default, int) else float
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"--view {view}: {each.name}: found {text!r}, wanted {wanted(each)}") from None


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
