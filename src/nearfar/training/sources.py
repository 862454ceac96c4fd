"""A table made ready for training: tokenised once, texts known by number, batches as contrasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nearfar.contrasts import Contrast, graded, labelled, pairs, views
from nearfar.data import Table
from nearfar.encoders import Encoder
from nearfar.encoders.tokens import Tokens
from nearfar.errors import InputError
from nearfar.objectives import MarginMSELoss, Objective

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """One table, ready.

    Attributes:
        table: where the rows come from.
        tokens: for each text role, every row's token ids.
        ids: for each text role (and `label`), a number for each row, equal for equal content.
    """

    table: Table
    tokens: dict[str, Tokens]
    ids: dict[str, Ids]

    def __len__(self) -> int:
        return len(self.table)

    def contrast(self, rows: Ids, encoder: Encoder, objective: Objective) -> Contrast:
        """The contrast of these rows, embedded with a graph."""
        roles = [role for role in self.table.text_roles for _ in range(2 if self.table.kind == "texts" else 1)]
        tokens = Tokens.concatenate([self.tokens[role].take(rows) for role in roles])
        embedded = encoder.embed(tokens, any_length=objective.by_direction)
        first, *others = torch.split(embedded, len(rows))
        kind = contrast_for(self.table, objective)
        if kind == "labelled":
            return labelled(first, torch.from_numpy(self.ids["label"][rows]))
        if kind == "graded":
            return graded(first, others[0], torch.from_numpy(self.scores[rows]))
        groups = torch.from_numpy(duplicate_groups([self.ids[role][rows] for role in dict.fromkeys(roles[:2])]))
        if kind == "views":
            return views(first, others[0], groups=groups)
        negatives = embedded[2 * len(rows) :] if len(others) > 1 else None  # all anchors see all of them
        return pairs(first, others[0], negatives, groups=groups)

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Each row's score, of a scored table."""
        return np.asarray(self.table.column("score"), dtype=np.float64)


def prepare(table: Table, encoder: Encoder, objective: Objective) -> Source:
    """Tokenise a table and number its texts.

    Raises:
        InputError: the objective cannot use the table's roles, or there are fewer than two rows.
    """
    check_usable(table, objective)
    tokens = {role: encoder.tokenise(column(table, role)) for role in table.text_roles}
    numbered = (*table.text_roles, "label") if table.kind == "labelled" else table.text_roles
    return Source(table, tokens, {role: number_texts(table, role) for role in numbered})


KINDS = {"labelled": ("labelled",), "scored": ("graded",), "pairs": ("pairs", "views"), "texts": ("pairs", "views")}
"""Contrasts that can be made of a table, the first that an objective takes being taken."""


def contrast_for(table: Table, objective: Objective) -> str | None:
    """The kind of contrast that the objective takes and the table holds; None where there is none."""
    if isinstance(objective, MarginMSELoss):  # it compares candidates of one row, and a row of a table has one
        return None
    fitting = [kind for kind in KINDS[table.kind] if kind in objective.contrasts]
    return next((kind for kind in fitting if kind != "views" or not table.negatives), None)


def check_usable(table: Table, objective: Objective) -> None:
    """Raise an InputError unless `objective` can be trained on `table`."""
    name = type(objective).__name__
    if len(table) < 2:
        raise InputError(f"{table.source}: found {len(table)} row, wanted at least 2 to contrast with each other")
    if table.kind == "labelled" and len(set(table.column("label"))) < 2:
        raise InputError(f"{table.source}: found one label only, wanted at least two")
    if contrast_for(table, objective) is not None:
        return
    if table.kind == "scored":
        raise InputError(
            f"{table.source}: found sentence1, sentence2 and score, which {name} cannot train on; wanted anchor and"
            " positive (--column anchor=sentence1 --column positive=sentence2, with --where score=1 for near pairs),"
            " or an objective of graded pairs: cosent, angle"
        )
    found = "labels" if table.kind == "labelled" else "negatives" if table.negatives else "pairs"
    raise InputError(f"{table.source}: found {found}, which {name} has no place for; wanted {_wanted(objective)}")


def _wanted(objective: Objective) -> str:
    """What tables the objective takes, in words."""
    words = {
        "pairs": "anchor and positive",
        "views": "text or pairs alone",
        "labelled": "text and label",
        "graded": "sentence1, sentence2 and score",
    }
    return " or ".join(word for kind, word in words.items() if kind in objective.contrasts) or (
        f"nothing that a table holds: it is made for nearfar.{objective.contrasts[0]} in your own loop"
    )


def column(table: Table, role: str) -> Iterator[list[Any]]:
    """A column in batches."""
    return (batch[role] for batch in table.batches())


def number_texts(table: Table, role: str) -> Ids:
    """``(n,)``: a 64-bit hash of each row's text."""
    parts = [pd.util.hash_array(np.asarray(batch, dtype=object)) for batch in column(table, role)]
    numbers: Ids = np.concatenate(parts).view(np.int64)
    return numbers


def duplicate_groups(columns: Sequence[Ids]) -> Ids:
    """``(n,)``: rows that share a text in any of the columns, directly or through others, get one number.

    Two rows with one anchor, or with one positive, must not push each other's texts away.
    """
    first = np.arange(len(columns[0]))
    doubled = np.flatnonzero(np.logical_or.reduce([_occurs_again(values) for values in columns]))
    if len(doubled):  # most batches hold few: only those make a graph
        first[doubled] = doubled[_first_connected([values[doubled] for values in columns])]
    numbers: Ids = np.cumsum(first == np.arange(len(first))) - 1  # counted in the order of first rows
    return numbers[first]


def _occurs_again(values: Ids) -> NDArray[np.bool_]:
    """``(n,)``: another row has the same value."""
    order = np.argsort(values)
    equal = np.concatenate([[False], np.diff(values[order]) == 0, [False]])
    found = np.empty(len(values), bool)
    found[order] = equal[1:] | equal[:-1]
    return found


def _first_connected(columns: Sequence[Ids]) -> Ids:
    """``(n,)``: for each row the first one that it shares a value with in any of the columns, also through others."""
    rows = np.arange(len(columns[0]))
    numbers, offset = [], len(rows)
    for values in columns:
        unique, inverse = np.unique(values, return_inverse=True)
        numbers.append(inverse + offset)
        offset += len(unique)
    joined = np.concatenate(numbers)
    graph = coo_array((np.ones(len(joined), bool), (np.tile(rows, len(columns)), joined)), shape=(offset, offset))
    _, group = connected_components(graph, directed=False)
    _, first, inverse = np.unique(group[: len(rows)], return_index=True, return_inverse=True)
    found: Ids = first[inverse]
    return found


def hold_out(table: Table, share: float, seed: int, most: int = 1000) -> tuple[Table, Table | None]:
    """Split a table into a part to train on and a part to measure on, no text on both sides.

    Rows that share a text stay together. Nothing is held out of a table of lone or scored texts (there is
    nothing to measure), nor where fewer than 20 rows would be.

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
    groups = duplicate_groups([number_texts(table, role) for role in table.text_roles[:2]])
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
