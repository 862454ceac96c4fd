"""Cells: what each role wants of a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any

from nearfar.errors import InputError

MOST_NAMES = 8


def check_cells(role: str, cells: Sequence[Any], place: Callable[[int], str]) -> list[Any]:
    """The values of a role: texts and labels as str, scores as float.

    Args:
        role: which decides what is wanted.
        cells: a value for each row.
        place: index of a row -> where it stands in the user's source and in which column, for the message.

    Raises:
        InputError: a cell is not what the role wants.
    """
    check: Callable[[Any], Any] = score if holds_number(role) else CHECKS.get(role, text)
    values: list[Any] = []
    try:
        for cell in cells:
            values.append(check(cell))
    except ValueError as fault:
        raise InputError(f"{place(len(values))}: found {fault}") from None
    return values


def text(cell: Any) -> str:
    """A str with something to read in it; raises a ValueError that says what was found and wanted."""
    if not isinstance(cell, str):
        raise ValueError(f"{shown(cell)}, wanted a text")
    if not cell or cell.isspace():
        raise ValueError("an empty text, wanted something to read")
    if not cell.isascii():
        try:
            cell.encode()
        except UnicodeEncodeError:  # JSON can escape one half of a pair of surrogates
            raise ValueError(f"half a character in {shown(cell)}, wanted valid Unicode") from None
    return cell


def label(cell: Any) -> str:
    """Any scalar as str; raises a ValueError that says what was found and wanted."""
    not_a_number = isinstance(cell, float) and not math.isfinite(cell)  # which is how pandas writes nothing
    if cell is None or not_a_number or isinstance(cell, bytes | dict | list | tuple):
        raise ValueError(f"{shown(cell)}, wanted a label")
    try:
        return text(as_string(cell))
    except ValueError:
        raise ValueError(f"{shown(cell)}, wanted a label") from None


def score(cell: Any) -> float:
    """A finite float; raises a ValueError that says what was found and wanted."""
    try:
        if isinstance(cell, bool) or "_" in str(cell):  # which float() would take for a number
            raise ValueError
        number = float(cell)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{shown(cell)}, wanted a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{shown(cell)}, wanted a finite number")
    return number


def as_string(cell: Any) -> str:
    """A scalar as a person writes it: JSON's true is "true", 1 is "1", null is "null"."""
    if cell is None:
        return "null"
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def shown(cell: Any) -> str:
    """A cell in a message: on one line, cut short."""
    words = "nothing" if cell is None else " ".join(repr(cell).split())
    return words if len(words) <= 60 else f"{words[:57]}..."


def listed(names: Collection[str]) -> str:
    """Names in a message: on one line, each cut short, and no more than the first few."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(shown, islice(names, MOST_NAMES))) + more


def optional_text(cell: Any) -> str:
    """A str that may be empty, as nothing is; raises a ValueError that says what was found and wanted."""
    return "" if cell is None or (isinstance(cell, str) and not cell.strip()) else text(cell)


def holds_number(role: str) -> bool:
    """Whether a role wants finite numbers."""
    return role in ("score", "relevance") or role.endswith("_score") or role.startswith("margin")


CHECKS: dict[str, Callable[[Any], Any]] = {
    "label": label,
    "group": label,
    "query_id": label,
    "doc_id": label,
    "title": optional_text,
    "body": optional_text,
}
"""The checks of roles that do not hold text, or may hold none."""
