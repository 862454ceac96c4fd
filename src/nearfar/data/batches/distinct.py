"""No duplicates: no text occurs in two rows of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearfar.data.batches.orders import Order, Rows, batch_count, check_rows, column, deal, gathered
from nearfar.data.groups import among
from nearfar.errors import InputError

Codes = NDArray[np.int64]

ROUNDS = 8
"""Times that rows without a place are tried in batches with room, before they make batches of their own."""


def no_duplicates(ids: Sequence[ArrayLike]) -> Order:
    """No two rows of a batch share a text, in whatever role; every row once.

    A text that occurs in more rows than there are batches makes more and smaller batches: so many are needed at the
    least. Rows that find no place come in later batches, which can be small.

    Args:
        ids: for each role that holds texts, ``(n,)`` numbers, equal for equal texts, also between roles.

    Raises:
        InputError: there is no role, or they differ in length.
    """
    codes = _text_codes(ids)

    def order(rows: Rows, generator: np.random.Generator, batch_size: int) -> list[Rows]:
        check_rows("ids", len(codes), rows)
        batches: list[Rows] = []
        while len(rows):
            hand = _placed(codes[rows], generator, batch_size)
            batches += gathered(rows[hand >= 0], hand[hand >= 0])
            rows = rows[hand < 0]
        return batches

    return order


def _text_codes(ids: Sequence[ArrayLike]) -> Codes:
    """``(n, roles)``: the texts of each row, numbered from 0."""
    columns = [column(role, "ids") for role in ids]
    if len({len(role) for role in columns}) != 1:
        raise InputError(f"ids: found lengths {[len(role) for role in columns]}, wanted one or more of equal length")
    _, codes = np.unique(np.stack(columns, axis=1), return_inverse=True)
    return codes.reshape(len(columns[0]), -1)


def _placed(texts: Codes, generator: np.random.Generator, batch_size: int) -> Codes:
    """``(n,)``: a batch for each row, -1 where it found no place; at least one row finds one."""
    counts = _rows_of_each_text(texts)
    batches = max(batch_count(len(texts), batch_size), int(counts.max()))
    most_frequent = texts[np.arange(len(texts)), counts[texts].argmax(1)]
    # Dealt by its most frequent text, a row meets that text again only where another of its texts is more frequent.
    hand = deal(texts[:, 0], most_frequent, generator, batches)
    taken = _Taken(texts)
    hand[~taken.accept(np.arange(len(texts)), hand)] = -1
    for _ in range(ROUNDS):
        waiting = np.flatnonzero(hand < 0)
        room = np.maximum(batch_size - np.bincount(hand[hand >= 0], minlength=batches), 0)
        places = generator.permutation(np.repeat(np.arange(batches), room))[: len(waiting)]
        waiting = waiting[: len(places)]
        if not len(waiting):
            break
        accepted = taken.accept(waiting, places)
        hand[waiting[accepted]] = places[accepted]
    return hand


def _rows_of_each_text(texts: Codes) -> Codes:
    ordered = np.sort(texts, axis=1)
    first = np.ones(texts.shape, bool)  # a text that a row holds twice counts once
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[first])


@dataclass
class _Taken:
    """Which texts each batch has; sorted runs of (batch, text) as one number, a run for each time rows were added."""

    texts: Codes
    runs: list[Codes] = field(default_factory=list)

    def accept(self, rows: Codes, batches: Codes) -> NDArray[np.bool_]:
        """Which of the rows fit in their batches: none of their texts is there, nor in an earlier of these rows."""
        roles = self.texts.shape[1]
        keys = (batches[:, None] * (self.texts.max() + 1) + self.texts[rows]).ravel()
        fits = np.ones(len(rows), bool)
        for run in self.runs:
            fits &= ~among(keys, run).reshape(-1, roles).any(1)
        order = np.argsort(keys, kind="stable")  # of equal keys those of the first row come first
        row, key = order // roles, keys[order]
        fits[row[1:][(key[1:] == key[:-1]) & (row[1:] != row[:-1])]] = False
        self.runs.append(key[fits[row]])
        return fits
