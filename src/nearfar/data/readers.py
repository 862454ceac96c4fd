"""Formats: bytes on disk to numbered rows. Every fault names the file and the line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from nearfar.errors import InputError

Row = tuple[int, dict[str, Any]]
"""A row's line (or, in Parquet, row) number counted from 1, and its cells by column name."""

COMPRESSED = (".gz", ".zst")


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, in order, in constant memory.

    Args:
        path: .jsonl, .ndjson, .json (a list of objects, or lines of them), .csv, .tsv, .txt, plain or followed
            by .gz or .zst; or .parquet. TSV has no quoting, so a field holds no tab; a plain text is a row of
            `text`. Blank lines of .jsonl and .txt are passed over.

    Raises:
        InputError: the format is unknown, or the file does not keep to it.
    """
    reader = READERS.get(format_of(path))
    if reader is None:
        raise InputError(f"{path}: found format {format_of(path) or 'none'}, wanted {', '.join(READERS)}")
    try:
        yield from reader(path)
    except (OSError, EOFError) as error:  # EOFError: what gzip calls a truncated file
        reason = (isinstance(error, OSError) and error.strerror) or str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason})") from error


def format_of(path: Path) -> str:
    """The suffix that says what the file holds, the compression's aside, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def unit_of(path: Path) -> str:
    """What the numbers of `read_rows` count."""
    return "row" if format_of(path) == ".parquet" else "line"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends."""
    with _open(path) as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: line {number}: found byte 0x{raw[error.start]:02x}, wanted valid UTF-8"
                ) from None
            yield number, line.rstrip("\r\n")


def _open(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _text(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if line.strip():
            yield number, {"text": line}


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in _lines(path):
        if line.strip():
            yield number, _object(path, number, _parsed(path, number, line))


def _json(path: Path) -> Iterator[Row]:
    """A list of objects where the file starts with a bracket, else lines of objects."""
    with _open(path) as file:
        is_list = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if not is_list:
        yield from _json_lines(path)
        return
    rows = _parsed(path, 1, "\n".join(line for _, line in _lines(path)))
    for number, row in enumerate(rows, start=1):
        yield number, _object(path, number, row)


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise InputError(f"{path}: line {line}: found broken JSON ({error.msg} at column {error.colno})") from None


def _object(path: Path, number: int, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: line {number}: found a JSON {type(value).__name__}, wanted an object")
    return value


def _tsv(path: Path) -> Iterator[Row]:
    return _with_header(path, ((number, line.split("\t")) for number, line in _lines(path)))


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # a text may be longer than csv's 128 KiB
    reader = csv.reader((line + "\n" for _, line in _lines(path)), strict=True)
    numbered = ((reader.line_num, fields) for fields in reader if fields)
    try:
        yield from _with_header(path, numbered)
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: found broken CSV ({error})") from None


def _with_header(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Row]:
    _, header = next(rows, (0, []))
    repeated = next((name for place, name in enumerate(header) if name in header[:place]), None)
    if repeated is not None:
        raise InputError(f"{path}: line 1: found column {repeated!r} twice, wanted distinct names")
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(
                f"{path}: line {number}: found {len(fields)} field{'s' * (len(fields) != 1)}, wanted {len(header)}"
                f" ({', '.join(header)})"
            )
        yield number, dict(zip(header, fields, strict=True))


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        for batch in parquet.ParquetFile(path).iter_batches(10_000):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: found no readable Parquet ({str(error).splitlines()[0]})") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _text,
    ".parquet": _parquet,
}
