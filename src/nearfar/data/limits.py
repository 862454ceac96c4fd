"""Limits of arguments."""

from __future__ import annotations

from nearfar.errors import InputError


def check_least(name: str, value: float, least: float) -> None:
    """Raise an InputError where an argument is below its least."""
    if not value >= least:
        raise InputError(f"{name}: found {value}, wanted at least {least}")
