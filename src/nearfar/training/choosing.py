"""Which figure decides what the best model is, and when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.errors import InputError
from nearfar.settings import Settings


def chosen_figure(measurements: Sequence[Measurement], metric: str | None) -> float:
    """The number that is to rise.

    Args:
        measurements: of each table.
        metric: a figure of a table (``dev.tsv:ndcg@10``), a table, by its path or file name, whose main figure is
            meant, or a figure, whose mean over the tables that have it is meant; None: the mean of the main figures.

    Raises:
        InputError: there is no such table or figure.
    """
    if metric is None:
        return float(np.mean([m.figures[m.main] for m in measurements]))
    source, colon, name = metric.rpartition(":")
    if colon and (found := [m for m in measurements if _named(m.source, source)]):
        values = [m.figures[name] for m in found if name in m.figures]
    elif found := [m for m in measurements if _named(m.source, metric)]:
        values = [m.figures[m.main] for m in found]
    else:
        values = [m.figures[metric] for m in measurements if metric in m.figures]
    if not values:
        known = ", ".join(f"{Path(m.source).name}:{name}" for m in measurements for name in m.figures)
        raise InputError(f"metric: found {metric!r}, wanted one of {known}, or a table or a figure of these alone")
    return float(np.mean(values))


def check_measured(tables: Sequence[Table], settings: Settings) -> None:
    """Raise an InputError where a metric or patience is set that can change nothing."""
    for name, value in (("metric", settings.metric), ("patience", settings.patience)):
        if value is not None and not tables:
            raise InputError(
                f"{name}: found {value!r}, and nothing to measure on; wanted tables to evaluate on (--eval), or None"
            )
    if settings.patience is not None and settings.patience >= settings.evaluations:
        raise InputError(
            f"patience: found {settings.patience}, which {settings.evaluations} --evaluations cannot try; wanted less"
            f" than {settings.evaluations}, or more of them"
        )


def _named(source: str, name: str) -> bool:
    return name in (source, Path(source).name)
