"""From the rows of a source to the checked rows of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from nearfar.data.cells import as_string, check_cells, holds_number, shown
from nearfar.data.parts import Part
from nearfar.data.readers import Block
from nearfar.data.roles import NEGATIVE, Mapped, find_roles, first_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Where = Mapping[str, Sequence[str]]
"""Column -> values, of which a row must have one."""


Find = Callable[[Collection[str], Mapped | None, str], dict[str, str]]
"""(a part's columns, mapping, its name) -> role -> column."""


def checked_batches(
    parts: Sequence[Part],
    columns: Mapped | None,
    where: Where | None,
    find: Find = find_roles,
    *,
    most: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """The rows of all parts that pass `where`, by role; never none.

    Args:
        parts: files or the like.
        columns: role -> the column that plays it.
        where: column -> values.
        find: which says the roles; by default those of a `Table`.
        most: rows of each part that are given, its first ones; None: all.

    Raises:
        InputError: a part has no row or other roles than the first, a cell is not what its role wants, or no row
            is left.
    """
    keep, left = Filter(where or {}), 0
    agreed: tuple[str, list[str]] | None = None
    for part in parts:
        blocks = _kept_blocks(part, keep)
        if (first := next(blocks, None)) is None:
            continue
        spread = _spreader(first, columns, part.name)
        roles = find(spread(first).cells, columns, part.name)
        agreed = agreed or (part.name, list(roles))
        if list(roles) != agreed[1]:
            raise InputError(f"{part.name}: found {', '.join(roles)}, wanted {', '.join(agreed[1])} as in {agreed[0]}")
        for rows in first_rows(most, (_to_arrow(spread(block), roles, part.name) for block in chain([first], blocks))):
            left += len(rows)
            yield rows
    if not left:
        raise InputError(f"{', '.join(part.name for part in parts)}: {keep.fault()}")


def first_rows(most: int | None, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """At most so many rows; None: all."""
    for batch in batches:
        yield batch if most is None else batch.slice(0, most)
        if most is not None and (most := most - len(batch)) <= 0:
            return


def _kept_blocks(part: Part, keep: Filter) -> Iterator[Block]:
    """The rows that `keep` leaves of a part; the columns of the first of them are the part's."""
    empty = True
    for block in part.blocks():
        empty = False
        kept = keep(block)
        if kept is block or any(kept.cells.values()):
            yield kept
    if empty:
        raise InputError(f"{part.name}: found no row, wanted at least one row")


def _to_arrow(block: Block, roles: Mapping[str, str], source: str) -> pa.RecordBatch:
    import pyarrow as pa

    checked = {
        role: check_cells(role, block.cells[name], _in_column(source, block, name)) for role, name in roles.items()
    }
    # 64-bit offsets, so that a column of more than 2 GiB can be joined into one
    types = [pa.float64() if holds_number(role) else pa.large_string() for role in roles]
    arrays = [pa.array(cells, kind) for cells, kind in zip(checked.values(), types, strict=True)]
    return pa.record_batch(arrays, names=list(roles))


def _in_column(source: str, block: Block, name: str) -> Callable[[int], str]:
    return lambda index: f"{source}: {block.place(index)}, column {name!r}"


class Filter:
    """Keeps the rows whose columns have wanted values, and remembers some that it met."""

    def __init__(self, where: Where) -> None:
        self.where = {
            name: {as_string(value) for value in ([values] if isinstance(values, str) else values)}
            for name, values in where.items()
        }
        self.met: dict[str, dict[str, None]] = {}

    def __call__(self, block: Block) -> Block:
        for name, wanted in self.where.items():
            if name in block.cells:
                values = [as_string(cell) for cell in block.cells[name]]
                met = self.met.setdefault(name, {})
                if len(met) < 5:
                    met.update(dict.fromkeys(values))
                block = _rows(block, [index for index, value in enumerate(values) if value in wanted])
        return block

    def fault(self) -> str:
        """Why no row is left."""
        found = (f"{name} {', '.join(map(shown, list(met)[:5]))}" for name, met in self.met.items() if met)
        wanted = (f"{name} {' or '.join(map(shown, sorted(values)))}" for name, values in self.where.items())
        return f"found {' and '.join(found)}, wanted rows of {' and '.join(wanted)}"


def _rows(block: Block, indices: list[int]) -> Block:
    cells: dict[str, Sequence[Any]] = {
        name: [values[index] for index in indices] for name, values in block.cells.items()
    }
    return Block(cells, lambda index: block.place(indices[index]))


def _spreader(first: Block, columns: Mapped | None, source: str) -> Callable[[Block], Block]:
    """Takes lists of negatives, and of their scores or margins, apart into columns of as many as the first row has."""
    lists = {role: name for role in _NUMBERED if (name := _list_of(role, first, columns))}
    if "negative" not in lists:
        return lambda block: block
    name = lists["negative"]
    if taken := [role for role in _numbered(first.cells, columns) if role != name]:
        raise InputError(f"{source}: found both a list {name} and {taken[0]}, wanted one way of naming negatives")
    count = len(first.cells[name][0])

    def spread(block: Block) -> Block:
        others = {key: cells for key, cells in block.cells.items() if key not in (*lists, *lists.values())}
        for role, name in lists.items():
            _check_lists(block.cells[name], count, f"{role.split('_')[-1]}s", _in_column(source, block, name))
            apart = zip(*block.cells[name], strict=True) if block.cells[name] else [()] * count
            others |= {_NUMBERED[role].format(place): cells for place, cells in enumerate(apart, start=1)}
        return Block(others, block.place)

    return spread


_NUMBERED = {"negative": "negative_{}", "negative_score": "negative_{}_score", "margin": "margin_{}"}
"""What the columns of a list are called."""


def _list_of(role: str, first: Block, columns: Mapped | None) -> str | None:
    """The column that plays a role, where it holds lists."""
    name = first_of([*_names((columns or {}).get(role, ())), role], first.cells)
    return name if name is not None and isinstance(first.cells[name][0], list) else None


def _check_lists(cells: Sequence[Any], count: int, what: str, place: Callable[[int], str]) -> None:
    for index, cell in enumerate(cells):
        if not isinstance(cell, list) or len(cell) != count:
            found = f"{len(cell)} {what}" if isinstance(cell, list) else shown(cell)
            raise InputError(f"{place(index)}: found {found}, wanted a list of {count} as in the first row")


def _numbered(names: Collection[str], columns: Mapped | None) -> list[str]:
    """The roles negative_1, negative_2 ... that a source's columns play."""
    mapped = [role for role, wanted in (columns or {}).items() if first_of(wanted, names) is not None]
    return sorted(role for role in {*names, *mapped} if role != "negative" and NEGATIVE.fullmatch(role))


def _names(wanted: str | Sequence[str]) -> Sequence[str]:
    return [wanted] if isinstance(wanted, str) else wanted
