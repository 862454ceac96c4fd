"""The charts that several pages use: lines and histograms, as specifications and as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from nearfar.analysis.report.drawing import COLOURS, INK, Spec, colours, svg

Lines = Mapping[str, Sequence[tuple[float, float]]]


def line_chart(lines: Lines, *, x: str, y: str) -> str:
    """`line_spec` as SVG."""
    return svg(line_spec(lines, x=x, y=y))


def line_spec(lines: Lines, *, x: str, y: str) -> Spec:
    """Lines of (x, y) points, one for each name.

    Args:
        lines: name -> points in order.
        x, y: what the axes show.
    """
    rows = [{"x": a, "y": b, "line": name} for name, points in lines.items() for a, b in points]
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": x},
            "y": {"field": "y", "type": "quantitative", "title": y, "scale": {"zero": False}},
            "color": colours(list(lines)),
        },
    }


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
    return svg(
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
    return svg(
        {
            "layer": [
                {
                    "data": {"values": rows},
                    "mark": {"type": "line"},
                    "encoding": {
                        "x": x,
                        "y": {"field": "y", "type": "quantitative", "title": "loss", "scale": {"zero": False}},
                        "color": colours(list(losses)),
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
    """`histogram_spec` as SVG."""
    return svg(histogram_spec(samples, x=x, bins=bins))


def histogram_spec(samples: Mapping[str, ArrayLike], *, x: str, share: str = "share", bins: int = 50) -> Spec:
    """Overlaid histograms over common bins, each as a share of its own sample.

    Args:
        samples: name -> numbers.
        x: what is counted.
        share: what the other axis is called.
        bins: over the joint range.
    """
    values = {name: np.asarray(sample, np.float64) for name, sample in samples.items()}
    everything = np.concatenate(list(values.values()))
    edges = np.histogram_bin_edges(everything, bins=bins)
    rows = [
        {"from": low, "to": high, "share": part, "line": name}
        for name, sample in values.items()
        for low, high, part in zip(
            edges[:-1].tolist(),
            edges[1:].tolist(),
            (np.histogram(sample, edges)[0] / max(len(sample), 1)).tolist(),
            strict=True,
        )
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "bar", "opacity": 0.6, "binSpacing": 0},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "bin": {"binned": True}, "title": x},
            "x2": {"field": "to"},
            "y": {"field": "share", "type": "quantitative", "stack": None, "title": share},
            "color": colours(list(samples)),
        },
    }
