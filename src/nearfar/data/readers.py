"""Formats: bytes on disk to blocks of numbered rows. Every fault names the file and the row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from shutil import copyfileobj
from typing import IO, TYPE_CHECKING, Any, cast

from nearfar.data.cells import listed, shown
from nearfar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

BYTES = 1 << 20
ROWS = 1_000
"""A block holds about so many bytes of lines, or rows where the format has no lines: memory stays constant."""

LONGEST_FIELD = 1 << 27
"""Characters of a CSV field: more than csv's own 128 KiB, and still an end to a quote that is never closed."""

LONGEST_ARRAY = 1 << 28
"""Characters of a JSON array, which can only be read whole."""

COMPRESSED = (".gz", ".zst")


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a source.

    Attributes:
        cells: column -> a cell for each row, None where the row has none.
        place: index of a row in the block -> what a person calls that row, such as "row 3 (line 4)".
    """

    cells: dict[str, Sequence[Any]]
    place: Callable[[int], str]


def read_blocks(path: Path) -> Iterator[Block]:
    """The rows of a file, in order, in constant memory.

    Args:
        path: .jsonl, .ndjson, .json (lines of objects, or an array of them), .csv, .tsv, .txt or .parquet, plain
            or followed by .gz or .zst. TSV has no quoting, so a field holds no tab; a line of .txt is a row of
            `text`. Blank lines are passed over. JSON lines have the columns of the keys met so far.

    Raises:
        InputError: the format is unknown, the file does not keep to it or holds no row.
    """
    reader = READERS.get(format_of(path))
    if reader is None:
        raise InputError(f"{path}: found format {format_of(path) or 'none'}, wanted {SUPPORTED}")
    empty = True
    try:
        for block in reader(path):
            empty = False
            yield block
    except (OSError, EOFError, zlib.error) as error:  # the last two: a gzip file cut short, or corrupt
        reason = (isinstance(error, OSError) and error.strerror) or str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason})") from error
    if empty:
        found = "no row" if path.stat().st_size else "an empty file"
        raise InputError(f"{path}: found {found}, wanted at least one row")


def format_of(path: Path) -> str:
    """The suffix that says what the file holds, the compression's aside, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def numbered_blocks(batches: Iterable[pa.RecordBatch | pa.Table]) -> Iterator[Block]:
    """Arrow batches, as a Parquet file or a data set gives them, as blocks of rows counted from 1."""
    first = 1
    for batch in batches:
        if batch.num_rows:
            yield Block(batch.to_pydict(), rows_from(first))
            first += batch.num_rows


def rows_from(first: int) -> Callable[[int], str]:
    """Places of rows that are counted on from `first`."""
    return lambda index: f"row {first + index}"


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where its name ends in .gz or .zst."""
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix.lower() == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"), BYTES)
    return path.open("rb")


def _runs(path: Path) -> Iterator[tuple[int, str]]:
    """Runs of whole lines, about a megabyte each, with the number of the first line."""
    with open_bytes(path) as file:
        yield from _runs_of(file, path)


def _runs_of(file: IO[bytes], path: Path) -> Iterator[tuple[int, str]]:
    first = 1
    while lines := file.readlines(BYTES):
        raw = b"".join(lines)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            line = first + raw.count(b"\n", 0, error.start)
            raise InputError(f"{path}: line {line}: found byte 0x{raw[error.start]:02x}, wanted UTF-8") from None
        yield first, text.removeprefix("\ufeff") if first == 1 else text
        first += len(lines)


def _lines(run: str) -> list[str]:
    """The lines of a run without their ends, "\\n" or "\\r\\n"; no other character ends a line."""
    lines = run.removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines] if "\r" in run else lines


def _filled(run: str, first: int) -> tuple[list[int], list[str]]:
    """The lines of a run that are not blank, and their numbers."""
    numbered = [(number, line) for number, line in enumerate(_lines(run), first) if line and not line.isspace()]
    return [number for number, _ in numbered], [line for _, line in numbered]


def _lines_at(numbers: Sequence[int]) -> Callable[[int], str]:
    return lambda index: f"line {numbers[index]}"


def _text(path: Path) -> Iterator[Block]:
    for first, run in _runs(path):
        numbers, lines = _filled(run, first)
        if lines:
            yield Block({"text": lines}, _lines_at(numbers))


def _json_lines(path: Path) -> Iterator[Block]:
    return _objects_of(path, _runs(path))


def json_lines_of(file: IO[bytes], name: str) -> Iterator[Block]:
    """The rows of an open file of JSON lines, such as standard input, in constant memory.

    Args:
        file: read from where it stands, and left open.
        name: for messages.

    Raises:
        InputError: a line is no JSON object.
    """
    return _objects_of(Path(name), _runs_of(file, Path(name)))


def _objects_of(path: Path, runs: Iterator[tuple[int, str]]) -> Iterator[Block]:
    names: dict[str, None] = {}
    for first, run in runs:
        numbers, lines = _filled(run, first)
        values = [_parsed(path, number, line) for number, line in zip(numbers, lines, strict=True)]
        if values:
            yield _objects(path, values, names, _lines_at(numbers))


def _json(path: Path) -> Iterator[Block]:
    """An array of objects where the file starts with a bracket, else lines of objects."""
    with open_bytes(path) as file:
        is_array = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if not is_array:
        yield from _json_lines(path)
        return
    runs, length = [], 0
    for _, run in _runs(path):
        runs.append(run)
        if (length := length + len(run)) > LONGEST_ARRAY:
            raise InputError(f"{path}: found an array of over {LONGEST_ARRAY:,} characters, wanted lines of objects")
    if values := _parsed(path, 1, "".join(runs)):
        yield _objects(path, values, {}, rows_from(1))


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = number + error.lineno - 1
        raise InputError(f"{path}: line {line}: found broken JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; thousands of brackets
        raise InputError(f"{path}: line {number}: found JSON that cannot be read ({error})") from None


def _objects(path: Path, values: Sequence[Any], names: dict[str, None], place: Callable[[int], str]) -> Block:
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise InputError(f"{path}: {place(index)}: found {json.dumps(value)[:40]}, wanted a JSON object")
    return block_of(values, names, place)


def block_of(values: Sequence[Mapping[str, Any]], names: dict[str, None], place: Callable[[int], str]) -> Block:
    """Rows as columns; `names` gathers the keys, so that no later block lacks a column of an earlier one."""
    names.update(dict.fromkeys(chain.from_iterable(values)))
    return Block({name: [value.get(name) for value in values] for name in names}, place)


Record = tuple[int, list[str]]
"""The line on which a row of a table starts, and its fields."""


def _tsv(path: Path) -> Iterator[Block]:
    numbered = chain.from_iterable(enumerate(_lines(run), first) for first, run in _runs(path))
    return _with_header(path, ((number, line.split("\t")) for number, line in numbered if line))


def _csv(path: Path) -> Iterator[Block]:
    return _with_header(path, _csv_records(path))


def _csv_records(path: Path) -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    # StringIO because it cuts lines at "\n" alone and keeps their ends, which may stand inside quotes
    lines = chain.from_iterable(io.StringIO(run, newline="\n") for _, run in _runs(path))
    reader, start = csv.reader(lines, strict=True), 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: line {start}: found broken CSV ({error})") from None


def _with_header(path: Path, records: Iterator[Record]) -> Iterator[Block]:
    line, names = next(records, (0, []))
    _check_distinct(names, f"{path}: line {line}")
    first = 1
    while batch := list(islice(records, ROWS)):
        lines, rows = zip(*batch, strict=True)
        place = _rows_and_lines(first, lines)
        for index, fields in enumerate(rows):
            if len(fields) != len(names):
                found = f"{len(fields)} field{'s' * (len(fields) != 1)}"
                raise InputError(f"{path}: {place(index)}: found {found}, wanted {len(names)} ({listed(names)})")
        yield Block(dict(zip(names, zip(*rows, strict=True), strict=True)), place)
        first += len(rows)
    if names and first == 1:
        raise InputError(f"{path}: found a header and no row, wanted at least one row")


def _rows_and_lines(first: int, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda index: f"row {first + index} (line {lines[index]})"


def _check_distinct(names: Sequence[str], place: str) -> None:
    repeated = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if repeated is not None:
        raise InputError(f"{place}: found column {shown(repeated)} twice, wanted distinct names")


def _parquet(path: Path) -> Iterator[Block]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with _seekable(path) as file:
            opened = parquet.ParquetFile(file, pre_buffer=False)  # True reads a whole row group ahead
            _check_distinct(opened.schema_arrow.names, str(path))
            yield from numbered_blocks(opened.iter_batches(ROWS))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: found broken Parquet ({str(error).partition(chr(10))[0]})") from None


def _seekable(path: Path) -> IO[bytes]:
    """The open file; a compressed one unpacked on disk, since Parquet is read from its end."""
    file = open_bytes(path)
    if path.suffix.lower() not in COMPRESSED:
        return file
    with file:
        unpacked = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
        copyfileobj(file, unpacked, BYTES)
        unpacked.seek(0)
        return unpacked


READERS: dict[str, Callable[[Path], Iterator[Block]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".txt": _text,
    ".parquet": _parquet,
}
SUPPORTED = f"{', '.join(READERS)}, or one of these followed by {' or '.join(COMPRESSED)}"
