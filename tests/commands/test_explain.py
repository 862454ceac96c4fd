"""`nearfar explain` as the shell sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfar import open_model
from tests.browsing import open_page
from tests.commands.conftest import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TEXTS = ("the cat sleeps on the river", "near 그 학교, 우리 선생님 draws something")


def test_explain_prints_and_writes(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("explain", *TEXTS, "--model", model, "--html", tmp_path / "why.html", "--json", tmp_path / "why.json")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "why.json").read_text("utf-8"))
    a, b = open_model(model).encode(list(TEXTS))
    assert found["similarity"] == pytest.approx(float(a @ b), abs=1e-5)
    assert np.sum(found["pairs"]) == pytest.approx(found["similarity"], abs=1e-9)
    assert found["exact"]
    assert f"cosine {found['similarity']:.4f}" in result.out
    for token in (*found["first"], *found["second"]):
        assert token in result.out
    assert "학교" in (tmp_path / "why.html").read_text("utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "dark")])
def test_the_page_answers_in_a_browser(
    width: int, scheme: str, run: Run, model: Path, browser: Browser, tmp_path: Path, shots: Path
) -> None:
    place = tmp_path / "why.html"
    assert run("explain", *TEXTS, "--model", model, "--html", place).status == 0
    opened = open_page(browser, place.as_uri(), width=width, scheme=scheme)
    page = opened.page
    colours = (
        "[...document.querySelectorAll('[data-side=\"1\"] button')].map((one) => getComputedStyle(one).backgroundColor)"
    )
    whole = page.evaluate(colours)
    assert len(set(whole)) > 1
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("[data-side='0'] button >> nth=1")
    assert page.evaluate(colours) != whole
    page.screenshot(path=shots / f"explain-{width}.png", full_page=True)
    page.click("[data-side='0'] button >> nth=1")
    assert page.evaluate(colours) == whole
    assert opened.errors == []
    assert opened.requests == [place.as_uri()]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["explain", "", "a cat", "--model", "MODEL"], "first text: found ''"),
        (["explain", "a cat", "a dog", "--model", "./nowhere"], "nowhere"),
        (["explain", "a cat", "a dog"], "--model"),
        (["explain", "a cat", "a dog", "--model", "MODEL", "--steps", "0"], "--steps"),
        (["explain", "a cat", "a dog", "--model", "MODEL", "--html", "no/why.html"], "no"),
    ],
)
def test_explain_refuses(
    words: list[str], wanted: str, run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(str(model) if word == "MODEL" else word for word in words))
    assert result.status == 2
    assert wanted in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
