"""Tables to files: rows by role, written whole or not at all, in constant memory."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

from nearfar.data.cells import shown
from nearfar.data.readers import format_of
from nearfar.errors import InputError

Batch = Mapping[str, Sequence[Any]]
"""Consecutive rows: role -> a value for each."""

CODECS = {".gz": "gzip", ".zst": "zstd"}


def write_table(path: Path, batches: Iterable[Batch], *, overwrite: bool = False) -> int:
    """Write rows to a file that `read_table` reads back.

    Args:
        path: .jsonl, .ndjson, .csv, .tsv, each plain or followed by .gz or .zst, or .parquet. TSV has no quoting,
            so it takes no value with a tab or a line break.
        batches: the rows, all with the roles of the first batch, whose types Parquet takes for the rest too;
            consumed one batch at a time. Values are str, float, int or bool; a column may be a NumPy array.
        overwrite: whether a file may be replaced.

    Returns:
        How many rows were written.

    Raises:
        InputError: the format is unknown, a file is there, there is no row, a value does not fit the format, the
            disk is full or the folder not writable; then nothing is left behind.
    """
    write = check_writable(path)
    if path.exists() and path.is_file() and not overwrite:
        raise InputError(f"{path}: found a file, wanted a free name or leave to overwrite it")
    with whole_file(path) as place:
        return write(path, place, _filled(path, batches))


def check_writable(path: Path) -> Callable[[Path, Path, Iterator[Batch]], int]:
    """What writes files of this name; for a check before the work.

    Raises:
        InputError: it is of no format that can be written.
    """
    write = WRITERS.get(format_of(path))
    if write is None or (write is _parquet and path.suffix.lower() in CODECS):
        wanted = f"{', '.join(WRITERS)}, or one of the text formats followed by {' or '.join(CODECS)}"
        raise InputError(f"{path}: found format {''.join(path.suffixes) or 'none'}, wanted {wanted}")
    return write


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to write, which takes its place when the block ends well.

    What is no regular file, such as /dev/stdout, is written as it comes.

    Raises:
        InputError: the disk is full or the folder not writable.
    """
    whole = path.is_file() or not path.exists()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial") if whole else path
    try:
        yield partial
        if whole:
            os.replace(partial, os.path.realpath(path))
    except OSError as error:
        raise InputError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        if whole:
            partial.unlink(missing_ok=True)


def _filled(path: Path, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches that hold rows, each with columns of one length under the first one's roles."""
    filled = (batch for batch in batches if any(len(column) for column in batch.values()))
    first = next(filled, None)
    if first is None:
        raise InputError(f"{path}: found no row to write, wanted at least one")
    for batch in chain([first], filled):
        if list(batch) != list(first):
            raise InputError(f"{path}: found roles {', '.join(batch)}, wanted {', '.join(first)} as in the first rows")
        yield {role: _as_list(column) for role, column in batch.items()}


def _as_list(column: Sequence[Any]) -> Sequence[Any]:
    """NumPy arrays as lists of Python's own numbers, which JSON knows."""
    return cast(Sequence[Any], column.tolist()) if hasattr(column, "tolist") else column


def _rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    return zip(*batch.values(), strict=True)


@contextmanager
def _opened(path: Path, place: Path) -> Iterator[IO[str]]:
    """The text file to write; how it is compressed stands in the final name."""
    import pyarrow as pa

    codec = CODECS.get(path.suffix.lower())
    with pa.output_stream(str(place), compression=codec) as stream, io.TextIOWrapper(stream, "utf-8", newline="") as f:
        yield f


def _json_lines(path: Path, place: Path, batches: Iterator[Batch]) -> int:
    encode, count = json.JSONEncoder(ensure_ascii=False).encode, 0
    with _opened(path, place) as file:
        for batch in batches:
            lines = [encode(dict(zip(batch, row, strict=True))) for row in _rows(batch)]
            file.write("\n".join(lines) + "\n")
            count += len(lines)
    return count


def _csv(path: Path, place: Path, batches: Iterator[Batch]) -> int:
    count = 0
    with _opened(path, place) as file:
        writer = csv.writer(file)  # "\r\n" as RFC 4180 has it, so that both are quoted inside a field
        for batch in batches:
            if not count:
                writer.writerow(batch)
            rows = list(_rows(batch))
            writer.writerows(rows)
            count += len(rows)
    return count


def _tsv(path: Path, place: Path, batches: Iterator[Batch]) -> int:
    count = 0
    with _opened(path, place) as file:
        for batch in batches:
            if not count:
                file.write("\t".join(batch) + "\n")
            for row in _rows(batch):
                count += 1
                fields = [str(value) for value in row]
                line = "\t".join(fields)
                if line.count("\t") >= len(fields) or "\n" in line or "\r" in line:
                    faulty = next(field for field in fields if any(mark in field for mark in "\t\n\r"))
                    raise InputError(
                        f"{path}: row {count}: found a tab or a line break in {shown(faulty)}, for which TSV has no"
                        " place; wanted another format (.jsonl, .csv, .parquet)"
                    )
                file.write(line + "\n")
    return count


def _parquet(path: Path, place: Path, batches: Iterator[Batch]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    first = next(batches)
    schema, count = pa.Table.from_pydict(dict(first)).schema, 0
    try:
        with parquet.ParquetWriter(str(place), schema) as writer:
            for batch in chain([first], batches):
                writer.write_table(pa.Table.from_pydict(dict(batch), schema=schema))
                count += len(next(iter(batch.values())))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InputError(f"{path}: {str(error).partition(chr(10))[0]}; wanted the types of the first rows") from error
    return count


WRITERS: dict[str, Callable[[Path, Path, Iterator[Batch]], int]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
}
