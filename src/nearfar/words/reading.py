"""Text of any size as runs of lines, whatever bytes it holds."""

from __future__ import annotations

import codecs
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.data.readers import READERS, format_of, open_bytes
from nearfar.data.roles import is_mark
from nearfar.data.streams import STANDARD_INPUT, Stream, read_stream
from nearfar.errors import InputError

HEAD = 1 << 13
"""Bytes by which a file of text is told from any other, as git does."""

BLOCK = 1 << 20
"""Bytes read at a time. A longer line is cut, at a space where it has one."""

Lines = Callable[[], Iterator[Sequence[str]]]
"""Makes a fresh pass over the corpus, in runs of texts."""


@dataclass
class Faults:
    """Lines that are no UTF-8, of one pass.

    Attributes:
        lines: how many.
        first: file and line of the first one, or "".
    """

    lines: int = 0
    first: str = ""

    def __str__(self) -> str:
        count = "1 line is" if self.lines == 1 else f"{self.lines:,} lines are"
        return f"{count} no UTF-8, the first {self.first}; their other characters were read"


@dataclass(frozen=True)
class Text:
    """What a corpus is read from.

    Attributes:
        parts: files of plain text, or streams.
        source: for messages.
        watch: called with the number of lines that a pass has read.
    """

    parts: Sequence[Path | Stream]
    source: str
    watch: Callable[[int], None] = lambda lines: None

    def lines(self, faults: Faults) -> Iterator[Sequence[str]]:
        """A pass over all texts.

        Raises:
            InputError: a file cannot be read.
        """
        done = 0
        for part in self.parts:
            for run in read_lines(part, faults) if isinstance(part, Path) else _texts(part):
                yield run
                done += len(run)
                self.watch(done)

    def stamp(self) -> list[Any]:
        """What changes when a file does: names, sizes and times."""
        paths = [part for part in self.parts if isinstance(part, Path)]
        return [self.source, *([str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths)]


def open_text(
    sources: Sequence[str | Path],
    place: Path,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    watch: Callable[[int], None] = lambda lines: None,
) -> Text:
    """The texts of files, folders, tables, or standard input.

    Args:
        sources: files of plain text, perhaps compressed; folders of them; tables, all of whose texts are taken; hub
            names; "-" for plain text from standard input.
        place: a folder that takes a copy of standard input, which is read twice.
        columns, where: of tables, as of `read_table`.
        watch: see `Text`.

    Raises:
        InputError: there is no such source, or columns are named and no source has any.
    """
    parts: list[Path | Stream] = []
    for source in sources:
        path = Path(source)
        if str(source) == STANDARD_INPUT:
            parts.append(_spooled(place))
        elif path.is_dir() and not (path / "dataset_info.json").is_file():
            inside = sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
            if not inside:
                raise InputError(f"{source}: found an empty folder, wanted text")
            parts += [_open(one, columns, where) for one in inside]
        else:
            parts.append(_open(path, columns, where) if path.is_file() else read_stream(source))
    for name, given in (("column", columns), ("where", where)):
        if given and not any(isinstance(part, Stream) for part in parts):
            raise InputError(f"--{name}: found it for plain text, wanted a table among the sources, or none")
    return Text(parts, ", ".join(map(str, sources)), watch)


def _open(
    path: Path, columns: Mapping[str, Sequence[str]] | None, where: Mapping[str, Sequence[str]] | None
) -> Path | Stream:
    is_table = format_of(path) in READERS and format_of(path) != ".txt"
    return read_stream(path, columns=columns, where=where) if is_table else path


def _spooled(place: Path) -> Path:
    path = place / "input.txt"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
    return path


def _texts(stream: Stream) -> Iterator[Sequence[str]]:
    roles = [role for role in stream.roles if not is_mark(role)]
    for batch in stream.open(None):
        for role in roles:
            yield batch.column(role).to_pylist()


def read_lines(path: Path, faults: Faults) -> Iterator[list[str]]:
    """The lines of a plain or compressed file; bytes that are no UTF-8 become U+FFFD and their lines are counted.

    Raises:
        InputError: the file cannot be read, holds no text, or is compressed and broken.
    """
    number, rest = 1, b""
    try:
        with open_bytes(path) as file:
            for place, block in enumerate(iter(lambda: file.read(BLOCK), b"")):
                if not place:
                    _check_text(block[:HEAD], path)
                rest += block
                cut = _cut(rest)
                if cut:
                    run, rest = rest[:cut], rest[cut:]
                    yield _decoded(run, path, number, faults)
                    number += run.count(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error).partition("\n")[0]
        raise InputError(f"{path}: cannot be read ({reason})") from error
    if rest:
        yield _decoded(rest, path, number, faults)


def _check_text(head: bytes, path: Path) -> None:
    """Raise an InputError where a file does not begin like text: no text in UTF-8 holds a NUL, what is packed does."""
    if b"\0" in head:
        what = "UTF-16 or UTF-32" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "a NUL byte"
        raise InputError(f"{path}: found {what}, wanted text in UTF-8, as it is or compressed by gzip or zstd")


def _cut(run: bytes) -> int:
    """Where to cut: behind the last line; in a long one behind a space, or at least between two characters."""
    if end := run.rfind(b"\n") + 1:
        return end
    if len(run) <= BLOCK:
        return 0
    if space := run.rfind(b" ") + 1:
        return space
    place = len(run) - 1
    while place > len(run) - 4 and run[place] & 0xC0 == 0x80:  # inside a character of several bytes
        place -= 1
    return place


def _decoded(run: bytes, path: Path, first: int, faults: Faults) -> list[str]:
    try:
        return run.decode().split("\n")
    except UnicodeDecodeError:
        pass
    lines: list[str] = []
    for number, line in enumerate(run.split(b"\n"), first):
        text = line.decode(errors="replace")
        if text.encode() != line:
            faults.lines += 1
            faults.first = faults.first or f"{path}: line {number}"
        lines.append(text)
    return lines
