"""The model card of word vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfar.analysis.vectors import unit
from nearfar.training.card import filled, front_matter, similarity_rows
from nearfar.words.plan import KNOWN
from nearfar.words.training import WordOutcome


def words_card(record: Mapping[str, Any], outcome: WordOutcome, title: str) -> str:
    """The card in Markdown; it quotes the words of `outcome.examples`.

    Args:
        record: what nearfar.json holds.
        outcome: of the run.
        title: of the vectors.
    """
    settings = outcome.settings
    names = [json.dumps(name, ensure_ascii=False) for name in outcome.examples]
    rows = unit(outcome.vectors.vectors[list(outcome.examples.values())])
    return filled(
        Path(__file__).parent / "words.md",
        front_matter(record, settings, outcome.measurements, settings.language, title),
        record,
        {
            "settings": {name: value for name, value in record["settings"].items() if name in KNOWN},
            "width": settings.width,
            "example": {
                "words": f"[{', '.join(names)}]",
                "first": names[0],
                "similarities": similarity_rows((rows @ rows.T).tolist()),
            },
            "architecture": f"StaticEmbedding: {len(outcome.vectors):,} words and a row of zeros for all others",
        },
    )
