"""Checkpoints on disk: a folder each, written whole or not at all, and read only if it is as it was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nearfar.errors import InputError
from nearfar.training.packing import pack, unpack

FORMAT = 2
RECORD, TENSORS = "checkpoint.json", "state.safetensors"


def folder_of(out: Path) -> Path:
    """Where the checkpoints of a run lie that is to make `out`: beside it, since `out` is there whole or not at all."""
    place = out.resolve()  # where a link leads
    return place.with_name(f"{place.name}.checkpoints")


def name_of(step: int) -> str:
    """What the checkpoint after so many steps is called."""
    return f"step-{step:06d}"


def checkpoints_in(folder: Path) -> list[Path]:
    """The whole checkpoints of a folder, by step."""
    found = [path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    return sorted(found, key=_step_of)


def write(place: Path, state: Any, about: dict[str, Any]) -> None:
    """Write a checkpoint: into a hidden folder, through to the disk, and then under its name.

    Args:
        place: the folder to be; one that is there gives way only when the new one is whole.
        state: as `pack` takes it.
        about: more for the record, as JSON.

    Raises:
        InputError: the disk is full or the place cannot be written; then all is as before.
    """
    stage = place.with_name(f".{place.name}.partial")
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        _fill(stage, state, about)
        if place.exists():
            discard([place])
        os.rename(stage, place)
        _sync(place.parent)
    except (OSError, SafetensorError) as error:  # the latter: how a full disk shows there
        reason = error.strerror if isinstance(error, OSError) else None
        raise InputError(f"{place}: the checkpoint cannot be written ({reason or error})") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def read(place: Path) -> tuple[Any, dict[str, Any]]:
    """State and record of a checkpoint.

    Raises:
        InputError: it is not there, or a file of it is missing, cut off or changed.
    """
    try:
        record = json.loads((place / RECORD).read_text("utf-8"))
        checksum = record.pop("checksum")
        if checksum != _checksum(record):
            raise InputError(f"{place / RECORD}: found a record that was changed after it was written")
        if record["format"] != FORMAT:
            raise InputError(f"{place}: found a checkpoint of format {record['format']}, wanted {FORMAT}")
        for name, known in record["files"].items():
            _check(place / name, known)
        return unpack(record.pop("state"), load_file(place / TENSORS)), record
    except OSError as error:
        raise InputError(f"{error.filename or place}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place / RECORD}: found no whole record of a checkpoint") from error


def discard(places: Sequence[Path]) -> None:
    """Remove checkpoints; each loses its name first, so that half of one is never taken for a whole."""
    for place in places:
        old = place.with_name(f".{place.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)
        shutil.rmtree(old, ignore_errors=True)


def prune(folder: Path, step: int, keep: int) -> None:
    """Leave the last `keep` checkpoints up to `step`; later ones are of a future that is being made anew."""
    found = checkpoints_in(folder)
    kept = [path for path in found if _step_of(path) <= step][-keep:]
    discard([path for path in found if path not in kept])
    for left in (*folder.glob(".step-*.partial"), *folder.glob(".step-*.old")):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _fill(stage: Path, state: Any, about: dict[str, Any]) -> None:
    packed, tensors = pack(state)
    save_file(tensors, stage / TENSORS)
    _sync(stage / TENSORS)
    record = {"format": FORMAT, **about, "files": {TENSORS: _known_by(stage / TENSORS)}, "state": packed}
    record = json.loads(json.dumps(record))
    with (stage / RECORD).open("w", encoding="utf-8") as file:
        json.dump(record | {"checksum": _checksum(record)}, file, indent=1, ensure_ascii=False)
    _sync(stage / RECORD)
    _sync(stage)


def _sync(path: Path) -> None:
    """Have a file, or what a folder lists, on the disk before going on."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _known_by(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _check(path: Path, known: dict[str, Any]) -> None:
    size = path.stat().st_size
    if size != known["bytes"]:
        raise InputError(f"{path}: found {size:,} bytes, wanted the {known['bytes']:,} that were written")
    if _known_by(path) != known:
        raise InputError(f"{path}: found other bytes than were written (its checksum differs)")


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
