"""The journal of a run: every measurement as a line of JSON, written when it is made."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nearfar.analysis import Measurement
from nearfar.live.places import JOURNAL


class Journal:
    """Takes entries down, line by line, so that what was known survives a run that is killed.

    Each line is an object whose ``kind`` says what it is: ``reading``, ``measurement``, ``followed``, ``warning`` or
    ``result``.

    Args:
        folder: where `JOURNAL` is written, on from where it ends; None: nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / JOURNAL

    def write(self, kind: str, entry: dict[str, Any]) -> None:
        """One more line; numbers that are not finite are null."""
        if self.path is None:
            return
        line = json.dumps({"kind": kind, **plain(entry)}, ensure_ascii=False, allow_nan=False)
        with self.path.open("a", encoding="utf-8") as file:  # closed each time: what is written is on its way to disk
            file.write(line + "\n")


def entry_of(step: int, progress: float, seconds: float, loss: float) -> dict[str, Any]:
    """What an entry of a run begins with; a loss that is not known yet is null."""
    return {
        "step": step,
        "progress": round(progress, 4),
        "seconds": round(seconds, 2),
        "loss": None if math.isnan(loss) else loss,
    }


def figures_of(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """What an entry says of each table."""
    return [{"source": m.source, "task": m.task, **m.figures} for m in measurements]


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The entries of a journal; a last line that a kill cut short is left out."""
    *lines, last = path.read_text("utf-8").split("\n")
    del last  # empty, or a line without its end
    return [json.loads(line) for line in lines]


def plain(value: Any) -> Any:
    """The value with None for each number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
