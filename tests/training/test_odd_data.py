"""Odd tables are trained on, and settings that would change nothing are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import nearfar as nf
from tests.training.made import pairs_table, texts

TABLES: dict[str, dict[str, list[Any]]] = {
    "two rows": {"anchor": ["a cat", "dogs"], "positive": ["the cat", "a dog"]},
    "equal rows": {"anchor": ["a"] * 6, "positive": ["b"] * 6},
    "equal texts": {"text": ["a"] * 6},
    "one token": {"text": list("abcdefgh")},
    "no token": {"text": ["\u200b", "\ufeff", "\u200b\u200b", "\u00ad"]},
    "labels": {"text": texts(9), "label": list("xyz") * 3},
    "two lone labels": {"text": ["a", "b"], "label": ["x", "y"]},
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "queue": {"queue": 5},
    "mixed": {"mixed": 2, "queue": 5},
    "mined": {"mine_every": 1},
    "views": {"view": ["dropout", "cutoff:kind=span", "shuffle", "gaussian", "mixup", "adversarial"]},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TABLES)
def test_odd_tables_are_trained_on_or_refused_in_words(name: str, way: str) -> None:
    settings = nf.Settings(steps=3, vocabulary=100, width=8, held_out=0, batch_size=64, **WAYS[way])
    labels, lone = "label" in TABLES[name], "anchor" not in TABLES[name]
    if (labels and way in ("mixed", "views")) or (lone and way == "mined"):
        with pytest.raises(nf.InputError, match=r"found .*wanted"):
            nf.train(nf.Table.from_columns(TABLES[name]), settings=settings)
        return
    outcome = nf.train(nf.Table.from_columns(TABLES[name]), settings=settings)
    vectors = torch.from_numpy(np.asarray(outcome.model.encode(["a cat", "b", ""])))
    assert vectors.isfinite().all()


SCORED = {"sentence1": texts(8), "sentence2": texts(8, 1), "score": [float(n) for n in range(8)]}
LABELLED = {"text": texts(8), "label": list("xy") * 4}


@pytest.mark.parametrize(
    ("columns", "objective", "options", "wanted"),
    [
        ({"text": texts(8)}, "ntxent", {"mixed": 2}, "--mixed: found 2, wanted none: NTXentLoss makes views"),
        (LABELLED, "supcon", {"mixed": 2}, "--mixed: found 2, wanted none: SupConLoss makes labelled"),
        (LABELLED, "supcon", {"view": ["gaussian", "mixup"]}, "--view: found gaussian, mixup, wanted none"),
        (SCORED, "cosent", {"queue": 9}, "--queue: found 9, wanted none: CoSENTLoss makes graded"),
        (SCORED, "cosent", {"guide": "nobody"}, "--guide: found nobody, wanted none: CoSENTLoss makes graded"),
    ],
)
def test_a_setting_without_effect_is_refused(
    columns: dict[str, list[Any]], objective: str, options: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(nf.InputError, match=wanted):
        nf.train(nf.Table.from_columns(columns), settings=nf.Settings(objective=objective, steps=1, **options))


def test_it_is_enough_that_a_setting_suits_one_of_the_tables() -> None:
    settings = nf.Settings(steps=4, batch_size=8, vocabulary=100, width=8, mixed=2)
    assert nf.train([pairs_table(), nf.Table.from_columns(LABELLED)], settings=settings).best_step == 4
