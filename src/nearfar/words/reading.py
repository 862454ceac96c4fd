"""Text of any size as runs of lines, whatever bytes it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfar.data.readers import open_bytes

BLOCK = 1 << 20
"""Bytes read at a time; a longer line is cut, where it has spaces at one of them."""

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


def read_lines(path: Path, faults: Faults) -> Iterator[list[str]]:
    """The lines of a plain or compressed file; bytes that are no UTF-8 become U+FFFD and are counted."""
    number, rest = 1, b""
    with open_bytes(path) as file:
        while block := file.read(BLOCK):
            rest += block
            cut = max(rest.rfind(b"\n"), rest.rfind(b" ") if len(rest) > BLOCK else -1) + 1
            if cut or len(rest) > 2 * BLOCK:
                run, rest = (rest[:cut], rest[cut:]) if cut else (rest, b"")
                yield _decoded(run, path, number, faults)
                number += run.count(b"\n")
        if rest:
            yield _decoded(rest, path, number, faults)


def _decoded(run: bytes, path: Path, first: int, faults: Faults) -> list[str]:
    try:
        return run.decode().splitlines()
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
