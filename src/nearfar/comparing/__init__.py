"""Comparing: one encoder, one budget, one change at a time, several seeds, and what can be told from it."""

from nearfar.comparing.engine import compare_variants
from nearfar.comparing.plan import Plan, split
from nearfar.comparing.standing import Sample, Standing, recommendation, standings
from nearfar.comparing.variants import Variant, variants_of

__all__ = [
    "Plan",
    "Sample",
    "Standing",
    "Variant",
    "compare_variants",
    "recommendation",
    "split",
    "standings",
    "variants_of",
]
