"""The report of a space without a browser: the map's truth, its colours, what is drawn of which data, its words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

from nearfar.analysis import Analysis, analyse
from nearfar.analysis.report import draw, render, write_pictures
from nearfar.analysis.report.layout import layout
from nearfar.analysis.report.map import GREY, PALETTE, by_label, by_value
from nearfar.analysis.report.wording import page_words, picture_words

HANGUL = re.compile("[가-힣]")


def islands(count: int = 200, number: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Points in so many well-separated clouds, and which one each is of."""
    random = np.random.default_rng(0)
    of = np.arange(count) % number
    return np.eye(16)[of] + 0.05 * random.normal(size=(count, 16)), of


def test_the_map_keeps_islands_apart_and_its_neighbours_are_the_true_ones() -> None:
    x, of = islands()
    found = layout(x, seed=0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    np.testing.assert_array_equal(found.neighbours.places, np.argsort(-cosines, axis=1)[:, :10])
    np.testing.assert_allclose(found.neighbours.cosines, -np.sort(-cosines, axis=1)[:, :10], atol=1e-6)
    apart = np.linalg.norm(found.places[:, None] - found.places[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (of[apart.argmin(axis=1)] == of).all()
    best = np.argsort(apart, axis=1)[:, :10]
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(best, found.neighbours.places, strict=True)])
    assert found.kept == pytest.approx(kept)
    np.testing.assert_array_equal(layout(x, seed=0).places, found.places)


@pytest.mark.parametrize("rows", [1, 2, 3, 9, 12])
@pytest.mark.parametrize("same", [False, True])
def test_few_points_and_one_spot_have_a_map(rows: int, same: bool) -> None:
    x = np.ones((rows, 8)) if same else np.random.default_rng(0).normal(size=(rows, 8))
    found = layout(x)
    assert found.places.shape == (rows, 2)
    assert np.isfinite(found.places).all()
    assert found.neighbours.places.shape == (rows, min(10, rows - 1))


def test_the_largest_labels_have_colours_and_many_numbers_a_ramp() -> None:
    names = [f"label {i}" for i in range(30) for _ in range(30 - i)]
    made = by_label("label", names, "others")
    assert made.names == [*(f"label {i}" for i in range(20)), "others"]
    colours = made.of_points()
    assert colours[0] == PALETTE[0]
    assert colours[-1] == GREY
    assert len(set(colours)) == 21
    numbers = by_label("label", list(np.arange(50.0)), "others")
    assert numbers.ramp
    assert by_value("", [1.0, 1.0]).codes.tolist() == [0, 0]
    assert by_value("", [0.0, 10.0]).of_points() == ["#2a7de1", "#e1662a"]


def of_kind(kind: str) -> Analysis:
    """An analysis of each kind of data, some with a view, another model."""
    x, labels = islands(120)
    y = x + 0.02 * np.random.default_rng(1).normal(size=x.shape)
    texts, others = [f"text {i} <b>&amp;" for i in range(120)], [f"other {i}" for i in range(120)]
    more = {
        "texts": {"texts": texts, "moved": {"delete": (x[:40], y[:40])}},
        "labelled": {"texts": texts, "labels": [f"island {label}" for label in labels]},
        "pairs": {"y": y, "texts": texts, "other_texts": others},
        "scored": {"y": y, "texts": texts, "other_texts": others, "scores": np.arange(120) % 6},
        "bare": {},
        "few": {"y": y[:4], "texts": texts[:4], "other_texts": others[:4]},
    }[kind]
    return analyse(x[:4] if kind == "few" else x, resamples=20, source=f"{kind}.csv", **more)  # type: ignore[arg-type]


def test_scores_colour_the_texts_of_their_pairs() -> None:
    """A text's is the mean over its pairs, on whichever side it stands."""
    x = np.eye(3)[[0, 0, 1]]
    y = np.eye(3)[[1, 2, 2]]
    sides = {"texts": ["a", "a", "b"], "other_texts": ["b", "c", "c"]}
    found = analyse(x, y, scores=[5.0, 1.0, 0.0], resamples=0, **sides)  # type: ignore[arg-type]
    assert found.texts == ("a", "b", "c")
    assert found.samples["point_scores"].tolist() == [3.0, 2.5, 0.5]
    drawn = draw(found)
    assert drawn.colourings[0].title == "mean score of its pairs"
    assert drawn.colourings[0].names == ["0.5", "3"]
    assert drawn.colourings[0].codes.tolist() == [31, 25, 0]


DRAWN = {
    "texts": {"spectrum", "dimensions", "hardness", "views", "hubs"},
    "labelled": {"similarity", "plane", "spectrum", "dimensions", "hardness", "gradient", "hubs"},
    "pairs": {"similarity", "plane", "spectrum", "dimensions", "hardness", "gradient", "hubs"},
    "scored": {"similarity", "scores", "plane", "spectrum", "dimensions", "hardness", "gradient", "hubs"},
    "bare": {"spectrum", "dimensions", "hardness", "hubs"},
    "few": {"similarity"},
}


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_of_data_has_its_pictures_and_every_picture_its_sentences(kind: str) -> None:
    found = of_kind(kind)
    for language in ("en", "ko"):
        drawn = draw(found, language=language)
        assert set(drawn.specs()) == DRAWN[kind] | {"map"}
        page = drawn.page("my-model")
        html = render(page)
        for picture in page.pictures:
            assert picture.reading in html.replace("&#39;", "'")
            assert picture.svg.startswith("<svg") or picture.grid
            assert picture.findings or kind == "few" or picture.title in ("거짓 음성 의심", "Suspected false negatives")
        for figure in found.figures.values():
            assert figure.title(language) in html
        for name, reason in found.left_out.items():
            assert reason[language] in html.replace("&#39;", "'"), name
        assert bool(HANGUL.search(page.lead + page.title)) == (language == "ko")


def test_the_page_asks_for_nothing_and_a_text_is_only_text() -> None:
    x, labels = islands(60)
    evil = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
    found = analyse(x, texts=[f"{evil}{i}" for i in range(60)], labels=[f"{evil}{i}" for i in labels], resamples=0)
    html = render(draw(found).page(evil))
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(src|href)=(?![\"']data:,)|url\(|@import", own.replace("src=x", ""))
    assert "<img" not in own
    assert "window.hurt = 1</script>" not in html
    data = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', html, flags=re.S)
    assert data is not None
    held = json.loads(data.group(1))
    assert held["texts"][3] == f"{evil}3"
    assert len(held["neighbours"]) == 60


def test_pictures_for_papers_are_dark_on_white(tmp_path: Path) -> None:
    specs = draw(of_kind("pairs")).specs()
    written = write_pictures({name: specs[name] for name in ("map", "plane")}, tmp_path)
    assert [path.name for path in written] == ["map.svg", "map.png", "plane.svg", "plane.png"]
    for path in written:
        content = path.read_bytes()
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG")
        else:
            assert b"currentColor" not in content
            assert b'fill="white"' in content


def test_the_page_has_all_its_words_in_both_languages() -> None:
    both = {language: page_words(language) | {
        f"{name}.{part}": text for name, parts in picture_words(language).items() for part, text in parts.items()
    } for language in ("en", "ko")}  # fmt: skip
    assert both["en"].keys() == both["ko"].keys()
    for name, english in both["en"].items():
        korean = both["ko"][name]
        assert not HANGUL.search(english)
        assert HANGUL.search(korean)
        fields = [{field for _, field, _, _ in Formatter().parse(text) if field} for text in (english, korean)]
        assert fields[0] == fields[1], name
