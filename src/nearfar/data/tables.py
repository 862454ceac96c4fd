"""Tables: rows of texts by role, on disk, memory-mapped."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.readers import READERS, Row, format_of, read_rows, unit_of
from nearfar.data.roles import Kind, Mapped, Roles, check_mapped, find_roles
from nearfar.errors import InputError
from nearfar.hub import reachable

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

CACHE_FORMAT = "1"
"""Part of every cache file's name; raised when what is written into one changes."""

BATCH = 10_000

Where = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Table:
    """Rows of texts, whose columns are roles.

    Attributes:
        rows: an Arrow-backed data set whose columns are the roles: texts and `label` are strings, `score` a float.
        kind: "pairs" (anchor, positive, negatives), "scored" (sentence1, sentence2, score), "labelled" (text,
            label) or "texts" (text).
        source: what the user called it, for messages.
    """

    rows: datasets.Dataset
    kind: Kind
    source: str

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], source: str = "memory") -> Table:
        """A table of lists by role, checked as a file would be.

        Raises:
            InputError: lengths differ, the roles make no kind of table, or a cell is not what its role wants.
        """
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{source}: found columns of lengths {lengths}, wanted equal lengths")

        def rows() -> Iterator[Row]:
            for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
                yield number, dict(zip(columns, cells, strict=True))

        return _collect([Part(source, "", rows, "row")], None, None, source, _in_memory)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns, in canonical order."""
        return tuple(self.rows.column_names)

    @property
    def text_roles(self) -> tuple[str, ...]:
        """The columns that hold text."""
        return tuple(role for role in self.roles if role not in ("label", "score"))

    @property
    def negatives(self) -> tuple[str, ...]:
        """The columns that hold negatives."""
        return tuple(role for role in self.roles if role.startswith("negative"))

    def column(self, role: str) -> list[Any]:
        """A whole column: str, or float for `score`."""
        return list(chain.from_iterable(batch[role] for batch in self.batches()))

    def batches(self, size: int = BATCH) -> Iterator[dict[str, list[Any]]]:
        """Runs of rows in order, each a list by role."""
        for start in range(0, len(self), size):
            yield self.rows[start : start + size]

    def select(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> Table:
        """These rows, in this order; nothing is copied."""
        return Table(self.rows.select(indices, keep_in_memory=True), self.kind, self.source)

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of roles and cells, equal for equal content whatever the file."""
        digest = hashlib.sha256(json.dumps(self.roles).encode())
        for batch in self.batches():
            digest.update(json.dumps(list(zip(*batch.values(), strict=True))).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Part:
    """A file, or something like one: a name, what changes when its content does, and its rows."""

    name: str
    stamp: str
    rows: Callable[[], Iterable[Row]]
    unit: str


def read_table(
    source: str | Path | Sequence[str | Path],
    *,
    columns: Mapped | None = None,
    where: Where | None = None,
    split: str = "train",
) -> Table:
    """Read a table: a file, a folder of files, a saved data set, or a data set on the Hugging Face hub.

    Rows are checked one by one and written to an Arrow file in the cache of Hugging Face `datasets`, which is
    memory-mapped, so that a file of any size can be read; an unchanged source is not read twice.

    Args:
        source: one of these, or several files of like columns.
        columns: role -> the source's column, or several of which the first that is there counts.
        where: column -> values; rows of another value are left out. A source without the column keeps its rows.
        split: of a hub or saved data set.

    Raises:
        InputError: one line that names the file, the row, what was found and what was wanted.
    """
    check_mapped(columns)
    sources = [source] if isinstance(source, str | Path) else list(source)
    parts = [part for one in sources for part in _parts(one, split)]
    return _collect(parts, columns, where, ", ".join(map(str, sources)), _on_disk)


def _parts(source: str | Path, split: str) -> list[Part]:
    path = Path(source)
    if path.is_dir():
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            return [_saved_part(path, split)]
        files = sorted(f for f in path.iterdir() if f.is_file() and format_of(f) in READERS and f.name[0] != ".")
        if not files:
            raise InputError(f"{source}: found a folder without any file of {', '.join(READERS)}")
        return [_file_part(file) for file in files]
    if path.exists():
        return [_file_part(path)]
    if format_of(path) in READERS or len(path.parts) > 2 or str(source)[:1] in (".", "/", "~"):
        raise InputError(f"{source}: found no such file or folder")
    return [_hub_part(str(source), split)]


def _file_part(path: Path) -> Part:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    stamp = f"{path.absolute()}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
    return Part(str(path), stamp, lambda: read_rows(path), unit_of(path))


def _saved_part(path: Path, split: str) -> Part:
    import datasets

    found = datasets.load_from_disk(str(path))
    return _dataset_part(str(path), found[split] if isinstance(found, datasets.DatasetDict) else found)


def _hub_part(name: str, split: str) -> Part:
    import datasets

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        datasets.config.HF_HUB_OFFLINE = offline or not reachable()
        return _dataset_part(name, datasets.load_dataset(name, split=split))
    except Exception as error:  # whatever the hub, the network or a loader raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{name}: found no such file or folder, and no data set on the hub by that name ({reason})"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline


def _dataset_part(name: str, found: datasets.Dataset) -> Part:
    return Part(name, found._fingerprint, lambda: enumerate(found, start=1), "row")


Keep = Callable[[Callable[[], Iterator["pa.RecordBatch"]], "pa.Schema", str], "datasets.Dataset"]
"""Puts record batches somewhere under a key and gives them back as a data set."""


def _collect(parts: Sequence[Part], columns: Mapped | None, where: Where | None, source: str, keep: Keep) -> Table:
    """Find the roles, check every row, keep them."""
    first = next(iter(parts[0].rows()), None)
    if first is None:
        raise InputError(f"{parts[0].name}: found no row, wanted at least one")
    roles = find_roles(_spread(first[1], columns), columns, parts[0].name)
    key = json.dumps([CACHE_FORMAT, [part.stamp for part in parts], roles.columns, where], sort_keys=True, default=list)
    seen: dict[str, Counter[str]] = {name: Counter() for name in where or {}}
    rows = keep(lambda: _batches(parts, roles, columns, where or {}, seen), _schema(roles), key)
    if not len(rows):
        wanted = "; ".join(f"{name} {', '.join(map(repr, values))}" for name, values in (where or {}).items())
        found = "; ".join(f"{name} {', '.join(map(repr, list(values)[:5]))}" for name, values in seen.items())
        raise InputError(f"{source}: no row is left by --where: wanted {wanted}, found {found}")
    return Table(rows, roles.kind, source)


def _spread(row: Mapping[str, Any], columns: Mapped | None) -> Mapping[str, Any]:
    """The row with a list of negatives taken apart into negative_1, negative_2 ..."""
    named = (columns or {}).get("negative", ())
    for name in ([named] if isinstance(named, str) else [*named]) + ["negative", "negatives"]:
        if isinstance(row.get(name), list):
            texts = {f"negative_{number}": text for number, text in enumerate(row[name], start=1)}
            return {key: value for key, value in row.items() if key != name} | texts
    return row


def _batches(
    parts: Sequence[Part], roles: Roles, columns: Mapped | None, where: Where, seen: Mapping[str, Counter[str]]
) -> Iterator[pa.RecordBatch]:
    """Checked rows, some thousands at a time; `seen` counts the values that a filter has met."""
    import pyarrow as pa

    schema, rows = _schema(roles), _checked(parts, roles, columns, where, seen)
    while batch := list(islice(rows, BATCH)):
        cells = zip(*batch, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(cells, schema, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def _checked(
    parts: Sequence[Part], roles: Roles, columns: Mapped | None, where: Where, seen: Mapping[str, Counter[str]]
) -> Iterator[list[Any]]:
    negatives = sum(role.startswith("negative_") for role in roles.columns)
    for part in parts:
        for number, plain in part.rows():
            if not all(_passes(plain, name, values, seen[name]) for name, values in where.items()):
                continue
            row, place = _spread(plain, columns), f"{part.name}: {part.unit} {number}"
            if row is not plain and (found := sum(name.startswith("negative_") for name in row)) != negatives:
                raise InputError(f"{place}: found {found} negatives, wanted {negatives} as in the first row")
            yield [roles.cell(role, row, place) for role in roles.columns]


def _passes(row: Mapping[str, Any], name: str, values: Sequence[str], seen: Counter[str]) -> bool:
    if name not in row:
        return True
    value = str(row[name]).lower() if isinstance(row[name], bool) else str(row[name])
    seen[value] += 1
    return value in values


def _schema(roles: Roles) -> pa.Schema:
    import pyarrow as pa

    # 64-bit offsets: a batch of long texts may hold more than 2 GiB.
    return pa.schema([(role, pa.float64() if role == "score" else pa.large_string()) for role in roles.columns])


def _in_memory(batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema, key: str) -> datasets.Dataset:
    import datasets
    import pyarrow as pa

    return datasets.Dataset(datasets.table.InMemoryTable(pa.Table.from_batches(batches(), schema)))


def _on_disk(batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema, key: str) -> datasets.Dataset:
    """Write an Arrow file under the key's digest unless it is there, whole or not at all, and map it."""
    import datasets
    import pyarrow as pa

    folder = Path(datasets.config.HF_DATASETS_CACHE) / "nearfar"
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.arrow"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".partial", delete=False) as file:
                partial = Path(file.name)
                try:
                    with pa.ipc.new_stream(file, schema) as writer:
                        for batch in batches():
                            writer.write_batch(batch)
                    file.flush()
                    os.replace(partial, path)
                finally:
                    partial.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: the cache cannot be written ({error.strerror or error})") from error
    return datasets.Dataset.from_file(str(path))
