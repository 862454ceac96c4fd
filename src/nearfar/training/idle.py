"""What a run will not do or tell: settings that change nothing, nothing to measure on, no step that is looked into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nearfar.data import Table
from nearfar.settings import Settings
from nearfar.training.fitting import Data, is_scored
from nearfar.training.held_out import why_none

BELONGS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(("lora_alpha", "lora_targets"), ("lora", None)),
    "guide_margin": ("guide", None),
    "teacher_scale": ("teacher", None),
    "mine_count": ("mine_every", None),
    "momentum": ("queue", None),
    "log_folder": ("track", None),
    "per_class": ("batches", "per-class"),
    **dict.fromkeys(
        ("architecture", "subwords", "window", "noise", "noise_power", "min_count", "subsample", "threads"),
        ("encoder", "words"),
    ),
}
"""Setting -> the one that it belongs to, and the value that this must have; None: any but its default."""


def idle_in(settings: Settings, data: Sequence[Data]) -> str:
    """A line about settings that were given and change nothing, or ""."""
    scored = {"teacher_scale"} if any(map(is_scored, data)) else set()
    found = [
        f"--{name.replace('_', '-')} without --{other.replace('_', '-')}{f' {value}' if value else ''}"
        for name, (other, value) in BELONGS.items()
        if name not in scored and _is_given(settings, name) and not _is_given(settings, other, value)
    ]
    return f"changes nothing: {', '.join(found)}" if found else ""


def unseen_in(settings: Settings, data: Sequence[Data], evaluate_on: Sequence[Table]) -> Iterator[str]:
    """Lines about what the run will not tell: it measures nothing, or looks into no step.

    Args:
        settings: resolved.
        data: as the user gave it.
        evaluate_on: what is measured on.
    """
    if not evaluate_on:
        reasons = "; ".join(dict.fromkeys(why_none(one, settings.held_out) for one in data))
        yield f"nothing is measured, so that the last model is kept, be it the best or not: no --eval, and {reasons}"
    every, steps = settings.watch_every, settings.steps
    if every and steps and every > steps:
        yield f"no step is looked into: --watch-every {every:,} is more than the {steps:,} steps of the run"


def _is_given(settings: Settings, name: str, value: Any = None) -> bool:
    found = getattr(settings, name)
    return bool(found == value if value else found != Settings.model_fields[name].default)
