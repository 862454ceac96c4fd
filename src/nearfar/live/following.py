"""What there is new of a run, for a page that asks again and again."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from nearfar.live.places import journal_of

PIECE = 2**22
"""Bytes of a journal that one answer holds at the most, but for a single longer line."""


def news(out: Path, run: str = "", offset: int = 0) -> dict[str, Any]:
    """The entries of a run's journal from `offset` on.

    Args:
        out: the folder of the run's model, which need not be there yet.
        run: what an earlier answer called the run; where it is another by now, everything is given.
        offset: bytes that are known.

    Returns:
        ``run``; ``offset``, to ask with the next time; ``anew``, whether what is known belongs to another run;
        ``entries``; ``state``: "waiting" (there is no run), "running" or "finished"; ``silent``: seconds since the last
        entry was written, None where there is none.
    """
    try:
        path = journal_of(out)
        return _nothing(run) if path is None else _read(path, path.parent == out, run, offset)
    except OSError:  # the folder has just taken its place: there is a next time
        return _nothing(run)


def quiet(out: Path) -> float:
    """Seconds since the run's journal was written to; without end where there is none."""
    try:
        path = journal_of(out)
        return math.inf if path is None else time.time() - path.stat().st_mtime
    except OSError:  # as above
        return 0.0


def _nothing(run: str) -> dict[str, Any]:
    return {"run": "", "offset": 0, "anew": bool(run), "entries": [], "state": "waiting", "silent": None}


def _read(path: Path, over: bool, run: str, offset: int) -> dict[str, Any]:
    with path.open("rb") as file:
        known = path.stat()
        name = f"{known.st_dev:x}-{known.st_ino:x}"  # stays when the folder is renamed
        anew = name != run or not 0 <= offset <= known.st_size
        start = 0 if anew else offset
        file.seek(start)
        piece = file.read(PIECE)
        while piece and b"\n" not in piece and (more := file.read(PIECE)):
            piece += more
    whole = piece[: piece.rfind(b"\n") + 1]  # a line may be half written
    return {
        "run": name,
        "offset": start + len(whole),
        "anew": anew,
        "entries": [json.loads(line) for line in whole.splitlines()],
        "state": "finished" if over else "running",
        "silent": max(0.0, time.time() - known.st_mtime),
    }
