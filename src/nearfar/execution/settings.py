"""The knobs of execution, set for a block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Settings:
    """How many anchors a strip holds (None: as many as `max_bytes` of scores allow)."""

    strip_rows: int | None = None
    max_bytes: int = MAX_BYTES


_settings: ContextVar[Settings] = ContextVar("nearfar_execution", default=Settings())  # noqa: B039 - frozen


@contextmanager
def execution(*, strip_rows: int | None = None, max_bytes: int | None = None) -> Iterator[None]:
    """Set how losses inside the block are computed; loss and gradient stay what they are.

    Args:
        strip_rows: anchors that are taken at a time. None chooses by `max_bytes`.
        max_bytes: upper bound for the scores of a strip, 64 MiB where None.

    Raises:
        ValueError: a number is below 1.

    Example:
        >>> with nearfar.execution(max_bytes=2**24):  # doctest: +SKIP
        ...     loss(contrast).backward()
    """
    _check(strip_rows=strip_rows, max_bytes=max_bytes)
    token = _settings.set(Settings(strip_rows, max_bytes or MAX_BYTES))
    try:
        yield
    finally:
        _settings.reset(token)


def rows_per_strip(strip_rows: int | None, columns: int, element_size: int) -> int:
    """Rows of a strip of that many columns, from the call's own wish or the block's settings."""
    _check(strip_rows=strip_rows)
    settings = _settings.get()
    wanted = strip_rows or settings.strip_rows or settings.max_bytes // (columns * element_size)
    return max(1, wanted)


def _check(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and not (isinstance(value, int) and value >= 1):
            raise ValueError(f"{name}: found {value!r}, wanted a whole number from 1 up, or None")
