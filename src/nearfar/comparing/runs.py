"""Runs on disk: a file each, whole or not there, and what comparison they are of."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nearfar.data.writing import whole_file
from nearfar.errors import InputError
from nearfar.training.journal import plain
from nearfar.training.output import check_free

PLAN, FOLDER = "plan.json", "runs"
RESULTS = ("comparison.json", "table.md", "report.html")
MODEL = "model"


class Runs:
    """The runs of a comparison that are done.

    Args:
        out: folder of the comparison, which is made; what is there is gone on with.
        identity: of its plan.
        overwrite: whether to remove what is there instead.

    Raises:
        InputError: it is another comparison, or cannot be written.
    """

    def __init__(self, out: Path, identity: dict[str, Any], *, overwrite: bool = False) -> None:
        self.out, self.folder = out, out / FOLDER
        identity = json.loads(json.dumps(plain(identity)))
        if overwrite:
            forget(out)
        if (out / PLAN).is_file():
            self._check(identity)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out}: cannot be written ({error.strerror})") from error
        for left in (*out.glob(".*.partial"), *self.folder.glob(".*.partial")):  # of a process that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        _write(out / PLAN, identity)

    @property
    def best_validation(self) -> float:
        """Of all runs that count and are done."""
        found = (_read(path).get("validation") for path in self.folder.glob("*.seed-*.json"))
        return max((figure for figure in found if figure is not None), default=-math.inf)

    def once(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a run gave, as JSON has it: read where it is done, else done now and written."""
        path = self.folder / f"{quote(name, safe=' ')}.json"
        if not path.is_file():
            _write(path, run())
        return _read(path)

    def _check(self, identity: dict[str, Any]) -> None:
        known = _read(self.out / PLAN)
        for name, value in identity.items():
            then = known.get(name)
            if then == value:
                continue
            if isinstance(value, dict) and isinstance(then, dict):
                name, then, value = next((k, then.get(k), v) for k, v in value.items() if then.get(k) != v)
            found, wanted = (_brief(one) for one in (value, then))
            raise InputError(
                f"{self.out}: {name}: found {found}, wanted {wanted} as when it began; --overwrite begins anew"
            )


def check_out(out: Path, inputs: Sequence[str], *, resume: bool, overwrite: bool) -> None:
    """Raise an InputError where a comparison may not be written into `out`, before anything is read.

    Args:
        out: the folder.
        inputs: files that are read.
        resume: whether to go on with what is there.
        overwrite: whether to remove it.
    """
    if (out / PLAN).is_file() and not (resume or overwrite):
        raise InputError(f"{out}: found a comparison, wanted --resume to go on with it, or --overwrite to begin anew")
    check_free(out, overwrite or resume, inputs=inputs)


def forget(out: Path) -> None:
    """Remove what a comparison has left in a folder, and nothing else."""
    for folder in (FOLDER, MODEL):
        shutil.rmtree(out / folder, ignore_errors=True)
    for name in (PLAN, *RESULTS):
        (out / name).unlink(missing_ok=True)


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _write(path: Path, values: dict[str, Any]) -> None:
    with whole_file(path) as place:
        place.write_text(json.dumps(plain(values), ensure_ascii=False) + "\n", "utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no readable run ({error})") from None
    return found
