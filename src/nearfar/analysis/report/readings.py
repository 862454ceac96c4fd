"""Pictures of a run's readings: how the space changed while it was learnt, and how hard was pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nearfar.analysis.report.charts import line_chart, path_chart
from nearfar.analysis.report.page import Picture

Readings = Sequence[Mapping[str, Any]]
Points = list[tuple[float, float]]


def reading_pictures(readings: Readings) -> list[Picture]:
    """A picture of each thing that two readings or more tell of."""
    made = (
        _path_picture(readings),
        _rank_picture(readings),
        _gradient_picture(readings),
        _negatives_picture(readings),
    )
    return [picture for picture in made if picture is not None]


def _points(readings: Readings, name: str) -> Points:
    """(step, value) of the readings that have this figure."""
    return [(one["step"], one[name]) for one in readings if one[name] is not None]


def _path_picture(readings: Readings) -> Picture | None:
    path = [
        (one["alignment"], one["uniformity"], one["step"])
        for one in readings
        if None not in (one["alignment"], one["uniformity"])
    ]
    if len(path) < 2:
        return None
    return Picture(
        "Alignment and uniformity",
        path_chart(path, x="alignment (0 is best)", y="uniformity (lower: more even)"),
        "The way of the space from step to step, darker later: to the left near texts come together, down all texts "
        "spread over the sphere. A run that ends at the upper left has collapsed.",
        f"From {path[0][0]:.2f} and {path[0][1]:.2f} to {path[-1][0]:.2f} and {path[-1][1]:.2f}.",
    )


def _rank_picture(readings: Readings) -> Picture | None:
    points = _points(readings, "effective_rank")
    if len(points) < 2:
        return None
    bound = readings[-1]["rank_bound"]
    return Picture(
        "Effective rank",
        line_chart({"effective rank": points}, x="step", y="directions in use"),
        f"How many directions the texts of a sample use about evenly, {bound:.0f} at the most. A fall to a few says "
        "that the space collapses.",
        f"It went from {points[0][1]:.0f} to {points[-1][1]:.0f}.",
    )


def _gradient_picture(readings: Readings) -> Picture | None:
    points = _points(readings, "gradient_norm")
    if len(points) < 2:
        return None
    return Picture(
        "Gradient norm",
        line_chart({"gradient norm": points}, x="step", y="norm"),
        "The length of the gradient before it is clipped. Jumps ask for a lower learning rate or a longer warm-up.",
        f"It lay between {min(y for _, y in points):.3g} and {max(y for _, y in points):.3g}.",
    )


def _negatives_picture(readings: Readings) -> Picture | None:
    points = _points(readings, "effective_negatives")
    if len(points) < 2:
        return None
    return Picture(
        "Effective number of negatives",
        line_chart({"effective negatives": points}, x="step", y="far candidates"),
        "How many far candidates an anchor's gradient comes from. A few: the temperature or margin looks at the "
        "hardest alone, mistakes in the data among them. Nearly all: it hardly tells them apart.",
        f"It went from {points[0][1]:.0f} to {points[-1][1]:.0f}.",
    )
