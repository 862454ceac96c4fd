"""Settings of a run on words: what suits them, and what has no place there."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from nearfar.errors import InputError
from nearfar.settings import Settings

OBJECTIVES = ("neg", "nce", "infonce")

RATES = {"skipgram": 0.025, "cbow": 0.2}
"""Learning rates at the start. A mean of words gets a word's share of the gradient, so that CBOW wants more than the
0.05 of word2vec, which gives every word the whole (Irsoy et al. 2021, "Corrected CBOW Performs as well as Skip-gram").
"""

WIDTH, EPOCHS = 100, 5

KNOWN = frozenset({
    "encoder", "objective", "temperature", "architecture", "subwords", "width", "window", "noise", "noise_power",
    "min_count", "vocabulary", "subsample", "epochs", "learning_rate", "threads", "seed", "checkpoint_every", "keep",
    "keep_after", "license", "language",
})  # fmt: skip
"""Settings that words heed; any other has to be left as it is."""

MOST = 10_000
"""Words of a window on each side, which is what `kernels.LONGEST` takes together, and of its noise."""


def resolved(settings: Settings) -> Settings:
    """The settings with every default that is for sentences replaced by the one for words.

    Raises:
        InputError: a setting has no place here, the objective is none of words, or numba is not installed.
    """
    for name, about in Settings.model_fields.items():
        found = getattr(settings, name)
        if name not in KNOWN and found != about.default:
            raise InputError(f"--{name.replace('_', '-')}: found {found!r}, wanted none: it has no place in words")
    for name in ("window", "noise"):
        if (found := getattr(settings, name)) > MOST:
            raise InputError(f"--{name}: found {found:,}, wanted {MOST:,} or less")
    objective = settings.objective if "objective" in settings.model_fields_set else "neg"
    if objective not in OBJECTIVES:
        raise InputError(f"--objective: found {objective!r}, wanted one of words: {', '.join(OBJECTIVES)}")
    if settings.temperature is not None and objective != "infonce":
        raise InputError(f"--temperature: found {settings.temperature:g}, wanted none: {objective} has no temperature")
    if find_spec("numba") is None:
        raise InputError(
            "found no numba, which compiles the training of words; wanted it: pip install 'nearfar[words]'"
        )
    values: dict[str, Any] = {
        "encoder": "words",
        "objective": objective,
        "temperature": (settings.temperature or 1.0) if objective == "infonce" else None,
        "width": settings.width or WIDTH,
        "epochs": settings.epochs or EPOCHS,
        "learning_rate": RATES[settings.architecture] if settings.learning_rate is None else settings.learning_rate,
        "threads": settings.threads or len(os.sched_getaffinity(0)),
    }
    return settings.model_copy(update=values)
