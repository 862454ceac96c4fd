"""When a run writes a checkpoint, and how a later one goes on from it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfar.errors import InputError, Stopped
from nearfar.settings import Settings
from nearfar.training.checkpoints import checkpoints_in, discard, name_of, prune, read, write
from nearfar.training.identity import CHANGEABLE, causes, differences
from nearfar.training.recorded import versions

SECONDS = 300.0
"""Between checkpoints where the settings name no steps: a run of seconds pays nothing, one of days loses minutes."""

SHARE = 0.02
"""Of its time that a run spends on checkpoints at most, then: where one takes long, they come less often."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Checkpoints:
    """Where a run keeps its checkpoints, and whether it goes on from one.

    Attributes:
        folder: of the checkpoints; made when there is one to write.
        resume: go on from the last one; from the beginning where there is none.
        resume_from: go on from the one of this name, such as "step-000200".
        resume_changed: go on although the learning rate or the end of the run is not as it was.
        overwrite: begin anew although there are some, which are removed.
        stop: asked after each step; where it says True the run writes a checkpoint and raises `Stopped`.
    """

    folder: Path
    resume: bool = False
    resume_from: str | None = None
    resume_changed: bool = False
    overwrite: bool = False
    stop: Callable[[], bool] = _never

    def start(self) -> Path | None:
        """The checkpoint to go on from; None: there is none, or none is asked for.

        Raises:
            InputError: there is none of the name that is asked for, or there are some and nothing is asked for.
        """
        found = checkpoints_in(self.folder)
        if self.resume_from is None:
            if not found or self.resume:
                return found[-1] if found else None
            if self.overwrite:
                return None
            raise InputError(f"{found[-1]}: found a run that is not finished, wanted leave to resume or overwrite it")
        place = self.folder / self.resume_from
        if place not in found:
            known = ", ".join(path.name for path in found) or "none"
            raise InputError(f"{self.folder}: found no checkpoint {self.resume_from}, wanted one of: {known}")
        return place

    def remove(self) -> None:
        """Remove all of them."""
        discard(checkpoints_in(self.folder))
        with suppress(OSError):  # what else is in there stays
            self.folder.rmdir()


class Keeper:
    """Writes the checkpoints of one run.

    Args:
        checkpoints: where, and from what.
        settings: `checkpoint_every` and `keep`.
        known_by: the `identity` of the run.
    """

    def __init__(self, checkpoints: Checkpoints, settings: Settings, known_by: dict[str, Any]) -> None:
        self.checkpoints, self.settings, self.known_by = checkpoints, settings, known_by
        self.latest: Path | None = None
        self.written, self.took = time.monotonic(), 0.0

    def begin(self) -> tuple[Any, str] | None:
        """The state to go on from and a line about it; None begins at the beginning.

        Raises:
            InputError: the checkpoint is not whole, or is one of another run; see also `Checkpoints.start`.
        """
        place = self.checkpoints.start()
        if place is None:
            self.checkpoints.remove()
            return None
        try:
            state, record = read(place)
        except InputError as error:
            raise InputError(f"{error}; {self._before(place)}") from error
        self.latest = place
        return state, "; ".join([f"goes on from {place}", *self._changes(place, record)])

    def due(self, step: int) -> bool:
        """Whether it is time for a checkpoint."""
        if self.settings.checkpoint_every:
            return step % self.settings.checkpoint_every == 0
        return time.monotonic() - self.written >= max(SECONDS, self.took / SHARE)

    def write(self, step: int, state: Any) -> None:
        """Write the checkpoint after so many steps, and let the oldest go.

        Raises:
            InputError: it cannot be written; the earlier ones are as they were.
        """
        started = time.monotonic()
        place = self.checkpoints.folder / name_of(step)
        try:
            write(place, state, {"step": step, "versions": versions(), "run": self.known_by})
        except InputError as error:
            raise InputError(f"{error}; {self.way_back()}") from error
        prune(self.checkpoints.folder, step, self.settings.keep)
        self.latest, self.written = place, time.monotonic()
        self.took = self.written - started

    def stop(self, step: int) -> None:
        """End the run, whose checkpoint after so many steps is written.

        Raises:
            Stopped: always.
        """
        raise Stopped(f"stopped after step {step}; {self.latest} holds all that it takes to go on")

    def way_back(self) -> str:
        """What is there to go on from."""
        if self.latest is None:
            return "there is no checkpoint yet (--checkpoint-every)"
        return f"--resume goes on from {self.latest}"

    def _before(self, place: Path) -> str:
        names = [path.name for path in checkpoints_in(self.checkpoints.folder)]
        earlier = names[: names.index(place.name)]
        if not earlier:
            return "there is none before it; without --resume the run begins anew"
        return f"--resume-from {earlier[-1]} goes on from the one before it"

    def _changes(self, place: Path, record: dict[str, Any]) -> list[str]:
        """What is not as it was and may be so."""
        found = differences(record["run"], self.known_by)
        barred = {name: text for name, text in found.items() if name not in CHANGEABLE}
        if barred or (found and not self.checkpoints.resume_changed):
            listed = "; ".join(f"{name} {text}" for name, text in causes(barred or found).items())
            leave = "--overwrite to begin anew" if barred else "--resume-changed to go on with what is now"
            raise InputError(f"{place}: found a checkpoint of another run: {listed}; wanted all as it was, or {leave}")
        known = versions()
        moved = {name: old for name, old in record["versions"].items() if known.get(name) != old}
        return [f"{name} {text}" for name, text in found.items()] + [
            f"{name} was {old}, is {known.get(name)}: not bit for bit" for name, old in moved.items()
        ]
