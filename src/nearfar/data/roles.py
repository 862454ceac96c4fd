"""Roles: what the columns of a table mean to contrastive learning."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nearfar.errors import InputError

Kind = Literal["texts", "labelled", "pairs", "scored"]

KINDS: dict[Kind, tuple[str, ...]] = {
    "pairs": ("anchor", "positive"),
    "scored": ("sentence1", "sentence2", "score"),
    "labelled": ("text", "label"),
    "texts": ("text",),
}
"""Roles that a table of each kind must have; pairs may have negatives besides. The first kind that fits counts."""

ROLES = (*dict.fromkeys(role for roles in KINDS.values() for role in roles), "negative")
WANTED = "; or ".join(" and ".join(roles) for roles in KINDS.values())

NEGATIVE = re.compile(r"negative(_[1-9]\d*)?")
Mapped = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Roles:
    """The columns of a source that play roles.

    Attributes:
        kind: of the table.
        columns: role -> the source's column, in canonical order.
    """

    kind: Kind
    columns: dict[str, str]

    def cell(self, role: str, row: Mapping[str, Any], where: str) -> Any:
        """The checked value of a role in a row: a text, a label as text, or a finite score."""
        name = self.columns[role]
        if name not in row:
            raise InputError(f"{where}: found no {name!r} for {role}, wanted one in every row")
        value = row[name]
        if role == "score":
            return _score(value, where, name)
        if role == "label":
            if value is None or isinstance(value, dict | list):
                raise InputError(f"{where}: {name}: found {value!r}, wanted a label")
            return str(value)
        if not isinstance(value, str):
            raise InputError(
                f"{where}: {name}: found {'null' if value is None else repr(value)[:80]}, wanted text ({role})"
            )
        if not value.strip():
            raise InputError(f"{where}: {name}: found an empty text, wanted a {role}")
        return value


def _score(value: Any, where: str, name: str) -> float:
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{where}: {name}: found {value!r}, wanted a number") from None
    if not math.isfinite(score):
        raise InputError(f"{where}: {name}: found {value!r}, wanted a finite number")
    return score


def find_roles(names: Iterable[str], mapped: Mapped | None, source: str) -> Roles:
    """Which roles the columns `names` play, and so of which kind the table is.

    Args:
        names: the source's columns.
        mapped: role -> column or columns; the first of them that there is plays the role, even where another
            column bears the role's own name. A role none of whose columns is there is left to its own name.
        source: for messages.

    Raises:
        InputError: a role is unknown, or the columns make no kind of table.
    """
    names = list(names)
    check_mapped(mapped)
    chosen = {name: name for name in names if name in ROLES or NEGATIVE.fullmatch(name)}
    explicit = set()
    for role, wanted in (mapped or {}).items():
        there = [name for name in ([wanted] if isinstance(wanted, str) else wanted) if name in names]
        if there:
            chosen[role] = there[0]
            explicit.add(role)
    fitting = [kind for kind, roles in KINDS.items() if all(role in chosen for role in roles)]
    if not fitting:
        raise InputError(
            f"{source}: found the columns {', '.join(map(repr, names)) or 'none'}, wanted {WANTED}"
            " (--column anchor=NAME says which column plays a role)"
        )
    kind = max(fitting, key=lambda kind: len(explicit & set(KINDS[kind])))  # max keeps the first of equals
    negatives = _negatives(chosen, source) if kind == "pairs" else []
    return Roles(kind, {role: chosen[role] for role in (*KINDS[kind], *negatives)})


def check_mapped(mapped: Mapped | None) -> None:
    """Raise an InputError where a mapping names a role that there is not."""
    for role in mapped or {}:
        if role not in ROLES and not NEGATIVE.fullmatch(role):
            near = difflib.get_close_matches(role, ROLES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"--column: found role {role!r}, wanted one of {', '.join(ROLES)}{hint}")


def _negatives(chosen: Mapping[str, str], source: str) -> list[str]:
    numbered = sorted((name for name in chosen if name.startswith("negative_")), key=lambda n: int(n[9:]))
    if numbered and "negative" in chosen:
        raise InputError(f"{source}: found both negative and {numbered[0]}, wanted one way of naming negatives")
    if numbered != [f"negative_{number + 1}" for number in range(len(numbered))]:
        raise InputError(f"{source}: found {', '.join(numbered)}, wanted negatives numbered from 1 without a gap")
    return numbered or (["negative"] if "negative" in chosen else [])
