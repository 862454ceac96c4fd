"""The part of a table that is kept back to measure on."""

from __future__ import annotations

import numpy as np

from nearfar.data import Table
from nearfar.data.groups import duplicate_groups, number_texts
from nearfar.data.roles import GROUP


def hold_out(table: Table, share: float, seed: int, most: int = 1000) -> tuple[Table, Table | None]:
    """Split a table into a part to train on and a part to measure on, no anchor and no positive on both sides.

    Rows that share one of them, or are of one group, stay together. Nothing is held out of a table of lone or scored
    texts (there is nothing to measure), nor where fewer than 20 rows would be.

    Args:
        table: the whole.
        share: of the rows, about.
        seed: of the choice.
        most: rows held out at the most.

    Returns:
        The training part, and the held-out part or None.
    """
    wanted = min(int(share * len(table)), most)
    if table.kind in ("texts", "scored") or wanted < 20:
        return table, None
    shared = (*table.text_roles[:2], *(role for role in table.roles if role == GROUP))
    groups = duplicate_groups([number_texts(table, role) for role in shared])
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[sizes[order] <= max(wanted // 10, 1)]  # one large group would fill the part
    fits = np.cumsum(sizes[order]) <= wanted
    held = np.zeros(len(sizes), bool)
    held[order[fits]] = True
    inside = held[groups]
    if inside.sum() < 2:
        return table, None
    return table.select(np.flatnonzero(~inside)), table.select(np.flatnonzero(inside))
