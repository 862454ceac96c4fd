"""SIGTERM: every command cleans up behind itself before it leaves, as at Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heard(hear: Callable[[], None], *, once: bool = False) -> Iterator[None]:
    """Within the block SIGTERM calls `hear`, or the first one alone; then who listened before listens again."""
    if threading.current_thread() is not threading.main_thread():  # the only one that may listen
        yield
        return

    def called(number: int, frame: Any) -> None:
        if once:
            signal.signal(signal.SIGTERM, before)
        hear()

    before = signal.signal(signal.SIGTERM, called)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Leaving:
    """Leaves from wherever the command is, through all that removes what is half written.

    Attributes:
        asked: whether it was called, and so whatever else went wrong came of that.
    """

    STATUS = 128 + signal.SIGTERM
    """How a shell shows an end by SIGTERM."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> None:
        self.asked = True
        raise SystemExit(self.STATUS)
