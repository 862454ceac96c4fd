"""Signs of life between ranks: one that dies or stands still is noticed within a minute, and named.

A thread of each rank counts up a number in the store where the ranks have met (that of `MASTER_ADDR`). Rank 0 watches
all, all watch rank 0. A rank that is killed breaks its connections, which the others meet as an error in whatever they
exchange; `fault` says whose silence it was. One that stands still breaks nothing: the thread ends the process.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from torch import distributed

BEAT = 1.0
"""Seconds between two signs of life."""

SILENCE = 40.0
"""Seconds without one after which a rank counts as lost."""

GRACE = 5.0
"""Seconds that a rank has to notice and to leave well, before its thread ends it."""

STORE = 10.0
"""Seconds that a call of the store may take."""

FAILED = "nearfar/failed"

Seen = dict[int, tuple[int, float]]
"""Of each rank the count of its signs, and when it last went up."""


class Alive:
    """This rank's signs of life, and its watch over those of others.

    Args:
        rank: of this process.
        world: how many ranks there are.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.heard = rank, world, ""
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = distributed.TCPStore(  # type: ignore[attr-defined]
            address, port, is_master=False, timeout=timedelta(seconds=STORE)
        )
        self.lock, self.over = threading.Lock(), threading.Event()
        self.watched = [other for other in range(world) if other != rank] if rank == 0 else [0]
        self.thread = threading.Thread(target=self._beat, daemon=True)
        self.thread.start()

    def fail(self, message: str) -> None:
        """Tell the others why this rank leaves; the first to say so is heard.

        It stays until they have heard, since the store may be its own and gone with it.
        """
        with suppress(RuntimeError):  # no one may be left to hear it
            with self.lock:
                self.store.compare_set(FAILED, "", message)
            time.sleep(2.5 * BEAT)

    def end(self) -> None:
        """Give no more signs, and expect none.

        The thread is waited for: Python's end, met within a call of the store, would abort the process.
        """
        self.over.set()
        self.thread.join(STORE)

    def fault(self) -> str:
        """What is wrong with another rank: its own last words, or that it is silent; "" if nothing is."""
        if self.heard:
            return self.heard
        try:
            if said := self._last_words():
                return said
            others = [other for other in range(self.world) if other != self.rank]
            before = self._counts(others)
            time.sleep(4 * BEAT)
            after = self._counts(others)
            return self._last_words() or _lost([o for o, a, b in zip(others, before, after, strict=True) if a == b])
        except RuntimeError:  # the store is gone
            return _lost([0]) if self.rank else "the store of the ranks (of torchrun, say) is gone"

    def _last_words(self) -> str:
        with self.lock:
            if not self.store.check([FAILED]):
                return ""
            said = self.store.get(FAILED).decode()
        return "" if said.startswith(f"rank {self.rank} ") else said

    def _counts(self, ranks: Sequence[int]) -> list[int]:
        with self.lock:
            return [self.store.add(f"nearfar/beat/{rank}", 0) for rank in ranks]

    def _beat(self) -> None:
        seen = {rank: (0, time.monotonic()) for rank in self.watched}
        while not self.over.wait(BEAT):
            try:
                self._give_sign()
                seen = self._looked_again(seen)
                self.heard = fault = self._last_words() or _lost(_silent(seen))
                if fault:
                    self.fail(fault)
            except RuntimeError:  # the store is gone
                fault = _lost([0])
            if fault:
                self._leave(fault)

    def _give_sign(self) -> None:
        with self.lock:
            self.store.add(f"nearfar/beat/{self.rank}", 1)

    def _looked_again(self, seen: Seen) -> Seen:
        """The counts as they are now, each with the time when it was last another."""
        now = time.monotonic()
        counts = dict(zip(seen, self._counts([*seen]), strict=True))
        return {rank: (count, seen[rank][1] if count == seen[rank][0] else now) for rank, count in counts.items()}

    def _leave(self, reason: str) -> None:
        """End the process, where it does not do so itself: it may be waiting for a rank that will never answer."""
        if not self.over.wait(GRACE + 5 * BEAT):
            print(f"nearfar: {reason}", file=sys.stderr, flush=True)
            os._exit(1)


def _silent(seen: Seen) -> list[int]:
    return [rank for rank, (_, then) in seen.items() if time.monotonic() - then > SILENCE]


def _lost(ranks: Sequence[int]) -> str:
    if not ranks:
        return ""
    named = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {', '.join(map(str, ranks))}"
    return f"{named} gave no sign of life any more; {'it' if len(ranks) == 1 else 'they'} died or was cut off"
