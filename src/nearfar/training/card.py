"""The model card: README.md of a model, with front matter that the hub reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.settings import Settings
from nearfar.training.fitting import Data
from nearfar.training.outcome import Outcome

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData
    from sentence_transformers import SentenceTransformer

TASKS = {
    "sts": "semantic-similarity",
    "retrieval": "information-retrieval",
    "labels": "text-classification",
    "words": "word-similarity",
    "analogies": "word-analogy",
}
TAGS = ["sentence-transformers", "sentence-similarity", "feature-extraction", "nearfar"]
LONGEST = 120
"""Characters of an example's text."""
EXAMPLE = ["How do I reset my password?", "I cannot sign in any more.", "Where is my parcel?"]
"""Texts to show where the data is a stream, which may have passed."""


def model_card(record: Mapping[str, Any], outcome: Outcome, data: Sequence[Data], title: str) -> str:
    """The card of a trained model, in Markdown.

    It quotes three texts of the data, those measured on first, each cut to 120 characters.

    Args:
        record: what nearfar.json holds.
        outcome: of the run.
        data: that it trained on.
        title: of the model.
    """
    model, settings = outcome.model, outcome.settings
    return filled(
        Path(__file__).parent / "card.md",
        card_data(record, outcome, title),
        record,
        {
            "width": model.get_embedding_dimension(),
            "base": settings.encoder if settings.encoder != "static" else None,
            "example": _example(model, [*outcome.evaluate_on, *data]),
            "held_out": bool(record["run"]) and not record["run"]["eval"],
            "architecture": str(model),
        },
    )


def card_data(record: Mapping[str, Any], outcome: Outcome, title: str) -> ModelCardData:
    """The front matter: tags, licence, language, base model, data sets and figures, as far as they are known."""
    return front_matter(record, outcome.settings, outcome.measurements, _languages(outcome), title)


def filled(template: Path, front: ModelCardData, record: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """A template, `card.md` or one that extends it, filled with a record and what else it asks for."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([template.parent, Path(__file__).parent])
    environment = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.filters["cell"] = _cell
    return environment.get_template(template.name).render(
        {**record, **values},
        card_data=front.to_yaml().strip(),
        title=front.model_name,
        name=json.dumps(front.model_name, ensure_ascii=False),
        license=front.license,
        languages=front.language or [],
    )


def front_matter(
    record: Mapping[str, Any],
    settings: Settings,
    measurements: Sequence[Measurement],
    languages: list[str],
    title: str,
) -> ModelCardData:
    """The front matter of any model: what `card_data` says of a trained encoder."""
    from huggingface_hub import ModelCardData

    return ModelCardData(
        license=settings.license,
        language=languages or None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=TAGS,
        base_model=settings.encoder if _on_hub(settings.encoder) else None,
        datasets=[one["source"] for one in record["data"] if _on_hub(one["source"])] or None,
        model_name=title,
        eval_results=[result for m in measurements for result in _results(m)] or None,
    )


def _results(measurement: Measurement) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    name = Path(measurement.source).name
    return [
        EvalResult(
            task_type=TASKS[measurement.task],
            dataset_type=name,
            dataset_name=name,
            metric_type=figure,
            metric_value=round(value, 4),
        )
        for figure, value in measurement.figures.items()
    ]


def _on_hub(name: str) -> bool:
    """Whether a name is of the form that the hub gives, and no path here."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", name)) and name[0] not in "." and not Path(name).exists()


def _languages(outcome: Outcome) -> list[str]:
    if outcome.settings.language:
        return outcome.settings.language
    stated = outcome.model.model_card_data.language
    return [stated] if isinstance(stated, str) else list(stated or [])


def _example(model: SentenceTransformer, data: Sequence[Data]) -> dict[str, list[str]]:
    """Texts as Python writes them, and the rows of their similarities."""
    texts = next((_texts(one) for one in data if isinstance(one, Table)), EXAMPLE)
    vectors = model.encode(texts, show_progress_bar=False)
    return {
        "texts": [json.dumps(text, ensure_ascii=False) for text in texts],
        "similarities": similarity_rows(model.similarity(vectors, vectors).tolist()),
    }


def similarity_rows(found: Sequence[Sequence[float]]) -> list[str]:
    """A matrix of similarities, a line a row."""
    return ["  ".join(f"{value + 0:7.4f}" for value in row) for row in found]


def _texts(table: Table) -> list[str]:
    """A row's two texts and the second of the next row; of lone texts three."""
    rows = table.rows[:3]
    first, *second = (rows[role] for role in table.text_roles[:2])
    chosen = [first[0], *second[0][:2]] if second else first
    return [text[:LONGEST].strip() for text in chosen]


def _cell(value: object) -> str:
    """Text that keeps a Markdown table whole."""
    return " ".join(str(value).split()).replace("|", "\\|")
