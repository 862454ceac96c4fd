"""Roles: what the columns of a table mean to contrastive learning."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from nearfar.data.cells import listed
from nearfar.errors import InputError

Kind = Literal["texts", "labelled", "pairs", "scored", "words", "analogies"]

KINDS: dict[Kind, tuple[str, ...]] = {
    "pairs": ("anchor", "positive"),
    "scored": ("sentence1", "sentence2", "score"),
    "labelled": ("text", "label"),
    "texts": ("text",),
    "words": ("word1", "word2", "score"),
    "analogies": ("a", "b", "c", "d"),
}
"""Roles that a table of each kind must have; pairs may have negatives besides. The first kind that fits counts. The
last two are there to be measured on alone."""

GROUP = "group"
"""What pairs and texts may have besides: rows of one group are never far from each other."""

SECTION = "section"
"""What analogies may have besides: the name of a part, on which a figure of its own is given."""

ROLES = (*dict.fromkeys(role for roles in KINDS.values() for role in roles), "negative", GROUP, SECTION)
MARKS = ("label", "score", GROUP, SECTION)
"""Roles that hold no text."""

NEGATIVE = re.compile(r"negative(_[1-9]\d*)?")

TAUGHT = re.compile(r"(positive|negative(_[1-9]\d*)?)_score|margin(_[1-9]\d*)?")
"""What pairs with negatives may have besides: a teacher's score of each, as `nearfar mine` writes them; or, of each
negative, the margin by which the teacher's score of the positive is above that of the negative."""

Mapped = Mapping[str, str | Sequence[str]]
"""Role -> the user's name for its column, or several of which the first that there is counts."""


def find_roles(names: Collection[str], mapped: Mapped | None, source: str) -> dict[str, str]:
    """Which columns play roles: role -> column, in canonical order.

    Args:
        names: the source's columns.
        mapped: columns that play a role even where another bears the role's own name. A role none of whose
            columns is there is left to its own name.
        source: for messages.

    Raises:
        InputError: a role is unknown, or the columns make no kind of table.
    """
    check_mapped(mapped)
    explicit = {role: name for role, wanted in (mapped or {}).items() if (name := first_of(wanted, names)) is not None}
    chosen = {name: name for name in names if _is_role(name)} | explicit
    fitting = [kind for kind, roles in KINDS.items() if all(role in chosen for role in roles)]
    if not fitting:
        wanted = "; or ".join(" and ".join(roles) for roles in KINDS.values())
        raise InputError(
            f"{source}: found columns {listed(names) or 'none'}, wanted {wanted}"
            " (--column anchor=NAME says which column plays a role)"
        )
    kind = max(fitting, key=lambda kind: len(explicit.keys() & set(KINDS[kind])))  # max keeps the first of equals
    negatives = _negatives(chosen, source) if kind == "pairs" else []
    scores = _scores_of(negatives, chosen, explicit, source)
    group = [GROUP] if GROUP in chosen and kind in ("pairs", "texts") else []
    section = [SECTION] if SECTION in chosen and kind == "analogies" else []
    return {role: chosen[role] for role in (*KINDS[kind], *negatives, *scores, *group, *section)}


def is_mark(role: str) -> bool:
    """Whether a role holds no text: a label, a score, a group."""
    return role in MARKS or is_taught(role)


def is_taught(role: str) -> bool:
    """Whether a role holds a teacher's scores or margins."""
    return TAUGHT.fullmatch(role) is not None


def is_margin(role: str) -> bool:
    """Whether a role holds a teacher's margins."""
    return is_taught(role) and role.startswith("margin")


def margin_of(negative: str) -> str:
    """The role of a negative's margin: margin_2 of negative_2."""
    return negative.replace("negative", "margin")


def _is_role(name: str) -> bool:
    return name in ROLES or NEGATIVE.fullmatch(name) is not None or is_taught(name)


def kind_of(roles: Collection[str]) -> Kind:
    """The kind of a table that has these roles and no other."""
    return next(kind for kind, wanted in KINDS.items() if set(wanted) <= set(roles))


def first_of(wanted: str | Sequence[str], names: Collection[str]) -> str | None:
    """The first wanted name that there is."""
    return next((name for name in ([wanted] if isinstance(wanted, str) else wanted) if name in names), None)


def check_mapped(mapped: Mapped | None) -> None:
    """Raise an InputError where a mapping names a role that there is not."""
    for role in mapped or {}:
        if not _is_role(role):
            near = difflib.get_close_matches(role, ROLES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"--column: found role {role!r}, wanted one of {', '.join(ROLES)}{hint}")


def _negatives(chosen: Collection[str], source: str) -> list[str]:
    found = (role for role in chosen if role != "negative" and NEGATIVE.fullmatch(role))
    numbered = sorted(found, key=lambda role: int(role[9:]))
    if numbered and "negative" in chosen:
        raise InputError(f"{source}: found both negative and {numbered[0]}, wanted one way of naming negatives")
    if numbered != [f"negative_{number + 1}" for number in range(len(numbered))]:
        raise InputError(f"{source}: found {', '.join(numbered)}, wanted negatives numbered from 1 without a gap")
    return numbered or (["negative"] if "negative" in chosen else [])


def _scores_of(negatives: Sequence[str], chosen: Collection[str], explicit: Collection[str], source: str) -> list[str]:
    """The roles of a teacher's scores, of the positive and of every negative; else of every negative's margin; or none.

    Where both are there, those that the user names count, or else the scores, which say more.
    """
    if not negatives:
        return []
    ways = [[f"{role}_score" for role in ("positive", *negatives)], [margin_of(role) for role in negatives]]
    asked = [role for role in explicit if is_taught(role)]
    if asked:
        ways = [ways[is_margin(asked[0])]]
    whole: list[str] = next((way for way in ways if all(role in chosen for role in way)), [])
    if asked and not whole:
        missing = next(role for role in ways[0] if role not in chosen)
        raise InputError(f"{source}: found a column for {asked[0]}, wanted one for {missing} beside it")
    return whole
