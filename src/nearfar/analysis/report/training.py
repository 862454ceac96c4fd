"""The report of a training run: how the figure rose, how near and far came apart, what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.report.charts import histogram_chart, line_chart
from nearfar.analysis.report.page import Grid, Page, Picture
from nearfar.analysis.report.readings import reading_pictures
from nearfar.analysis.tasks import MAIN, Measurement

Similarities = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def training_page(
    record: Mapping[str, Any], measurements: Sequence[Measurement], similarities: Similarities, title: str
) -> Page:
    """The page of a run.

    Args:
        record: what nearfar.json holds.
        measurements: of the model that was kept, with intervals.
        similarities: "before" and "after" -> cosines of near and of far pairs; may be empty.
        title: of the page.
    """
    pictures = []
    if len(record["history"]) > 1:
        pictures += [_figure_picture(record["history"], record["best_step"])] if measurements else []
        pictures.append(_loss_picture(record["history"]))
    pictures += reading_pictures(record.get("readings", ()))
    pictures += [_similarity_picture(when, *samples) for when, samples in similarities.items()]
    grids = [_figure_grid(record["history"], measurements)] if measurements else []
    if record.get("warnings"):
        rows = [(f"{w['step']:,}", w["cause"], w["message"]) for w in record["warnings"]]
        grids.append(Grid("Warnings", ("step", "cause", "what was seen, and what to do"), rows))
    grids += [
        Grid(
            "Data",
            ("file", "kind", "rows", "fingerprint"),
            [(d["source"], d["kind"], *_size_and_digest(d)) for d in record["data"]],
        ),
        Grid("Settings", ("name", "value"), [(k, str(v)) for k, v in record["settings"].items() if v is not None]),
        Grid("Versions", ("name", "value"), list(record["versions"].items())),
    ]
    return Page(title, _lead(record, measurements), pictures, grids)


def _lead(record: Mapping[str, Any], measurements: Sequence[Measurement]) -> str:
    known = [data["rows"] for data in record["data"]]
    rows = "A stream" if None in known else f"{sum(known):,} rows"
    text = f"{rows}, {record['settings']['objective']}, {record['seconds']:.0f} seconds of training."
    for number, m in enumerate(measurements[:3]):
        before = _first(record["history"], number).get(m.main)
        since = "" if before is None else f", {before:.3f} before training"
        text += f" {m.source}: {m.main} {m.figures[m.main]:.3f}{since}."
    return text


def _size_and_digest(data: Mapping[str, Any]) -> tuple[str, str]:
    return ("a stream", "") if data["rows"] is None else (f"{data['rows']:,}", data["fingerprint"][:12])


def _first(history: Sequence[Mapping[str, Any]], number: int) -> Mapping[str, Any]:
    """The figures of a table at step 0, empty where that was not measured."""
    if not history or history[0]["step"] != 0:
        return {}
    figures: Mapping[str, Any] = history[0]["measurements"][number]
    return figures


def _figure_picture(history: Sequence[Mapping[str, Any]], best_step: int) -> Picture:
    lines: dict[str, list[tuple[float, float]]] = {}
    for entry in history:
        for m in entry["measurements"]:
            name = MAIN[m["task"]]
            lines.setdefault(f"{m['source']}: {name}", []).append((entry["step"], m[name]))
    return Picture(
        "How the figure rose",
        line_chart(lines, x="step", y="figure"),
        "Each point is a measurement during training; higher is better. A line that is still rising at its end "
        "asks for more training, one that falls for less.",
        f"The model that was kept is from step {best_step} of {history[-1]['step']}.",
    )


def _loss_picture(history: Sequence[Mapping[str, Any]]) -> Picture:
    points = [(entry["step"], entry["loss"]) for entry in history if entry["loss"] is not None]
    return Picture(
        "Training loss",
        line_chart({"loss": points}, x="step", y="loss"),
        "The smoothed loss on training batches. It says that the run works, not how good the model is.",
        f"It went from {points[0][1]:.3f} at step {points[0][0]} to {points[-1][1]:.3f}." if points else "",
    )


def _similarity_picture(when: str, near: NDArray[np.float32], far: NDArray[np.float32]) -> Picture:
    above = float(np.mean(near[:, None] > far[None, :])) if len(near) and len(far) else float("nan")
    return Picture(
        f"Near and far, {when} training",
        histogram_chart({"near": near, "far": far}, x="cosine similarity"),
        "Cosines of pairs that belong together and of pairs that do not. The less the two hills overlap, the "
        "better a threshold tells them apart.",
        f"A near pair is nearer than a far one in {above:.1%} of comparisons (50 % would be chance).",
    )


def _figure_grid(history: Sequence[Mapping[str, Any]], measurements: Sequence[Measurement]) -> Grid:
    rows = []
    for number, m in enumerate(measurements):
        before = _first(history, number)
        for name, value in m.figures.items():
            interval = "{:.4f} to {:.4f}".format(*m.intervals[name]) if name in m.intervals else ""
            old = f"{before[name]:.4f}" if name in before else ""
            rows.append((m.source, f"{m.rows:,}", name, old, f"{value:.4f}", interval))
    return Grid(
        "Figures",
        ("data", "rows", "figure", "before", "after", "95 % interval"),
        rows,
        "The interval is a bootstrap over the rows: another sample of the same size would mostly fall inside it.",
    )
