"""Stopping a run and going on with it: what --resume finds, what SIGTERM leaves."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.commands.leaving import Leaving, heard
from nearfar.commands.shared import rank, say, several
from nearfar.errors import InputError, Stopped

if TYPE_CHECKING:
    from nearfar.training import Checkpoints


@dataclass(frozen=True)
class Resuming:
    """What the command line says of going on.

    Attributes:
        resume: from the last checkpoint.
        name: from the checkpoint of this name.
        changed: although the learning rate or the end is another.
    """

    resume: bool
    name: str | None
    changed: bool

    @property
    def asked(self) -> bool:
        """Whether to go on at all."""
        return self.resume or self.name is not None

    def has_nothing_left(self, output: Path, overwrite: bool) -> bool:
        """Whether the run is finished already, which is said; where an unfinished one begins or goes on is said too.

        Raises:
            InputError: there is an unfinished run, and neither --resume nor --overwrite.
        """
        from nearfar.training.checkpoints import checkpoints_in, folder_of

        found = checkpoints_in(folder_of(output))
        finished = (output / "nearfar.json").is_file() and not overwrite
        if found and not (self.asked or overwrite):
            raise InputError(
                f"{found[-1]}: found a run that is not finished, wanted --resume to go on with it, or --overwrite to"
                " begin anew"
            )
        if not self.asked:
            return False
        if found and finished:
            raise InputError(
                f"{output}: found a finished model beside the unfinished run {found[-1]}, wanted --resume with"
                " --overwrite to put that run's model in its place"
            )
        if finished:
            say(f"{output}: this run is finished; --overwrite trains it again")
        elif not found and self.name is None:
            say(f"{output}: no checkpoint to go on from, so from the beginning")
        return finished

    @contextmanager
    def ready(self, output: Path) -> Iterator[Checkpoints]:
        """Checkpoints for the run; within the block SIGTERM asks it to stop, and the way to go on is printed then."""
        from nearfar.training import Checkpoints
        from nearfar.training.checkpoints import folder_of
        from nearfar.training.output import forget_stages
        from nearfar.training.ranks import many

        if self.asked and not rank():
            forget_stages(output)
        asked, begun = threading.Event(), threading.Event()

        def stop() -> bool:
            begun.set()
            return asked.is_set()

        def hear() -> None:
            """Wait for the step that is being made; before the first there is nothing to wait for.

            A rank waits in any case once it has met the others, who wait for it; torchrun sends this signal, too, when
            one has died, and it is yet to be said which.
            """
            asked.set()
            if begun.is_set() or many():
                return
            if several():  # not met yet: the others are to hear of it from torchrun
                raise SystemExit(Leaving.STATUS)
            say(f"stopped before a step was made:\n{_line()}")
            raise SystemExit(0)

        with heard(hear, once=True):  # a second SIGTERM ends the run as it is
            try:
                yield Checkpoints(
                    folder_of(output),
                    resume=self.resume,
                    resume_from=self.name,
                    resume_changed=self.changed,
                    overwrite=True,  # `has_nothing_left` has seen to it
                    stop=stop,
                )
            except Stopped as stopped:
                say(f"{stopped}:\n{_line()}")


def settle(checkpoints: Checkpoints, output: Path, keep: bool) -> None:
    """Put the checkpoints of a finished run away: into its folder, or out of the world."""
    if keep and checkpoints.folder.is_dir():
        checkpoints.folder.rename(output / "checkpoints")
    else:
        checkpoints.remove()


def _line() -> str:
    """This command line, going on; on as many ranks as there are."""
    words, left = _start(), iter(sys.argv[1:])
    for word in left:
        if word == "--resume-from":
            next(left, None)
        elif word != "--resume" and not word.startswith("--resume-from="):
            words.append(word)
    return shlex.join([*words, "--resume"])


def _start() -> list[str]:
    """The command's name, or how torchrun starts it on each machine."""
    world, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if world == 1:
        return ["nearfar"]
    machines = ["--nnodes", str(world // here)] if world > here else []
    return ["torchrun", *machines, "--nproc-per-node", str(here), "-m", "nearfar"]
