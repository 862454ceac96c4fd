"""The model card: what it says is so, and the hub can read its front matter."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

import nearfar as nf
from nearfar.analysis import Measurement
from nearfar.training.output import save
from tests.training.made import texts

SETTINGS = nf.Settings(epochs=1, width=8, vocabulary=100, held_out=0.25, license="cc-by-4.0", language=["en"])


def trained(settings: nf.Settings, folder: Path, table: nf.Table) -> tuple[nf.Outcome, str, ModelCard]:
    """A run, the text of its card, and what huggingface_hub reads of it."""
    outcome = nf.train(table, settings=settings)
    save(folder, outcome, [table], "my | model")
    text = (folder / "README.md").read_text("utf-8")
    return outcome, text, ModelCard(text)


@pytest.fixture(scope="module")
def table() -> nf.Table:
    every = texts(200)
    return nf.Table.from_columns({"anchor": every[:100], "positive": every[100:]}, source="odd|name.tsv")


@pytest.fixture(scope="module")
def made(table: nf.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[nf.Outcome, str, ModelCard, Path]:
    folder = tmp_path_factory.mktemp("card")
    return *trained(SETTINGS, folder, table), folder


def test_the_front_matter_holds_what_is_known(made: Any) -> None:
    outcome, _, card, _ = made
    data = card.data
    assert (data.license, data.language, data.base_model) == ("cc-by-4.0", ["en"], None)
    assert data.library_name == "sentence-transformers"
    assert {"sentence-transformers", "sentence-similarity"} <= set(data.tags)
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found == pytest.approx(outcome.measurements[0].figures, abs=1e-4)


def test_the_body_says_data_settings_and_figures(made: Any) -> None:
    outcome, text, _, _ = made
    assert r"| odd\|name.tsv | pairs | anchor, positive | 100 |" in text
    assert "Licence: cc-by-4.0. Language: en." in text
    assert "| epochs | 1 |" in text
    measurement: Measurement = outcome.measurements[0]
    for name, value in measurement.figures.items():
        low, high = measurement.intervals[name]
        assert f"| {name} | {value:.4f} | {low:.4f} to {high:.4f} |" in text


def test_the_code_gives_the_similarities_that_it_shows(made: Any) -> None:
    _, text, _, folder = made
    code = re.search(r"```python\n(.*?)```", text, re.S).group(1)  # type: ignore[union-attr]
    shown = np.array([line[1:].split() for line in code.splitlines() if line.startswith("# ")], float)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace('"my | model"', repr(str(folder))), scope := {})
    found = scope["model"].similarity(scope["embeddings"], scope["embeddings"]).numpy()
    assert shown.shape == (3, 3)
    np.testing.assert_allclose(shown, found, atol=1e-4)
    assert printed.getvalue()


def test_nothing_is_made_up_where_nothing_is_known(tmp_path: Path) -> None:
    table = nf.Table.from_columns({"text": ["a ``` b\n```\nc\t" + text for text in texts(30)]})
    _, text, card = trained(nf.Settings(epochs=1, width=8, vocabulary=100), tmp_path, table)
    assert (card.data.license, card.data.language, card.data.eval_results) == (None, None, None)
    assert "Licence: not stated. Language: not stated." in text
    assert "Nothing was measured." in text
    assert text.count("\n```") == 4  # two blocks, which no text of the data ends early


def test_a_model_of_the_hub_is_the_base(made: Any, table: nf.Table) -> None:
    from nearfar.training.card import card_data
    from nearfar.training.output import describe

    outcome = made[0]
    outcome.model.model_card_data.language = "ko"
    try:
        for name, base in (("some/model", "some/model"), ("./some/model", None), (str(made[3]), None)):
            outcome.settings = outcome.settings.model_copy(update={"encoder": name, "language": []})
            data = card_data(describe(outcome, [table]), outcome, "m")
            assert (data.base_model, data.language) == (base, ["ko"])
    finally:
        outcome.model.model_card_data.language = None
