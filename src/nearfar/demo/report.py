"""The demo's own part of the report: the systems side by side, and the examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nearfar.analysis.report import Grid, Page
from nearfar.demo.examples import Example


def add_comparison(page: Page, systems: Mapping[str, Mapping[str, float]], examples: Sequence[Example]) -> Page:
    """The page with both tables before its others."""
    names = list(next(iter(systems.values())))
    figures = Grid(
        "Untrained, BM25 and trained",
        ("", *names),
        [(system, *(f"{values[name]:.3f}" for name in names)) for system, values in systems.items()],
        "Each held-out description looks for its own function among all held-out ones. MRR@10 is the mean of 1/rank.",
    )
    shown = Grid(
        "Ten random queries",
        ("description", "wanted", *(f"first for {system}" for system in systems)),
        [(e.query, e.wanted, *("found" if e.found[s] == e.wanted else e.found[s] for s in systems)) for e in examples],
        "What each puts first; “found” where that is the right answer.",
    )
    return replace(page, grids=(figures, shown, *page.grids))
