"""Streams: rows of texts by role that pass by once an epoch, never all in memory, and never written to disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator

from nearfar.data.cells import shown
from nearfar.data.checking import Where, checked_batches, first_rows
from nearfar.data.limits import check_least
from nearfar.data.parts import Part, find_parts
from nearfar.data.readers import ROWS, Block, block_of, json_lines_of, rows_from
from nearfar.data.roles import Kind, Mapped, check_mapped, kind_of
from nearfar.data.tables import Table
from nearfar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

STANDARD_INPUT = "-"
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Stream:
    """Rows of texts, whose columns are roles, to be gone through pass by pass.

    Attributes:
        open: begins a fresh pass over the checked rows; given a generator, with the files in an order that it draws.
        look: the same in the order of the source, for a glance at the first rows, which does not count as the one pass
            of a source that has one; given a number, at most so many rows of each file.
        files: how many there are.
        roles: the columns, in canonical order, as of a `Table`.
        source: what the user called it, for messages.
    """

    open: Callable[[Generator | None], Iterator[pa.RecordBatch]]
    look: Callable[[int | None], Iterator[pa.RecordBatch]]
    files: int
    roles: tuple[str, ...]
    source: str

    @classmethod
    def from_rows(
        cls,
        make: Callable[[], Iterable[Mapping[str, Any]]],
        *,
        source: str = "rows",
        columns: Mapped | None = None,
        where: Where | None = None,
    ) -> Stream:
        """A stream of what Python gives, checked as a file would be.

        Args:
            make: gives the rows from the beginning each time it is called, each as column -> cell.
            source: for messages.
            columns: role -> column, as of `read_table`.
            where: column -> values, as of `read_table`.

        Raises:
            InputError: there is no row, the roles make no kind of table, or one of the first rows is at fault; later
                ones raise when they pass.
        """
        check_mapped(columns)
        part = Part(source, "", lambda: _row_blocks(make(), source))
        return _repeatable([part], columns, where, source)

    @property
    def kind(self) -> Kind:
        """As of a `Table`: "pairs", "scored", "labelled" or "texts"."""
        return kind_of(self.roles)

    def batches(
        self, batch_size: int, *, buffer: int = 10_000, seed: int = 0, epoch: int = 0, skip: int = 0
    ) -> Iterator[dict[str, list[Any]]]:
        """One pass, shuffled: every row once, the last batch perhaps smaller; as role -> values.

        A row leaves a buffer of so many rows when its place is drawn for the next to come, so a row can come much
        later than it stands in the source but at most `buffer` rows earlier: files that are sorted want a large
        buffer, or a shuffle of their own. Several files come in another order each epoch. The order of rows depends
        on the source, `buffer`, `seed` and `epoch` alone.

        Args:
            batch_size: rows.
            buffer: rows held in memory; 1 leaves the order as it is, that of files too.
            seed: of the order.
            epoch: of the order, too.
            skip: batches to leave out first, so that a run goes on where it stopped; they are still read.

        Raises:
            InputError: an argument is too small, a row is at fault, or this would be a second pass over standard
                input.
        """
        for name, value, least in (("batch_size", batch_size, 1), ("buffer", buffer, 1), ("skip", skip, 0)):
            check_least(name, value, least)
        generator = np.random.default_rng((seed, epoch))
        rows = _shuffled(_rows(self.open(generator if buffer > 1 else None)), buffer, generator)
        return self._batches(islice(rows, skip * batch_size, None), batch_size)

    def _batches(self, rows: Iterator[Row], batch_size: int) -> Iterator[dict[str, list[Any]]]:
        while batch := list(islice(rows, batch_size)):
            yield {role: list(values) for role, values in zip(self.roles, zip(*batch, strict=True), strict=True)}

    def head(self, count: int) -> Table:
        """The first rows as a table in memory, at most so many: to know the stream again by, or to look at.

        Raises:
            InputError: `count` is below 1, or a row is at fault.
        """
        check_least("count", count, 1)
        return Table.from_arrow(first_rows(count, self.look(None)), self.source)

    def sample(self, count: int) -> Table:
        """First rows of every file as a table in memory, together at most so many: to build a tokenizer from.

        Each file gives as many as the others, where it has them: one that comes late is no less part of the data.

        Raises:
            InputError: `count` is below 1, or a row is at fault.
        """
        check_least("count", count, 1)
        share, met = -(-count // self.files), 0
        batches = [*self.look(share)]
        while self.files > 1 and met < (found := sum(map(len, batches))) < count:  # where some have not so many
            share, met = 2 * share, found
            batches = [*self.look(share)]
        table = Table.from_arrow(batches, self.source)
        if len(table) <= count:
            return table
        return table.select(np.linspace(0, len(table) - 1, count).astype(np.int64))


def read_stream(
    source: str | Path | Sequence[str | Path],
    *,
    columns: Mapped | None = None,
    where: Where | None = None,
    split: str | None = None,
) -> Stream:
    """Open a stream: what `read_table` reads, row by row, without the copy on disk that it makes.

    Args:
        source: a file, a folder of files, a saved data set, a data set on the hub, which is read from there in each
            pass, or several of these; or "-", JSON lines from standard input, for a single pass.
        columns: as of `read_table`.
        where: as of `read_table`.
        split: of a hub or saved data set; "train" by default.

    Raises:
        InputError: one line that names the file, the row, what was found and what was wanted; rows behind the first
            ones raise when they pass.
    """
    check_mapped(columns)
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise InputError("found no source, wanted a file, a folder, a data set on the hub, or - for standard input")
    if [str(one) for one in sources] == [STANDARD_INPUT]:
        part = Part(STANDARD_INPUT, "", lambda: json_lines_of(sys.stdin.buffer, STANDARD_INPUT))
        return _single(checked_batches([part], columns, where))
    if any(str(one) == STANDARD_INPUT for one in sources):
        raise InputError("-: found standard input beside other sources, wanted it alone")
    parts = [part for one in sources for part in find_parts(one, split, streaming=True)]
    return _repeatable(parts, columns, where, ", ".join(map(str, sources)))


def _repeatable(parts: Sequence[Part], columns: Mapped | None, where: Where | None, source: str) -> Stream:
    def begin(generator: Generator | None = None) -> Iterator[pa.RecordBatch]:
        order = range(len(parts)) if generator is None else generator.permutation(len(parts))
        return checked_batches([parts[number] for number in order], columns, where)

    def look(most: int | None = None) -> Iterator[pa.RecordBatch]:
        return checked_batches(parts, columns, where, most=most)

    return Stream(begin, look, len(parts), tuple(next(look()).schema.names), source)


def _single(batches: Iterator[pa.RecordBatch]) -> Stream:
    once = _Once(batches)
    return Stream(once.open, once.look, 1, tuple(next(once.look()).schema.names), STANDARD_INPUT)


class _Once:
    """A pass that cannot be repeated: what was looked at is held until it begins."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self.held: list[pa.RecordBatch] = []
        self.coming = batches
        self.begun = False

    def look(self, most: int | None = None) -> Iterator[pa.RecordBatch]:
        self._check()
        return first_rows(most, self._looked_at())

    def _looked_at(self) -> Iterator[pa.RecordBatch]:
        yield from list(self.held)
        for batch in self.coming:
            self.held.append(batch)
            yield batch

    def open(self, generator: Generator | None = None) -> Iterator[pa.RecordBatch]:
        self._check()
        self.begun = True
        held, self.held = self.held, []
        return chain(held, self.coming)

    def _check(self) -> None:
        if self.begun:
            raise InputError(
                f"{STANDARD_INPUT}: found a second pass over standard input, wanted one: train for one epoch, or"
                " write the rows to a file first"
            )


def _row_blocks(rows: Iterable[Mapping[str, Any]], source: str) -> Iterator[Block]:
    coming, names, first = iter(rows), dict[str, None](), 1
    while values := list(islice(coming, ROWS)):
        for number, value in enumerate(values, first):
            if not isinstance(value, Mapping):
                raise InputError(f"{source}: row {number}: found {shown(value)}, wanted a dict")
        yield block_of(values, names, rows_from(first))
        first += len(values)


def _rows(batches: Iterator[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        yield from zip(*batch.to_pydict().values(), strict=True)


def _shuffled(rows: Iterator[Row], buffer: int, generator: Generator) -> Iterator[Row]:
    """Every row once; each that comes takes a drawn place in the buffer from the row that stood there."""
    held = list(islice(rows, buffer))
    while coming := list(islice(rows, ROWS)):
        for place, row in zip(generator.integers(len(held), size=len(coming)).tolist(), coming, strict=True):
            yield held[place]
            held[place] = row
    yield from (held[place] for place in generator.permutation(len(held)))
