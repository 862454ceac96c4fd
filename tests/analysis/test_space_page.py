"""The page of a space in a real browser: it draws, finds, tells, walks; asks for nothing, complains of nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfar.analysis import Analysis, analyse
from nearfar.analysis.report import Grid, draw, write_page
from nearfar.analysis.report import Page as Report
from tests.browsing import Opened, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TOPICS = ("river", "kitchen", "music", "winter")


@pytest.fixture(scope="module")
def found() -> Analysis:
    """Four topics; the text to be searched has a planted twin."""
    random = np.random.default_rng(0)
    of = np.arange(160) % 4
    x = np.eye(16)[of] + 0.1 * random.normal(size=(160, 16))
    x[7] = x[3] + 0.001
    texts = [f"{TOPICS[topic]} number {i} <img src=x onerror='hurt=1'>" for i, topic in enumerate(of)]
    texts[3], texts[7] = "겨울의 planted text", "its planted twin"
    return analyse(x, texts=texts, labels=[TOPICS[topic] for topic in of], resamples=20, source="topics.csv")


@pytest.fixture(scope="module")
def paths(found: Analysis, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    for language in ("en", "ko"):
        write_page(draw(found, language=language).page("a-model"), folder / f"{language}.html")
    return {language: folder / f"{language}.html" for language in ("en", "ko")}


def opened(browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light") -> Opened:
    made = open_page(browser, path.as_uri(), width=width, scheme=scheme)
    made.page.wait_for_function("window.nearfarMap")
    return made


def spot(page: Page, row: int) -> tuple[float, float]:
    """Where on the screen a point of the map is."""
    x, y = page.evaluate(
        """row => { const {view, data} = window.nearfarMap;
        const canvas = document.querySelector("#map canvas");
        canvas.scrollIntoView({block: "center"});
        const box = canvas.getBoundingClientRect();
        const at = (axis) => view.scale(axis)(data[axis][row]), origin = view.origin();
        return [box.left + origin[0] + at("x"), box.top + origin[1] + at("y")]; }""",
        row,
    )
    return x, y


def ink(page: Page) -> int:
    """Pixels of the map that are not blank."""
    count: int = page.evaluate(
        """() => { const c = document.querySelector("#map canvas").cloneNode(), pen = c.getContext("2d");
        pen.drawImage(document.querySelector("#map canvas"), 0, 0);
        const p = pen.getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < p.length; i += 4) n += p[i] > 0; return n; }"""
    )
    return count


def quiet(made: Opened, path: Path) -> None:
    assert made.requests == [path.as_uri()]
    assert made.errors == []
    assert made.page.evaluate("typeof hurt") == "undefined"


def test_every_chart_draws(browser: Browser, paths: dict[str, Path], found: Analysis) -> None:
    made = opened(browser, paths["en"])
    assert ink(made.page) > 1000
    drawn = made.page.locator("figure svg")
    assert drawn.count() == len(draw(found).specs()) - 1
    for chart in drawn.all():
        box = chart.bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert box["height"] > 150
        assert chart.locator("path").count() > 5
    assert made.page.locator(".verdict").count() >= 12
    quiet(made, paths["en"])


def test_hovering_tells_the_text(browser: Browser, paths: dict[str, Path]) -> None:
    made = opened(browser, paths["en"])
    tip = made.page.locator("#map-tip")
    assert tip.is_hidden()
    made.page.mouse.move(*spot(made.page, 8))
    tip.wait_for(state="visible")
    assert "number" in tip.inner_text() or "planted" in tip.inner_text()
    assert "label: river" in tip.inner_text()
    made.page.mouse.move(5, 5)
    tip.wait_for(state="hidden")
    quiet(made, paths["en"])


def test_a_text_is_found_by_keyboard_with_its_true_neighbours(
    browser: Browser, paths: dict[str, Path], found: Analysis
) -> None:
    made = opened(browser, paths["en"])
    page = made.page
    page.focus("#map-search")
    page.keyboard.type("겨울의 PLANTED")
    assert page.locator("#map-count").inner_text() == "1 found"
    page.keyboard.press("Enter")
    assert page.locator("#map-text").inner_text() == "겨울의 planted text"
    near = page.locator("#map-neighbours button")
    assert near.count() == 10
    assert "its planted twin" in near.first.inner_text()
    assert found.texts is not None
    unit = found.points / np.linalg.norm(found.points, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit[3]))[1:11]
    for button, row in zip(near.all(), order.tolist(), strict=True):
        assert found.texts[row] in button.inner_text()
    assert len(page.evaluate("window.nearfarMap.view.data('chosen')")) == 11
    near.first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#map-text").inner_text() == "its planted twin"
    page.fill("#map-search", "no such thing")
    assert page.locator("#map-count").inner_text() == "no text has that"
    quiet(made, paths["en"])


def test_a_click_chooses_and_colours_and_zoom_change_the_map(browser: Browser, paths: dict[str, Path]) -> None:
    made = opened(browser, paths["en"])
    page = made.page
    page.mouse.click(*spot(page, 9))
    page.locator("#map-chosen").wait_for(state="visible")
    titles = page.locator("#map-by option").all_inner_texts()
    assert titles[:2] == ["label", "cluster"]
    assert page.locator("#map-legend button").all_inner_texts() == list(TOPICS)
    full = ink(page)
    page.locator("#map-legend button").first.click()
    page.wait_for_function("window.nearfarMap.view.signal('only') === 0")
    page.select_option("#map-by", label=titles[2])
    page.locator("#map-legend .ramp").wait_for()
    before = spot(page, 20)
    page.click("#map-closer")
    page.wait_for_function("window.nearfarMap.view.signal('seen_x')")
    assert spot(page, 20) != before
    page.click("#map-whole")
    assert spot(page, 20) == pytest.approx(before, abs=0.1)
    assert abs(ink(page) - full) < full / 2
    quiet(made, paths["en"])


@pytest.mark.parametrize("language", ["en", "ko"])
def test_it_fits_a_phone(language: str, browser: Browser, paths: dict[str, Path]) -> None:
    made = opened(browser, paths[language], width=390)
    assert made.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert made.page.evaluate("document.documentElement.lang") == language
    made.page.fill("#map-search", "river")
    made.page.keyboard.press("Enter")
    assert made.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert ink(made.page) > 500
    quiet(made, paths[language])


def test_dark_is_dark_and_paper_is_white(browser: Browser, paths: dict[str, Path]) -> None:
    made = opened(browser, paths["en"], scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert made.page.evaluate(ground) == "rgb(20, 25, 31)"
    label = "getComputedStyle(document.querySelector('figure svg text')).fill"
    assert made.page.evaluate(label) == "rgb(230, 235, 241)"
    made.page.emulate_media(media="print")
    assert made.page.evaluate(ground) == "rgb(255, 255, 255)"
    quiet(made, paths["en"])


@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_of_many_columns_breaks_no_word(width: int, browser: Browser, tmp_path: Path) -> None:
    """It scrolls by itself where the screen is narrow."""
    headings = ["objective", "searched", "spearman", "95 %", "seeds ±", *["validation"] * 9]
    write_page(
        Report("Many", "", grids=[Grid("Table", headings, [["contrastive", *["0.690"] * 13]])]), tmp_path / "m.html"
    )
    page = open_page(browser, (tmp_path / "m.html").as_uri(), width=width).page
    lines = page.eval_on_selector_all(
        "th, td",
        """all => all.map(cell => { const range = document.createRange(); range.selectNodeContents(cell);
        return range.getClientRects().length - cell.textContent.split(" ").length; })""",
    )
    assert max(lines) <= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
