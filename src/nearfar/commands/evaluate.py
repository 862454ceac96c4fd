"""`nearfar evaluate`: what a model is good for, by the columns of the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.commands.shared import (
    SEEDS,
    Columns,
    Where,
    check_file,
    open_model,
    open_tables,
    say,
    show_measurements,
    write_whole,
)

if TYPE_CHECKING:
    from nearfar.analysis import Measurement
    from nearfar.data import Table


def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name.")],
    data: Annotated[list[str], typer.Argument(help="Tables to measure on.")],
    column: Columns = None,
    where: Where = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures here as well.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Of the bootstrap and of the folds.")] = 0,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples; 0 leaves intervals out.")] = 1000,
) -> None:
    """Measure a model; the columns of the data say on what task.

    sentence1, sentence2, score: similarity (Spearman, Pearson). anchor, positive: retrieval (MRR@10, recall,
    nDCG@10). text, label: k-NN accuracy and a linear probe. word1, word2, score: similarity of words. a, b, c, d:
    analogies (3CosAdd, 3CosMul), answered with the vocabulary of word vectors, else with the table's words.

    Example: nearfar evaluate my-model sts.tsv questions.jsonl --json figures.json
    """
    if json_file:
        check_file(json_file, overwrite=True, inputs=data)
    tables = open_tables(data, column, where)
    found = _measured(model, tables, seed, resamples)
    show_measurements(found, title=model)
    if json_file:
        content = {"model": model, "seed": seed, "measurements": [m.to_dict() for m in found]}
        write_whole(json_file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        say(f"wrote {json_file}")


def _measured(model: str, tables: Sequence[Table], seed: int, resamples: int) -> list[Measurement]:
    from nearfar.words import WordVectors

    if vectors := WordVectors.find(model):
        return [vectors.measure(table, seed=seed, resamples=resamples) for table in tables]
    encoder = open_model(model)
    from nearfar.analysis import evaluate as measured

    return [measured(encoder, table, seed=seed, resamples=resamples, progress=True) for table in tables]
