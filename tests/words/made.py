"""A corpus of two subjects whose words never meet, so that what is near is known."""

from __future__ import annotations

import random

SUBJECTS = (
    "lion tiger zebra monkey elephant giraffe leopard panther".split(),
    "hammer wrench chisel pliers drill spanner mallet screwdriver".split(),
)


def corpus(lines: int = 2_000, seed: int = 0) -> list[str]:
    """Lines of ten words of one subject each."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(SUBJECTS[row % 2], k=10)) for row in range(lines)]
