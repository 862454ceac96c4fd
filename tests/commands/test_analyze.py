"""`nearfar analyze`: the page, the numbers, the pictures; what is wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import Run

FAST = ("--resamples", 20)


def test_pairs_make_a_page_numbers_and_pictures(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    page, numbers, pictures = tmp_path / "report.html", tmp_path / "figures.json", tmp_path / "pictures"
    words = ("-o", page, "--json", numbers, "--pictures", pictures, "--view", "delete", *FAST)
    result = run("analyze", model, tables["pairs.tsv"], *words)
    assert result.status == 0, result.err
    html = page.read_text("utf-8")
    assert html.lstrip().startswith("<!doctype html>")
    found = json.loads(numbers.read_text("utf-8"))
    assert found["model"] == str(model)
    assert {"alignment", "uniformity", "auc", "hubness", "mrr@10", "invariance:delete"} <= found["figures"].keys()
    for figure in found["figures"].values():
        assert figure["title"] in html
        assert f"{figure['meaning']}" in html.replace("&#39;", "'")
    assert {f"{name}.{kind}" for name in ("map", "similarity", "plane", "views") for kind in ("svg", "png")} <= {
        path.name for path in pictures.iterdir()
    }
    assert "wrote" in result.out
    again = run("analyze", model, tables["pairs.tsv"], "-o", page)
    assert again.status == 2
    assert "--overwrite" in again.err


def test_korean_and_a_sample(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = run("analyze", model, tables["labels.csv"], "-o", page, "--language", "ko", "--texts", 50, *FAST)
    assert result.status == 0, result.err
    html = page.read_text("utf-8")
    assert '<html lang="ko">' in html
    assert "120행 가운데 무작위로 뽑은 50행" in html
    assert "공간의 지도" in html


def test_too_few_texts_leave_figures_out_and_say_so(run: Run, model: Path, tmp_path: Path) -> None:
    few, page = tmp_path / "few.txt", tmp_path / "report.html"
    few.write_text("one text\nanother text\n", "utf-8")
    result = run("analyze", model, few, "-o", page, *FAST)
    assert result.status == 0, result.err
    assert "2 distinct texts, wanted at least 10" in page.read_text("utf-8")


def test_one_label_leaves_figures_of_labels_out(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    one, page = tmp_path / "one.csv", tmp_path / "report.html"
    texts = tables["texts.txt"].read_text("utf-8").splitlines()
    one.write_text("text,label\n" + "".join(f"{text},same\n" for text in texts), "utf-8")
    assert run("analyze", model, one, "-o", page, "--json", tmp_path / "n.json", *FAST).status == 0
    assert "knn_accuracy" in json.loads((tmp_path / "n.json").read_text("utf-8"))["left_out"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--language", "fr"), "--language: found 'fr', wanted en or ko"),
        (("--view", "nothing"), "nothing"),
        (("--temperature", "0"), "--temperature: found '0.0', wanted a number above 0"),
        (("--temperature", "inf"), "--temperature: found 'inf'"),
        (("--json", "report.html", "-o", "report.html"), "found the name of two files to write"),
        (("--pictures", __file__), "which cannot be a folder"),
        (("-o", "no-such-folder/report.html"), "no folder"),
    ],
)
def test_wrong_options_are_one_line(
    words: tuple[str, ...], said: str, run: Run, model: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    result = run("analyze", model, tables["pairs.tsv"], "-o", tmp_path / "report.html", *words)
    assert result.status == 2
    assert said in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_is_one_line(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    result = run("analyze", tmp_path / "folder", tables["pairs.tsv"], "-o", tmp_path / "report.html")
    assert result.status == 2
    assert result.err.count("\n") == 1
    assert "folder" in result.err


def test_a_model_that_gives_nan_is_one_line(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    from nearfar import open_model

    spoilt = open_model(str(model))
    for parameter in spoilt.parameters():
        parameter.data.fill_(float("nan"))
    spoilt.save(str(tmp_path / "spoilt"))
    result = run("analyze", tmp_path / "spoilt", tables["texts.txt"], "-o", tmp_path / "report.html")
    assert result.status == 2
    assert "NaN" in result.err
    assert result.err.count("\n") == 1
