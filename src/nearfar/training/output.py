"""The folder of a finished run: written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from nearfar.analysis.report import Page, training_page, write_page
from nearfar.errors import InputError
from nearfar.live.places import stages_of
from nearfar.settings import Inputs
from nearfar.training.card import model_card
from nearfar.training.fitting import Data
from nearfar.training.holding import hold, is_held
from nearfar.training.outcome import Outcome
from nearfar.training.recorded import described, versions


def check_free(out: Path, overwrite: bool, inputs: Sequence[str] = ()) -> None:
    """Raise an InputError where `out` is a file, or holds something that may not be overwritten.

    Args:
        out: the folder to be.
        overwrite: whether it may be replaced.
        inputs: files and folders that may not be replaced even so.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: found a file, wanted a free name or a folder")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise InputError(f"{out}: found a folder that holds something, wanted a free name or --overwrite")
    place = out.resolve()
    if os.path.ismount(place) or Path.cwd().is_relative_to(place):
        raise InputError(f"{out}: found a folder that cannot be replaced, wanted the name of one inside it")
    for source in inputs:
        if os.path.exists(source) and Path(source).resolve().is_relative_to(place):
            raise InputError(f"{out}: found the folder of the data {source}, wanted another name")


@contextmanager
def whole_folder(out: Path, overwrite: bool = False) -> Iterator[Path]:
    """A hidden folder beside `out` to write into, which takes `out`'s place when the block ends well.

    It is made at once, so that a place that cannot be written is known before the work and not after it, and held, so
    that no other process makes the same `out` meanwhile.

    Raises:
        InputError: `out` may not be replaced or is being made, its place cannot be written, or the disk is full.
    """
    check_free(out, overwrite)
    if any(map(is_held, stages_of(out))):
        raise InputError(
            f"{out}: found another run under way that writes to it, wanted another name, or that run's end"
        )
    place = out.resolve()  # where a link leads
    parent = place.parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=parent))
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from error
    try:
        with hold(stage):
            yield stage
            stage.chmod(0o755)
            _take_place(stage, place)
    except OSError as error:
        network = error.errno is None or isinstance(error, ConnectionError | TimeoutError)
        if error.filename is None and network:
            raise
        where = out if str(error.filename or stage).startswith(str(stage)) else error.filename
        raise InputError(f"{where}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        _remove_empty(made)


def forget_stages(out: Path) -> None:
    """Remove what `whole_folder` of a process that was killed has left of `out`."""
    for stage in stages_of(out):
        if not is_held(stage):
            shutil.rmtree(stage, ignore_errors=True)


def _take_place(stage: Path, out: Path) -> None:
    if not out.exists():
        os.rename(stage, out)
        return
    old = stage.with_suffix(".old")
    try:
        os.rename(out, old)
        os.rename(stage, out)
    finally:  # whatever comes between the two, one of them is there
        if old.exists() and not out.exists():
            os.rename(old, out)
    shutil.rmtree(old)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Folders made for a run that came to nothing, the innermost first."""
    with suppress(OSError):  # one that holds something stays, and so do those around it
        for folder in folders:
            folder.rmdir()


def save(folder: Path, outcome: Outcome, data: Sequence[Data], title: str, inputs: Inputs | None = None) -> None:
    """Write the model as sentence-transformers does, with a model card, nearfar.json and report.html beside it.

    Args:
        folder: to write into.
        outcome: of the run.
        data: that it trained on.
        title: of the model.
        inputs: what names the data, where a command read it, so that nearfar.json can repeat the run.
    """
    with full_disk_told(folder):
        outcome.model.save(str(folder), create_model_card=False)
    record = describe(outcome, data, inputs)
    (folder / "README.md").write_text(model_card(record, outcome, data, title), "utf-8")
    write_record(folder, record, training_page(record, outcome.measurements, outcome.similarities, title))


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Within the block a full disk is an OSError with safetensors as elsewhere."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(None, str(error), str(folder)) from error


def write_record(folder: Path, record: Mapping[str, Any], page: Page) -> None:
    """Write nearfar.json, and report.html as a page of it."""
    write_page(page, folder / "report.html")
    (folder / "nearfar.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")


def describe(outcome: Outcome, data: Sequence[Data], inputs: Inputs | None = None) -> dict[str, Any]:
    """What nearfar.json holds: what was read, settings, data, versions, and the history of measurements."""
    return {
        "run": inputs.model_dump() if inputs else None,
        "settings": outcome.settings.model_dump(),
        "data": [described(one) for one in data],
        "evaluate_on": [described(table) for table in outcome.evaluate_on],
        "versions": versions(),
        "seconds": round(outcome.seconds, 2),
        "interrupted": outcome.interrupted,
        "best_step": outcome.best_step,
        "stopped_early": outcome.stopped_early,
        "measurements": [measurement.to_dict() for measurement in outcome.measurements],
        "history": outcome.history,
        "readings": outcome.readings,
        "warnings": outcome.warnings,
    }
