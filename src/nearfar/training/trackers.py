"""TensorBoard, Weights & Biases and the others that accelerate knows: measurements as they are made."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, filter_trackers, get_available_trackers

from nearfar.analysis import Measurement
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.journal import plain
from nearfar.training.ranks import place

PROJECT = "nearfar"
FOLDER = "logs"


def check_trackers(names: Sequence[str]) -> None:
    """Raise an InputError unless accelerate knows each name, and its package is here."""
    known, here = [*LOGGER_TYPE_TO_CLASS, "all"], [str(tracker) for tracker in get_available_trackers()]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"track: found {name!r}, wanted one of {', '.join(known)}{hint}")
        if name not in here and not (name == "all" and here):
            wanted = f"its package (pip install {name})" if name != "all" else "a tracker (pip install tensorboard)"
            raise InputError(f"track: found {name}, wanted {wanted} to be installed")


class Trackers:
    """Hands on numbers to the trackers of an accelerator; without any it does nothing."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator

    def write(self, step: int, values: dict[str, Any]) -> None:
        """The numbers among the values."""
        numbers = {name: value for name, value in plain(values).items() if isinstance(value, int | float)}
        if self.accelerator.trackers:
            self.accelerator.log(numbers, step=step)

    def write_measurements(self, step: int, measurements: Sequence[Measurement]) -> None:
        """All figures of all tables, as ``dev.tsv/ndcg@10``."""
        for name, m in zip(short_names([m.source for m in measurements]), measurements, strict=True):
            self.write(step, {f"{name}/{figure}": value for figure, value in m.figures.items()})


def short_names(sources: Sequence[str]) -> list[str]:
    """File names where they tell the sources apart, else the sources."""
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(names) else list(sources)


@contextmanager
def tracked(accelerator: Accelerator, settings: Settings, folder: Path | None) -> Iterator[Trackers]:
    """The trackers that the settings name, ended in good order.

    Args:
        accelerator: of the run.
        settings: their `track` and `log_folder`.
        folder: where the run writes; a tracker's files go to its `FOLDER` unless the settings say where.

    Raises:
        InputError: a tracker writes files, and nothing says where; or it cannot begin, without an account for one.
    """
    check_trackers(settings.track)
    if place()[0]:  # rank 0 alone writes
        yield Trackers(accelerator)
        return
    where = settings.log_folder or (None if folder is None else str(folder / FOLDER))
    try:
        accelerator.log_with = filter_trackers(settings.track, where)
    except ValueError as error:
        raise InputError(f"log_folder: found None, wanted a folder for --track {settings.track[0]}") from error
    accelerator.project_configuration.logging_dir = where
    if settings.track:
        _begin(accelerator, settings, where)
    try:
        yield Trackers(accelerator)
    finally:
        if settings.track:
            accelerator.end_training()


def _begin(accelerator: Accelerator, settings: Settings, where: str | None) -> None:
    """Start the trackers, and tell them the settings; W&B too writes to `where`, not beside the user's own files."""
    if where:
        Path(where).mkdir(parents=True, exist_ok=True)
    told = {name: _told(value) for name, value in settings.model_dump().items()}
    try:
        accelerator.init_trackers(PROJECT, told, {"wandb": {"dir": where}})
    except Exception as error:  # each package has errors of its own
        names = ", ".join(settings.track)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"track: found {names}, which cannot begin ({reason}), wanted it set up") from error


def _told(value: Any) -> Any:
    """What trackers take for a setting: a number or a text."""
    return value if isinstance(value, bool | int | float | str) else "" if value is None else ", ".join(map(str, value))
