"""Vega-Lite specifications to SVG for a page, and to SVG and PNG files for a paper."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from nearfar.data.writing import whole_file

INK = "#123456"  # stands for the page's text colour until the SVG is written
DARK = "#1d2733"
COLOURS = ("#2a7de1", "#e1662a", "#3a9d5d", "#a15fd0")  # readable on white and on near-black
MORE = ("#d0508a", "#8c8a2a", "#2a9db0", "#b0703a", "#7a86a0", "#d04545")
"""Colours of further lines; then they begin anew."""

SIZE: dict[str, Any] = {"width": 560, "height": 220}
PIXELS_AN_INCH = 300
SPACE = 14
"""Pixels between the numbers of an axis at least: a reader's font may be wider than that they were laid out with."""

Spec = dict[str, Any]


def svg(spec: Spec) -> str:
    """The picture as SVG text whose ink takes the page's colour, so that it suits light and dark."""
    return _svg(spec).replace(INK, "currentColor")


def write_pictures(specs: Mapping[str, Spec], folder: Path) -> list[Path]:
    """NAME.svg and NAME.png of each picture, dark on white, PNG at 300 pixels an inch; the paths written."""
    import vl_convert

    written: list[Path] = []
    for name, spec in specs.items():
        drawn = _svg(spec, background="white").replace(INK, DARK)
        paths = folder / f"{name}.svg", folder / f"{name}.png"
        with whole_file(paths[0]) as place:
            place.write_text(drawn, "utf-8")
        with whole_file(paths[1]) as place:
            place.write_bytes(vl_convert.svg_to_png(drawn, scale=PIXELS_AN_INCH / 96, ppi=PIXELS_AN_INCH))
        written += paths
    return written


def colours(names: list[str]) -> Spec:
    """The encoding of the field `line` by colour; a legend only where there are several."""
    return {
        "field": "line",
        "type": "nominal",
        "title": None,
        "scale": {"domain": names, "range": [*islice(cycle(COLOURS + MORE), len(names))]},
        "legend": {"orient": "top", "columns": 5, "symbolLimit": 0} if len(names) > 1 else None,
    }


def _svg(spec: Spec, background: str | None = None) -> str:
    import vl_convert

    axis = {"gridOpacity": 0.15, "gridColor": INK, "domainColor": INK, "tickColor": INK, "labelColor": INK}
    config = {
        "background": background,
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": axis
        | {"titleColor": INK, "labelFontSize": 13, "titleFontSize": 13, "labelOverlap": True, "labelSeparation": SPACE},
        "legend": {"labelColor": INK, "labelFontSize": 13},
    }
    size = {} if "facet" in spec else SIZE
    drawn: str = vl_convert.vegalite_to_svg({**size, **spec, "config": config})
    return drawn
