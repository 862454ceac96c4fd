"""An explanation as one HTML document that works without a network."""

from __future__ import annotations

from typing import Any

import numpy as np

from nearfar.analysis.explain.explaining import Explanation
from nearfar.analysis.explain.parts import Vectors
from nearfar.analysis.report.page import fill


def explanation_page(found: Explanation, model: str, *, strongest: int = 12) -> str:
    """The texts coloured by their tokens' parts, the strongest pairs, the heat table.

    Args:
        found: the explanation.
        model: its name.
        strongest: pairs that are listed.
    """
    values = {
        "found": found,
        "model": model,
        "strongest": found.strongest(strongest),
        "heat": _relative(found.pairs),
        "sides": [
            ("first", found.first, _relative(found.pairs.sum(1))),
            ("second", found.second, _relative(found.pairs.sum(0))),
        ],
    }
    return fill("nearfar.analysis.explain", values)


def _relative(parts: Vectors) -> Any:
    """The parts over the largest of them, as lists."""
    return (parts / (np.abs(parts).max() or 1.0)).round(3).tolist()
