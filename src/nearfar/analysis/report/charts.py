"""Charts as SVG text, drawn by Vega-Lite; ink takes the page's colour, so that they suit light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

INK = "#123456"  # stands for the page's text colour until the SVG is written
COLOURS = (  # readable on white and on near-black
    "#2a7de1", "#e1662a", "#3a9d5d", "#a15fd0", "#d0508a", "#8c8a2a", "#2a9db0", "#b0703a", "#7a86a0", "#d04545",
)  # fmt: skip
SIZE: dict[str, Any] = {"width": 560, "height": 220}


def line_chart(lines: Mapping[str, Sequence[tuple[float, float]]], *, x: str, y: str) -> str:
    """Lines of (x, y) points, one for each name, as SVG.

    Args:
        lines: name -> points in order.
        x, y: what the axes show.
    """
    rows = [{"x": a, "y": b, "line": name} for name, points in lines.items() for a, b in points]
    return _svg(
        {
            "data": {"values": rows},
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "title": x},
                "y": {"field": "y", "type": "quantitative", "title": y, "scale": {"zero": False}},
                "color": _colours(list(lines)),
            },
        }
    )


def force_chart(forces: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> str:
    """Forces on a near and on a far candidate over its cosine, side by side, as SVG.

    Args:
        forces: line -> "near" and "far" -> (cosine, force) points.
    """
    rows = [
        {"x": x, "y": y, "line": name, "candidate": f"on the {side} candidate"}
        for name, sides in forces.items()
        for side, points in sides.items()
        for x, y in points
    ]
    axis = {"type": "quantitative"}
    encoding = {
        "x": axis | {"field": "x", "title": "cosine to the anchor"},
        "y": axis | {"field": "y", "title": "force along the cosine"},
        "color": _colours(list(forces)),
    }
    header = {"labelColor": INK, "labelFontSize": 12}
    return _svg(
        {
            "data": {"values": rows},
            "facet": {"column": {"field": "candidate", "sort": "descending", "title": None, "header": header}},
            "resolve": {"scale": {"y": "independent"}},
            "spec": {"width": 250, "height": 200, "mark": {"type": "line"}, "encoding": encoding},
        }
    )


def path_chart(points: Sequence[tuple[float, float, float]], *, x: str, y: str) -> str:
    """A way through a plane, its points darker the later they come, as SVG.

    Args:
        points: (x, y, step) in order.
        x, y: what the axes show.
    """
    axes = {
        "x": {"field": "x", "type": "quantitative", "title": x, "scale": {"zero": False}},
        "y": {"field": "y", "type": "quantitative", "title": y, "scale": {"zero": False}},
    }
    shade = {"field": "step", "type": "quantitative", "title": "step", "scale": {"range": ["#b8d3f5", "#0d3f80"]}}
    return _svg(
        {
            "data": {"values": [{"x": a, "y": b, "step": step} for a, b, step in points]},
            "layer": [
                {
                    "mark": {"type": "line", "color": COLOURS[0], "opacity": 0.35},
                    "encoding": axes | {"order": {"field": "step"}},
                },
                {"mark": {"type": "point", "filled": True}, "encoding": axes | {"color": shade}},
            ],
        }
    )


def rate_chart(rates: Sequence[float], losses: Mapping[str, Sequence[float]], *, mark: float) -> str:
    """Losses over learning rates in their logarithms, with a rule at one of these, as SVG.

    Args:
        rates: rising.
        losses: name -> a loss for each rate.
        mark: the rate to mark.
    """
    rows = [
        {"x": rate, "y": loss, "line": name}
        for name, some in losses.items()
        for rate, loss in zip(rates, some, strict=True)
    ]
    x = {"field": "x", "type": "quantitative", "title": "learning rate", "scale": {"type": "log"}}
    return _svg(
        {
            "layer": [
                {
                    "data": {"values": rows},
                    "mark": {"type": "line"},
                    "encoding": {
                        "x": x,
                        "y": {"field": "y", "type": "quantitative", "title": "loss", "scale": {"zero": False}},
                        "color": _colours(list(losses)),
                    },
                },
                {
                    "data": {"values": [{"x": mark}]},
                    "mark": {"type": "rule", "strokeDash": [4, 4], "color": INK},
                    "encoding": {"x": x},
                },
            ],
        }
    )


def histogram_chart(samples: Mapping[str, ArrayLike], *, x: str, bins: int = 50) -> str:
    """Overlaid histograms over common bins, each as a share of its own sample, as SVG.

    Args:
        samples: name -> numbers.
        x: what is counted.
        bins: over the joint range.
    """
    values = {name: np.asarray(sample, np.float64) for name, sample in samples.items()}
    everything = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(everything, bins=bins)
    rows = [
        {"from": low, "to": high, "share": share, "line": name}
        for name, sample in values.items()
        for low, high, share in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            (np.histogram(sample, edges)[0] / max(len(sample), 1)).tolist(),
            strict=True,
        )
    ]
    return _svg(
        {
            "data": {"values": rows},
            "mark": {"type": "bar", "opacity": 0.6, "binSpacing": 0},
            "encoding": {
                "x": {"field": "from", "type": "quantitative", "bin": {"binned": True}, "title": x},
                "x2": {"field": "to"},
                "y": {"field": "share", "type": "quantitative", "stack": None, "title": "share"},
                "color": _colours(list(samples)),
            },
        }
    )


def _colours(names: list[str]) -> dict[str, Any]:
    return {
        "field": "line",
        "type": "nominal",
        "title": None,
        "scale": {"domain": names, "range": [*islice(cycle(COLOURS), len(names))]},
        "legend": {"orient": "top", "columns": 5, "symbolLimit": 0} if len(names) > 1 else None,
    }


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    axis = {"gridOpacity": 0.15, "gridColor": INK, "domainColor": INK, "tickColor": INK, "labelColor": INK}
    config = {
        "background": None,
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": axis | {"titleColor": INK, "labelFontSize": 12, "titleFontSize": 12},
        "legend": {"labelColor": INK, "labelFontSize": 12},
    }
    size = {} if "facet" in spec else SIZE
    svg: str = vl_convert.vegalite_to_svg({**size, **spec, "config": config})
    return svg.replace(INK, "currentColor")
