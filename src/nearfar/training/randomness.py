"""The global random generators that a run draws from: torch's, NumPy's and Python's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state() -> dict[str, Any]:
    """Where the generators are, as bytes."""
    _, words, place, has_normal, normal = np.random.get_state()
    version, numbers, next_normal = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "words": np.asarray(words, np.uint32).view(np.uint8),
            "rest": [int(place), int(has_normal), float(normal)],
        },
        "python": {"words": np.array(numbers, np.uint32).view(np.uint8), "rest": [version, next_normal]},
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put the generators where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    place, has_normal, normal = state["numpy"]["rest"]
    np.random.set_state(("MT19937", state["numpy"]["words"].view(np.uint32), place, has_normal, normal))
    version, next_normal = state["python"]["rest"]
    random.setstate((version, tuple(state["python"]["words"].view(np.uint32).tolist()), next_normal))
