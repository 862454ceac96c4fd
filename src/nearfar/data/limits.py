"""Limits of arguments."""

from __future__ import annotations

import math

from nearfar.errors import InputError


def check_least(name: str, value: float, least: float) -> None:
    """Raise an InputError where an argument is below its least."""
    if not value >= least:
        raise InputError(f"{name}: found {value}, wanted at least {least}")


def above_zero(name: str, text: str) -> float:
    """The number that a text stands for; an InputError unless it is finite and above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise InputError(f"{name}: found {text!r}, wanted a number above 0")
    return value
