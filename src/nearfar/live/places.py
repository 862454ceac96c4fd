"""Where a run writes its journal: into a hidden folder beside OUT, which takes OUT's place when the run is over."""

from __future__ import annotations

import glob
from pathlib import Path

JOURNAL = "history.jsonl"
"""The file of a run's folder that holds a line of JSON for each thing that was seen."""


def stages_of(out: Path) -> list[Path]:
    """The hidden folders of runs that write, or once wrote, a model to `out`."""
    place = out.resolve()
    return sorted(place.parent.glob(f".{glob.escape(out.name)}.*.partial"))


def journal_of(out: Path) -> Path | None:
    """The journal that was written to last, of a run that goes on or is over; None where there is none yet."""
    found = [folder / JOURNAL for folder in (*stages_of(out), out) if (folder / JOURNAL).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
