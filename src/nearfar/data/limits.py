"""Limits of arguments."""

from __future__ import annotations

import math

import numpy as np

from nearfar.errors import InputError


def check_least(name: str, value: int, least: int) -> None:
    """Raise an InputError where an argument is no whole number, or below its least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name}: found {value!r}, wanted a whole number")
    if value < least:
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
