"""The folder of a finished run on words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nearfar.analysis.report import training_page
from nearfar.settings import Inputs
from nearfar.training.output import full_disk_told, write_record
from nearfar.training.recorded import described, versions
from nearfar.words.card import words_card
from nearfar.words.training import WordOutcome

BIASES = "biases.npy"


def save_words(folder: Path, outcome: WordOutcome, title: str, inputs: Inputs | None = None) -> None:
    """Write the vectors, README.md, nearfar.json and report.html; of NCE the biases of words as middles, too.

    Args:
        folder: to write into.
        outcome: of the run.
        title: of the report.
        inputs: what names the corpus, where a command read it, so that nearfar.json can repeat the run.
    """
    with full_disk_told(folder):
        outcome.vectors.save(folder)
    if outcome.settings.objective == "nce":
        np.save(folder / BIASES, outcome.biases)
    record = describe_words(outcome, inputs)
    (folder / "README.md").write_text(words_card(record, outcome, title), "utf-8")
    write_record(folder, record, training_page(record, outcome.measurements, {}, title))


def describe_words(outcome: WordOutcome, inputs: Inputs | None = None) -> dict[str, Any]:
    """What nearfar.json holds: what was read, settings, corpus, versions, and the history of measurements."""
    return {
        "run": inputs.model_dump() if inputs else None,
        "settings": outcome.settings.model_dump(),
        "data": [dict(outcome.corpus)],
        "evaluate_on": [described(table) for table in outcome.evaluate_on],
        "versions": versions(),
        "seconds": round(outcome.seconds, 2),
        "words": outcome.words,
        "vocabulary": len(outcome.vectors),
        "words_per_second": round(outcome.words_per_second),
        "notes": outcome.notes,
        "interrupted": outcome.interrupted,
        "best_step": outcome.history[-1]["step"] if outcome.history else 0,
        "measurements": [measurement.to_dict() for measurement in outcome.measurements],
        "history": outcome.history,
    }
