"""The pages of the objectives: one for each, with a picture drawn by its own gradient."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from nearfar.data.views import thesaurus
from nearfar.objectives import REGISTRY

DOCS = Path(__file__).parent.parent / "docs"
NOTES = tomllib.loads((DOCS / "objectives.toml").read_text("utf-8"))


def script(name: str) -> ModuleType:
    """A script under docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py."""
    return script("generate")


def test_every_objective_has_its_notes() -> None:
    assert set(NOTES) == set(REGISTRY)
    for notes in NOTES.values():
        assert set(notes) == {"pulls", "choose", "avoid", "differs"}


@pytest.mark.parametrize("name", REGISTRY)
def test_a_near_candidate_is_drawn_and_a_far_one_is_not(name: str, generate: ModuleType) -> None:
    """What the pictures show, at a margin and temperature where both still move."""
    _, objective = list(generate.settings_of(REGISTRY[name]))[-1]
    near, far = ([force for _, force in generate.forces(objective, side)] for side in ("near", "far"))
    assert max(near) > 0
    assert min(far) < 0
    if name not in ("angle", "marginmse", "ntxent"):  # fold at an angle, follow a teacher, push near ones off others
        assert min(near) >= -1e-12
    assert f"nearfar.{REGISTRY[name].__name__}" in generate.page(name, REGISTRY[name], NOTES[name])


def test_a_picture_is_svg(generate: ModuleType) -> None:
    assert generate.picture(REGISTRY["infonce"]).startswith("<svg")


def test_the_page_of_views_is_what_its_script_writes() -> None:
    """Every example on it is made again."""
    pytest.importorskip("kiwipiepy", reason="kiwipiepy is not installed (nearfar[ko])")
    pytest.importorskip("nltk", reason="nltk is not installed (nearfar[wordnet])")
    if not thesaurus.WORDNET.is_dir():
        pytest.skip("WordNet is not installed (apt-get install wordnet-base)")
    page = (DOCS / "views.md").read_text("utf-8")
    assert script("generate_views").written(page) == page


def test_the_page_of_the_analysis_is_what_its_script_writes() -> None:
    page = (DOCS / "analysis.md").read_text("utf-8")
    assert script("generate_analysis").written(page) == page


def test_the_site_publishes_pages_pictures_and_styles_alone() -> None:
    settings = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text("utf-8"))
    left_out = settings["exclude_docs"].split()
    there = [path for path in DOCS.rglob("*.*") if "__pycache__" not in path.parts]
    published = [path for path in there if not any(path.match(pattern) for pattern in left_out)]
    assert {path.suffix for path in published} <= {".md", ".svg", ".css"}
    assert all((DOCS / style).exists() for style in settings["extra_css"])


def test_a_docstring_in_full_is_a_block_whose_lines_the_style_wraps(generate: ModuleType) -> None:
    page = generate.page("infonce", REGISTRY["infonce"], NOTES["infonce"])
    assert "## In full\n\n```{ .text .in-full }\n" in page
    assert ".in-full pre > code" in (DOCS / "style.css").read_text("utf-8")
