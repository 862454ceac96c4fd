"""The page: a title, pictures with their sentence, tables; rendered by one template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Picture:
    """A chart with the sentence that says how to read it and the one that says what this one shows."""

    title: str
    svg: str
    reading: str
    finding: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of text; the first row of cells under each heading, numbers already formatted."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    reading: str = ""


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    lead: str
    pictures: Sequence[Picture] = field(default_factory=tuple)
    grids: Sequence[Grid] = field(default_factory=tuple)


def render(page: Page) -> str:
    """The page as one HTML document without outside references."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nearfar.analysis.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page)


def write_page(page: Page, path: Path) -> None:
    """Write the page to `path`."""
    path.write_text(render(page), "utf-8")
