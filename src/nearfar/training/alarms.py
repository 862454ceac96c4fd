"""Warnings: what goes wrong in a run without stopping it, each cause once, with what to do about it."""

from __future__ import annotations

import math
from typing import Any

from nearfar.data.batches import Position
from nearfar.training.outcome import Reading
from nearfar.training.sources import Batch

COLLAPSED_COSINE = 0.95
"""Mean cosine of different texts above which the space is as good as one point."""

COLLAPSED_RANK = 0.03
"""Share of the ranks beyond the first that are in use, below which the space is as good as a line."""

BEGINNING = 0.1
"""Share of the run in which a flat space is that of an encoder which starts out so."""

EXPLODED = 20.0
"""Times the largest gradient norm of the first readings that a norm may be."""

CALM = 5
"""Readings that count as the first."""

SHARED = 0.2
"""Share of a batch's rows that may share a text."""

CROSSED = 0.05
"""Share of a batch's rows that may push a text of their own."""

MEASURING = 0.5
"""Share of the time that measuring may take."""


class Alarms:
    """Looks at each reading; a cause that has been named is not named again."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.flat = 0
        self.raised: set[str] = set()

    def check(self, reading: Reading, kind: str, rows: int, progress: float) -> dict[str, str]:
        """Cause -> message, of what is new.

        Args:
            reading: of this step.
            kind: of the batch's contrast.
            rows: of the batch.
            progress: share of the run that is over.
        """
        found = {
            "collapse": self._collapse(reading) if progress >= BEGINNING else "",
            "gradient": self._gradient(reading),
            "duplicates": _shared(reading, kind, rows),
            "contradictions": _crossed(reading, rows),
        }
        return {cause: message for cause, message in found.items() if message and self.first(cause)}

    def state(self) -> dict[str, Any]:
        """What it has seen and said, for `load`."""
        return {"norms": self.norms, "flat": self.flat, "raised": sorted(self.raised)}

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""
        self.norms, self.flat, self.raised = state["norms"], state["flat"], set(state["raised"])

    def first(self, cause: str) -> bool:
        """Whether it is the first time that this cause is named."""
        new = cause not in self.raised
        self.raised.add(cause)
        return new

    def _collapse(self, reading: Reading) -> str:
        cosine, rank, bound = reading.mean_cosine, reading.effective_rank, reading.rank_bound
        if cosine is None or rank is None or bound is None:
            return ""
        least = 1 + COLLAPSED_RANK * (bound - 1)
        flat = cosine >= COLLAPSED_COSINE or (rank < least and bound > 1)
        self.flat = self.flat + 1 if flat else 0
        if self.flat < 2:  # one batch may be odd
            return ""
        return (
            f"the space collapses: different texts have a mean cosine of {cosine:.3f} (warned from {COLLAPSED_COSINE})"
            f" and an effective rank of {rank:.1f} of {bound:.0f} (warned below {least:.1f}); try another temperature"
            " or margin, a lower learning rate, a larger batch, or an objective that pushes more (infonce)"
        )

    def _gradient(self, reading: Reading) -> str:
        if len(self.norms) < CALM:
            self.norms.append(reading.gradient_norm)
            return ""
        usual = max(self.norms)  # of the beginning, when there is most to learn
        if not reading.gradient_norm > EXPLODED * usual:
            return ""
        return (
            f"the gradient explodes: its norm is {reading.gradient_norm:.3g}, {EXPLODED:.0f} times the {usual:.3g} of"
            f" the first readings or more; try a lower learning rate (`nearfar rate`), a longer --warmup or a higher"
            " --temperature"
        )


def _shared(reading: Reading, kind: str, rows: int) -> str:
    """Rows of one text: they are grouped, or have one label, and yet each of them tells less; NCE counts with them."""
    if kind in ("graded", "sampled") or reading.shared < SHARED:
        return ""
    kept = (
        "they have no say about each other" if kind != "labelled" else "those of one label learn nothing of each other"
    )
    return (
        f"duplicates: {reading.shared:.0%} of the {rows} rows of a batch share a text with another row; {kept}, so that"
        " the batch counts for less than its size; --batches no-duplicates keeps them apart"
    )


def _crossed(reading: Reading, rows: int) -> str:
    """Rows that no grouping helps: one and the same text is to be far from itself."""
    if reading.crossed < CROSSED:
        return ""
    return (
        f"false negatives: {reading.crossed:.0%} of the {rows} rows of a batch hold a text that stands under another"
        " label too, which is pushed away from itself; look at the labels of these texts"
    )


def slow_measuring(measuring: float, total: float) -> str:
    """Whether measuring takes too much of the time, in seconds."""
    if measuring < MEASURING * total:
        return ""
    return (
        f"measuring took {measuring / total:.0%} of the time so far ({measuring:.1f} s); fewer --evaluations or a"
        " smaller table leave more of it for training"
    )


def diverged(what: str, step: int, rate: float, loss: float, at: tuple[Position, Batch] | None) -> str:
    """Where a number became NaN or infinite, and what to do.

    Args:
        what: the number.
        step: that could not be made, or after which a parameter was not finite.
        rate: its learning rate.
        loss: the smoothed one before it, or NaN.
        at: the batch and its position; None before the first.
    """
    where, before = f"step {step}", "" if math.isnan(loss) else f" after a loss of {loss:.4g}"
    if at is not None:
        position, batch = at
        rows = len(batch.tokens[0])
        where += f" (batch {position.index + 1} of epoch {position.epoch + 1}: {rows} rows of {batch.source})"
    remedy = "a lower learning rate (`nearfar rate` finds one) or a higher --temperature"
    return f"{where}: {what}{before}, at a learning rate of {rate:.3g}; try {remedy}"
