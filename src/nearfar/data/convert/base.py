"""What a conversion gives: the table, and an account of every row that went in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nearfar.data.roles import GROUP
from nearfar.data.tables import Table
from nearfar.errors import InputError


@dataclass(frozen=True)
class Converted:
    """A table of pairs, and where it comes from.

    Attributes:
        table: anchor, positive, as many negatives as were asked for, and of labels the label as the row's group.
        read: rows that went in.
        left_out: why -> how many of these rows had no part in it.
        noted: what else a person should know -> how often.
    """

    table: Table
    read: int
    left_out: Mapping[str, int]
    noted: Mapping[str, int]


def roles_of(negatives: int) -> tuple[str, ...]:
    """The columns of a conversion: anchor, positive, and `negative` or `negative_1` to `negative_k`."""
    numbered = [f"negative_{number}" for number in range(1, negatives + 1)]
    return "anchor", "positive", *(numbered if negatives > 1 else ["negative"][:negatives])


def converted(
    rows: Sequence[tuple[str, ...]],
    *,
    negatives: int,
    source: str,
    read: int,
    left_out: Iterable[tuple[str, int]],
    noted: Iterable[tuple[str, int]] = (),
    groups: Sequence[str] | None = None,
) -> Converted:
    """The account of these rows, of which those of one group are no negatives of each other.

    Raises:
        InputError: there are none.
    """
    reasons = {why: count for why, count in left_out if count}
    if not rows:
        why = "; ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        raise InputError(f"{source}: found no row to make from {read:,}, wanted at least one ({why})")
    columns: dict[str, Sequence[str]] = dict(zip(roles_of(negatives), zip(*rows, strict=True), strict=True))
    if groups is not None:
        columns[GROUP] = groups
    return Converted(
        Table.from_columns(columns, source), read, reasons, {note: count for note, count in noted if count}
    )
