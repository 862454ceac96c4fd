"""The part of a table that is kept back to measure on."""

from __future__ import annotations

import math

import numpy as np

from nearfar.data import Table
from nearfar.data.groups import Ids, duplicate_groups, number_texts
from nearfar.data.roles import GROUP
from nearfar.training.fitting import Data

FEWEST = 20
"""Rows held out at the least: a figure of fewer says nothing."""

MOST = 1000
"""At the most: more cost time at each measurement and say little more."""

LARGEST = 10
"""One part of what is held out in so many that a group may be."""


def hold_out(table: Table, share: float, seed: int, most: int = MOST) -> tuple[Table, Table | None]:
    """Split a table into a part to train on and a part to measure on, no anchor and no positive on both sides.

    Rows that share one of them, or are of one group, stay together. Nothing is held out of a table of lone or scored
    texts (there is nothing to measure), nor where fewer than `FEWEST` rows would be; see `why_none`.

    Args:
        table: the whole.
        share: of the rows, about.
        seed: of the choice.
        most: rows held out at the most.

    Returns:
        The training part, and the held-out part or None.
    """
    wanted = min(int(share * len(table)), most)
    if table.kind in ("texts", "scored") or wanted < FEWEST:
        return table, None
    groups = _groups(table)
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[sizes[order] <= max(wanted // LARGEST, 1)]  # one large group would fill the part
    fits = np.cumsum(sizes[order]) <= wanted
    held = np.zeros(len(sizes), bool)
    held[order[fits]] = True
    inside = held[groups]
    if inside.sum() < 2:
        return table, None
    return table.select(np.flatnonzero(~inside)), table.select(np.flatnonzero(inside))


def why_none(data: Data, share: float) -> str:
    """Why `hold_out` held nothing out of a table, and nothing is held out of a stream, in words."""
    if share == 0:
        return "--held-out is 0"
    if not isinstance(data, Table):
        return f"nothing can be held out of a stream ({data.source})"
    what, rows = f"{data.source} ({len(data):,} rows)", int(share * len(data))
    if data.kind in ("texts", "scored"):
        return f"{what} has {'texts alone' if data.kind == 'texts' else 'scores'}, of which nothing is held out"
    if rows < FEWEST:
        found = f"{share:.2g} of {what} is {rows}, fewer than the {FEWEST} that are held out at the least"
        return f"{found}{_enough(FEWEST, len(data))}"
    sizes = np.bincount(_groups(data))
    return (
        f"rows that share a text or a group stay together, and {what} is {len(sizes):,} such groups of {sizes.min():,}"
        f" to {sizes.max():,} rows, none below a tenth of the part{_enough(LARGEST * int(sizes.min()), len(data))}"
    )


def _enough(wanted: int, rows: int) -> str:
    """What share would hold out so many rows, where it is at most half of them and they are no more than `MOST`."""
    share = math.ceil(100 * wanted / rows) / 100
    return f" (--held-out {share:g} would do)" if share <= 0.5 and wanted <= MOST else ""


def _groups(table: Table) -> Ids:
    """``(n,)``: equal for rows that stay together."""
    shared = (*table.text_roles[:2], *(role for role in table.roles if role == GROUP))
    return duplicate_groups([number_texts(table, role) for role in shared])
