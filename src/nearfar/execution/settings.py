"""The knobs of execution, set for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

MAX_BYTES = 24 * 2**20
"""Of a strip: near the cache, and few enough that glibc keeps them for the next call (up to 32 MiB)."""


@dataclass(frozen=True)
class Settings:
    """How many anchors a strip holds (None: as many as `max_bytes` of scores allow), and who takes part with what."""

    strip_rows: int | None = None
    max_bytes: int = MAX_BYTES
    group: Any = None
    replicated: bool = False


_settings: ContextVar[Settings] = ContextVar("nearfar_execution", default=Settings())  # noqa: B039 - frozen


@contextmanager
def execution(
    *,
    strip_rows: int | None = None,
    max_bytes: int | None = None,
    group: Any = None,
    replicated: bool | None = None,
) -> Iterator[None]:
    """Set how losses inside the block are computed; loss and gradient stay what they are.

    What is None stays as an outer block has set it.

    Args:
        strip_rows: anchors that are taken at a time. By default `max_bytes` decides.
        max_bytes: upper bound for the scores of a strip, by default 24 MiB.
        group: a `torch.distributed` process group. Each rank passes its own part of every argument of the contrast's
            constructor, of whatever length from one row up; every rank gets the loss of the whole batch, and the
            gradient of its own rows is that of one process with the whole batch. Where one rank raises an error, as
            over an empty part, the others wait for it until the group's timeout. `torch.distributed.group.WORLD` names
            all ranks.
        replicated: each rank of the group passes the whole batch instead, the same everywhere; the work is shared out
            and every rank gets the whole gradient.

    Raises:
        ValueError: a number is below 1, or the group is none that this process belongs to.

    Example:
        >>> with nearfar.execution(max_bytes=2**24):  # doctest: +SKIP
        ...     loss(contrast).backward()
    """
    _check(strip_rows=strip_rows, max_bytes=max_bytes)
    _check_group(group)
    given = {"strip_rows": strip_rows, "max_bytes": max_bytes, "group": group, "replicated": replicated}
    token = _settings.set(replace(_settings.get(), **{k: v for k, v in given.items() if v is not None}))
    try:
        yield
    finally:
        _settings.reset(token)


def current() -> Settings:
    """The settings that hold here."""
    return _settings.get()


@contextmanager
def resumed(settings: Settings) -> Iterator[None]:
    """The settings of an earlier moment: a backward pass runs as its forward pass did, wherever it is called from."""
    token = _settings.set(settings)
    try:
        yield
    finally:
        _settings.reset(token)


def rows_per_strip(strip_rows: int | None, columns: int, element_size: int) -> int:
    """Rows of a strip of that many columns, from the call's own wish or the block's settings."""
    _check(strip_rows=strip_rows)
    settings = current()
    wanted = strip_rows or settings.strip_rows or settings.max_bytes // (columns * element_size)
    return max(1, wanted)


def _check(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name}: found {value!r}, wanted a whole number from 1 up, or None")


def _check_group(group: Any) -> None:
    if group is None:
        return
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        raise ValueError("group: found no process group, wanted torch.distributed.init_process_group to have run")
    if not isinstance(group, distributed.ProcessGroup) or distributed.get_rank(group) < 0:
        raise ValueError(f"group: found {group!r}, wanted a torch.distributed process group that this rank is in")
