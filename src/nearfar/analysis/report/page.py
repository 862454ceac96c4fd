"""The page: a title, pictures with their sentences, tables, perhaps a map to walk; rendered by one template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.analysis.verdicts import Verdict

MANY = 8
"""Columns of a table beyond which it is a wide one."""


@dataclass(frozen=True)
class Finding:
    """What a figure says here: its verdict, the word for that, its title, its value as written, and one sentence."""

    verdict: Verdict
    word: str
    title: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Picture:
    """A chart with the sentence that says how to read it, the one that says what this one shows, and its figures."""

    title: str
    svg: str
    reading: str
    finding: str = ""
    findings: Sequence[Finding] = field(default_factory=tuple)
    grid: Grid | None = None


@dataclass(frozen=True)
class Grid:
    """A table of text; the first row of cells under each heading, numbers already formatted."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    reading: str = ""

    @property
    def many(self) -> bool:
        """Whether there are more columns than a page of text has room for."""
        return len(self.headings) > MANY


@dataclass(frozen=True)
class Map:
    """A map to walk: its words, what stands beside it, the points as JSON and the two scripts."""

    title: str
    reading: str
    findings: Sequence[Finding]
    words: Mapping[str, str]
    data: str
    vega: str
    script: str


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    lead: str
    pictures: Sequence[Picture] = field(default_factory=tuple)
    grids: Sequence[Grid] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)
    language: str = "en"
    map: Map | None = None

    @property
    def wide(self) -> bool:
        """Whether it takes the width of the screen: for a map, or a table of many columns."""
        return self.map is not None or any(grid.many for grid in self.grids)


def render(page: Page) -> str:
    """The page as one HTML document without outside references."""
    return fill("nearfar.analysis.report", {"page": page})


def fill(package: str, values: Mapping[str, Any]) -> str:
    """The ``page.html`` of a package with these values, which are escaped; a value that is not there is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(values)


def write_page(page: Page, path: Path) -> None:
    """Write the page to `path`."""
    path.write_text(render(page), "utf-8")
