"""The pictures of a space as Vega-Lite specifications: each takes an analysis and draws it, or has nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.analysis import Analysis
from nearfar.analysis.report.charts import histogram_spec
from nearfar.analysis.report.drawing import COLOURS, INK, Spec, colours
from nearfar.analysis.verdicts import MEASURES

Words = Mapping[str, str]
SIZE: Spec = {"width": 430, "height": 230}
"""Of a picture: two stand side by side, and one is still legible on a phone."""

MAP_SIZE: Spec = {"width": 560, "height": 560}

DRAWN = 2000
"""Points of a scatter at most; the figures go over all."""


def similarity(found: Analysis, words: Words) -> Spec | None:
    """Histograms of near and far cosines."""
    if "near" not in found.samples or not len(found.samples["far"]):
        return None
    samples = {words[side]: found.samples[side] for side in ("near", "far")}
    return histogram_spec(samples, x=words["cosine"], share=words["share"])


def spectrum(found: Analysis, words: Words) -> Spec | None:
    """Shares of the variance, on a logarithmic scale."""
    shares = _share(found.samples.get("spectrum"))
    if shares is None:
        return None
    rows = [{"x": i + 1, "y": float(share)} for i, share in enumerate(shares) if share > 1e-9]
    y = {"type": "quantitative", "field": "y", "title": words["variance"], "scale": {"type": "log"}}
    return _curve(rows, words["direction"], y | {"axis": {"format": "~e", "tickCount": 5}})


def dimensions(found: Analysis, words: Words) -> Spec | None:
    """Shares of the squared length, the heaviest dimension first."""
    shares = _share(found.samples.get("dimension_length"))
    if shares is None:
        return None
    rows = [{"x": i + 1, "y": float(share)} for i, share in enumerate(np.sort(shares)[::-1])]
    y = {"type": "quantitative", "field": "y", "title": words["length"], "axis": {"format": "~%"}}
    return _curve(rows, words["dimension"], y)


def _share(values: NDArray[Any] | None) -> NDArray[np.float64] | None:
    """Of the sum; None where there is nothing to share."""
    if values is None or not np.sum(values) > 0:
        return None
    return np.asarray(values / np.sum(values), dtype=np.float64)


def _curve(rows: list[dict[str, float]], x: str, y: Spec) -> Spec:
    return {
        "data": {"values": rows},
        "mark": {"type": "line", "color": COLOURS[0], "point": len(rows) < 30},
        "encoding": {"x": {"field": "x", "type": "quantitative", "title": x, "axis": {"tickCount": 6}}, "y": y},
    }


def plane(found: Analysis, words: Words) -> Spec | None:
    """Alignment over uniformity, with intervals and the ends of good."""
    if not {"alignment", "uniformity"} <= found.figures.keys():
        return None
    sides = {"x": found.figures["uniformity"], "y": found.figures["alignment"]}
    row = {axis: figure.value for axis, figure in sides.items()}
    for axis, figure in sides.items():
        low, high = figure.interval or (figure.value, figure.value)
        row |= {f"{axis}1": low, f"{axis}2": high}
    encoding = {
        "x": _axis("x", words["uniformity"], [min(-4.0, row["x"]), 0.0]),
        "y": _axis("y", words["alignment"], [0.0, max(2.0, row["y"])]),
    }
    ends = {"x": MEASURES["uniformity"].good[1], "y": MEASURES["alignment"].good[1]}
    bars = [
        {
            "mark": {"type": "rule", "color": COLOURS[0], "strokeWidth": 2},
            "encoding": {
                **encoding,
                axis: encoding[axis] | {"field": f"{axis}1"},
                f"{axis}2": {"field": f"{axis}2"},
            },
        }
        for axis in sides
    ]
    points = {"mark": {"type": "point", "filled": True, "size": 120, "color": COLOURS[0]}, "encoding": encoding}
    return {"data": {"values": [row]}, "layer": [*(_rule(axis, end) for axis, end in ends.items()), *bars, points]}


def hardness(found: Analysis, words: Words) -> Spec | None:
    """What the hardest negatives have of the gradient, over the temperature."""
    if "hardest_shares" not in found.samples:
        return None
    fractions, shares = found.samples["fractions"], found.samples["hardest_shares"]
    kept = [(i, words["hardest"].format(fraction=f"{fractions[i]:.0%}")) for i in range(len(fractions))]
    kept = [(i, name) for i, name in kept if fractions[i] in (0.01, 0.1, 0.5)]
    rows = [
        {"x": float(t), "y": float(share), "line": name}
        for i, name in kept
        for t, share in zip(found.samples["temperatures"], shares[:, i], strict=True)
    ]
    x = {"field": "x", "type": "quantitative", "title": words["temperature"], "scale": {"type": "log"}}
    y = {"field": "y", "type": "quantitative", "title": words["gradient"], "axis": {"format": "%"}}
    lines = {
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": x | {"axis": {"values": found.samples["temperatures"].tolist(), "format": "~g"}},
            "y": y,
            "color": colours([name for _, name in kept]),
        },
    }
    return {"data": {"values": rows}, "layer": [_rule("x", float(found.settings["temperature"])), lines]}


def hubs(found: Analysis, words: Words) -> Spec | None:
    """How often texts are among the nearest of others."""
    if "k_occurrence" not in found.samples:
        return None
    counts = np.bincount(found.samples["k_occurrence"])
    width = max(1, -(-len(counts) // 60))
    shares = np.add.reduceat(counts, np.arange(0, len(counts), width)) / counts.sum()
    rows = [
        {"from": i * width - 0.5, "to": (i + 1) * width - 0.5, "share": float(share)} for i, share in enumerate(shares)
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "bar", "color": COLOURS[0], "binSpacing": 0},
        "encoding": {
            "x": {
                "field": "from",
                "type": "quantitative",
                "bin": {"binned": True},
                "title": words["count"],
                "axis": {"tickCount": 7},
            },
            "x2": {"field": "to"},
            "y": {"field": "share", "type": "quantitative", "title": words["share"]},
        },
    }


def scores(found: Analysis, words: Words) -> Spec | None:
    """Cosines of pairs over people's scores."""
    if "scores" not in found.samples:
        return None
    x, y = found.samples["scores"], found.samples["pair_cosines"]
    return _scatter(x, y, words["score"], words["cosine"], found.settings["seed"])


def gradient(found: Analysis, words: Words) -> Spec | None:
    """Gradient norms over the cosine of the near pair."""
    if "gradient_norms" not in found.samples:
        return None
    x, y = found.samples["near_cosines"], found.samples["gradient_norms"]
    return _scatter(x, y, words["cosine"], words["norm"], found.settings["seed"])


def views(found: Analysis, words: Words) -> Spec | None:
    """What each view moves, over the way to the nearest neighbour."""
    samples = {name.partition(":")[2]: found.samples[name] for name in found.samples if name.startswith("invariance:")}
    shown = {name: np.clip(ratios, 0, 3) for name, ratios in list(samples.items())[: len(COLOURS)]}
    return histogram_spec(shown, x=words["ratio"], share=words["share"]) if shown else None


def space_map(places: NDArray[np.float64], hexes: list[str]) -> Spec:
    """The map as a still picture."""
    rows = [{"x": x, "y": y, "c": c} for (x, y), c in zip(places.round(3).tolist(), hexes, strict=True)]
    bare = {"type": "quantitative", "axis": None, "scale": {"zero": False, "nice": False}}
    return {
        **MAP_SIZE,
        "data": {"values": rows},
        "mark": {"type": "circle", "size": 12, "opacity": 0.75},
        "encoding": {
            "x": bare | {"field": "x"},
            "y": bare | {"field": "y"},
            "color": {"field": "c", "type": "nominal", "scale": None},
        },
    }


def _axis(field: str, title: str, domain: list[float]) -> Spec:
    scale = {"domain": domain, "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 5}}


def _rule(axis: str, value: float) -> Spec:
    mark = {"type": "rule", "strokeDash": [4, 4], "color": INK, "opacity": 0.6}
    return {"mark": mark, "data": {"values": [{}]}, "encoding": {axis: {"datum": value, "type": "quantitative"}}}


def _scatter(x: NDArray[Any], y: NDArray[Any], across: str, up: str, seed: int) -> Spec:
    chosen = np.sort(np.random.default_rng(seed).permutation(len(x))[:DRAWN])
    rows = [{"x": a, "y": b} for a, b in zip(x[chosen].tolist(), y[chosen].tolist(), strict=True)]
    return {
        "data": {"values": rows},
        "mark": {"type": "circle", "color": COLOURS[0], "size": 14, "opacity": 0.5},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": across, "scale": {"zero": False}},
            "y": {"field": "y", "type": "quantitative", "title": up, "scale": {"zero": False}},
        },
    }
