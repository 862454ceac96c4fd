"""Tables: rows of texts by role, on disk, memory-mapped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.cache import FORMAT, cached
from nearfar.data.checking import Where, checked_batches
from nearfar.data.parts import Part, find_parts
from nearfar.data.readers import Block
from nearfar.data.roles import NEGATIVE, Kind, Mapped, check_mapped, is_mark, is_taught, kind_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

ROWS = 10_000


@dataclass(frozen=True)
class Table:
    """Rows of texts, whose columns are roles.

    Attributes:
        rows: an Arrow-backed data set whose columns are the roles, all of them strings but scores, which are floats.
        kind: "pairs" (anchor, positive, negatives), "scored" (sentence1, sentence2, score), "labelled" (text,
            label) or "texts" (text).
        source: what the user called it, for messages.
    """

    rows: datasets.Dataset
    kind: Kind
    source: str

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], source: str = "memory") -> Table:
        """A table of lists by role, checked as a file would be, and held in memory.

        Raises:
            InputError: lengths differ, the roles make no kind of table, or a cell is not what its role wants.
        """
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{source}: found columns of lengths {lengths}, wanted equal lengths")
        if alone := [name for name, values in columns.items() if isinstance(values, str)]:
            raise InputError(f"{source}: found one text as column {alone[0]!r}, wanted a list of texts")
        block = Block({name: list(values) for name, values in columns.items()}, lambda index: f"row {index + 1}")
        blocks = [block] if any(lengths.values()) else []
        return cls.from_arrow(checked_batches([Part(source, "", lambda: iter(blocks))], None, None), source)

    @classmethod
    def from_arrow(cls, batches: Iterable[pa.RecordBatch], source: str = "memory") -> Table:
        """A table of checked rows by role, at least one batch of them, held in memory."""
        import datasets
        import pyarrow as pa

        rows = datasets.Dataset(datasets.table.InMemoryTable(pa.Table.from_batches(list(batches))))
        return cls(rows, kind_of(rows.column_names), source)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns, in canonical order."""
        return tuple(self.rows.column_names)

    @property
    def text_roles(self) -> tuple[str, ...]:
        """The columns that hold text: all but `label`, scores and `group`."""
        return tuple(role for role in self.roles if not is_mark(role))

    @property
    def negatives(self) -> tuple[str, ...]:
        """The columns that hold negatives: `negative`, or `negative_1` to `negative_k`, or none."""
        return tuple(role for role in self.roles if NEGATIVE.fullmatch(role))

    @property
    def taught(self) -> tuple[str, ...]:
        """The columns that hold a teacher's scores, of the positive and of each negative, or its margins; or none."""
        return tuple(role for role in self.roles if is_taught(role))

    def column(self, role: str) -> list[Any]:
        """A whole column: str, or float for scores."""
        return list(chain.from_iterable(batch[role] for batch in self.batches()))

    def batches(self, size: int = ROWS) -> Iterator[dict[str, list[Any]]]:
        """Runs of `size` rows in order, the last perhaps shorter, each as role -> values; constant memory."""
        for start in range(0, len(self), size):
            yield self.rows[start : start + size]

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Table:
        """These rows, in this order; no text is copied.

        Args:
            indices: numbers of rows, counted from 0, or a boolean for each row.

        Raises:
            InputError: there is no such row, or not a boolean for each.
        """
        indices = np.asarray(indices)
        if indices.dtype == bool:
            if indices.shape != (len(self),):
                raise InputError(f"{self.source}: found booleans of shape {indices.shape}, wanted ({len(self)},)")
            indices = np.flatnonzero(indices)
        outside = indices[(indices < 0) | (indices >= len(self))]
        if outside.size:
            raise InputError(f"{self.source}: found row number {outside[0]}, wanted 0 to {len(self) - 1}")
        return Table(self.rows.select(indices, keep_in_memory=True), self.kind, self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of roles and values, equal for equal content whatever the file; a second a million rows."""
        digest = hashlib.sha256(json.dumps(self.roles).encode())
        for batch in self.batches():
            digest.update(json.dumps(list(batch.values())).encode())
        return digest.hexdigest()


def columns_of(source: str | Path, *, split: str | None = None) -> list[str]:
    """The columns at the beginning of each file of a source, whether they play roles or not.

    Raises:
        InputError: as `read_table`.
    """
    firsts = (next(part.blocks(), None) for part in find_parts(source, split))
    return list(dict.fromkeys(chain.from_iterable(first.cells for first in firsts if first)))


def read_table(
    source: str | Path | Sequence[str | Path],
    *,
    columns: Mapped | None = None,
    where: Where | None = None,
    split: str | None = None,
) -> Table:
    """Read a table: a file, a folder of files, a saved data set, or a data set on the Hugging Face hub.

    Rows are checked one by one and written to an Arrow file in the cache of Hugging Face `datasets`, which is
    memory-mapped, so that a file of any size can be read; an unchanged source is not read twice.

    Args:
        source: one of these, or several, all with the same roles.
        columns: role -> the source's column, or several of which the first that is there counts.
        where: column -> values as strings; rows of another value are left out, before anything else is asked of
            them. A source without the column keeps its rows.
        split: of a hub or saved data set; "train" by default.

    Raises:
        InputError: one line that names the file, the row, what was found and what was wanted.
    """
    check_mapped(columns)
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise InputError("found no source, wanted a file, a folder or a data set on the hub")
    parts = [part for one in sources for part in find_parts(one, split)]
    options = [FORMAT, [part.stamp for part in parts], columns, where]
    key = hashlib.sha256(json.dumps(options, default=list).encode()).hexdigest()[:32]
    rows = cached(key, checked_batches(parts, columns, where))
    return Table(rows, kind_of(rows.column_names), ", ".join(map(str, sources)))
