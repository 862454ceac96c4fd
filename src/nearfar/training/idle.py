"""Settings that change nothing, since what they belong to is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearfar.settings import Settings
from nearfar.training.fitting import Data, is_scored

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


def _is_given(settings: Settings, name: str, value: Any = None) -> bool:
    found = getattr(settings, name)
    return bool(found == value if value else found != Settings.model_fields[name].default)
