"""Ctrl-C where there are several ranks: all of them stop after the same step, or what they exchange would break."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nearfar.training.ranks import any_rank, many, place

Item = TypeVar("Item")


def on_first(watch: Callable[[Item], None]) -> Callable[[Item], None]:
    """The same on rank 0, and nothing on others; a KeyboardInterrupt in it waits for `interrupt_together`."""
    if not many():
        return watch

    def watched(item: Item) -> None:
        global _interrupted
        try:
            if place()[0] == 0:
                watch(item)
        except KeyboardInterrupt:
            _interrupted = True

    return watched


def interrupt_together() -> None:
    """Raise a KeyboardInterrupt on every rank where a person has interrupted any of them since."""
    global _interrupted
    if many() and any_rank(_interrupted):
        _interrupted = False
        raise KeyboardInterrupt


_interrupted = False


@contextmanager
def patient() -> Iterator[None]:
    """Within the block Ctrl-C is remembered where there are several ranks, and raised the second time.

    A rank that leaves in the midst of an exchange would break it.
    """
    if not many() or threading.current_thread() is not threading.main_thread():
        yield
        return

    def remember(number: int, frame: object) -> None:
        global _interrupted
        if _interrupted:
            raise KeyboardInterrupt
        _interrupted = True

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
