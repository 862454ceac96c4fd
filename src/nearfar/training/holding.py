"""A folder that one process holds for as long as it lives, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Within the block `is_held` says so to other processes; nothing where the system knows no such locks."""
    number = _locked(folder)
    try:
        yield
    finally:
        if number is not None:
            os.close(number)


def is_held(folder: Path) -> bool:
    """Whether a process that lives holds a folder."""
    try:
        number = _locked(folder)
    except BlockingIOError:
        return True
    if number is not None:
        os.close(number)
    return False


def _locked(folder: Path) -> int | None:
    """A number to close in the end; None where folders cannot be locked.

    Raises:
        BlockingIOError: another has it.
    """
    if os.name != "posix":
        return None
    import fcntl

    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:  # it is gone by now
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:  # a file system without locks
        os.close(number)
        return None
    return number
