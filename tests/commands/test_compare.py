"""`nearfar compare` on small tables: the table, what is left out, and going on after kill -9."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nearfar.commands import main
from tests.commands.conftest import Run

SMALL = (
    *("--steps", 12, "--batch-size", 32, "--vocabulary", 400, "--width", 16, "--evaluations", 4, "--held-out", 0.2),
    *("--seeds", 2, "--trials", 2),
)
THREE = ("--objective", "infonce", "--objective", "lifted", "--objective", "npair")


def figures(out: Path) -> Any:
    """All of comparison.json that does not depend on the clock."""
    found = json.loads((out / "comparison.json").read_text("utf-8"))
    for one in found["standings"]:
        for run in (*one["runs"], *one["trials"]):
            for name in ("seconds", "peak_mib"):
                run.pop(name, None)
    return found


@pytest.fixture(scope="module")
def compared(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of three objectives that was never interrupted."""
    out = tmp_path_factory.mktemp("compared") / "whole"
    with pytest.raises(SystemExit) as leaving:
        main(line(tables, out))
    assert leaving.value.code == 0
    return out


def line(tables: dict[str, Path], out: Path) -> list[str]:
    return [str(word) for word in ("compare", tables["pairs.tsv"], "-o", out, *THREE, *SMALL, "--keep-best")]


def test_the_table_says_what_the_runs_bear_out(compared: Path) -> None:
    found = figures(compared)
    assert found["compared"] == "objective"
    assert found["figure"] == "mrr@10"
    names = [one["name"] for one in found["standings"]]
    assert sorted(names) == ["infonce", "lifted", "npair"]
    means = [sum(run["test"][0]["figures"]["mrr@10"] for run in one["runs"]) / 2 for one in found["standings"]]
    assert means == sorted(means, reverse=True)
    assert [one["figure"] for one in found["standings"]] == pytest.approx(means)
    for one in found["standings"]:
        assert one["interval"][0] <= one["figure"] <= one["interval"][1]
        assert len(one["trials"]) == 2
        best = max((t for t in one["trials"] if t["state"] == "complete"), key=lambda trial: trial["figure"])
        assert one["value"] == best["value"]
    assert {one["name"]: one["searched"].split()[0] for one in found["standings"]} == {
        "infonce": "temperature",
        "lifted": "margin",
        "npair": "learning",
    }
    table = (compared / "table.md").read_text("utf-8")
    assert found["recommendation"] in table
    assert "held out of the data" in table
    assert "Nothing was chosen on the test part." in table


def test_the_page_stands_alone_with_curves_and_forces(compared: Path) -> None:
    page = (compared / "report.html").read_text("utf-8")
    assert page.count("<svg") == 4
    for word in ("Learning curves", "what it pulls and pushes", "effective rank", "infonce", "lifted"):
        assert word in page
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_best_model_is_kept(compared: Path) -> None:
    from sentence_transformers import SentenceTransformer

    assert SentenceTransformer(str(compared / "model"), device="cpu").encode(["the cat"]).shape == (1, 16)
    record = json.loads((compared / "model" / "nearfar.json").read_text("utf-8"))
    every = [run for one in figures(compared)["standings"] for run in one["runs"]]
    best = max(every, key=lambda run: run["validation"])
    assert max(entry["measurements"][0]["mrr@10"] for entry in record["history"]) == best["validation"]


def test_killed_and_resumed_it_is_the_same(compared: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "killed"
    words = [sys.executable, "-m", "nearfar", *line(tables, out)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # as in this process
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone) as process:
        while process.poll() is None and len(list(out.glob("runs/*.json"))) < 7:
            time.sleep(0.002)
        process.kill()
    assert not (out / "comparison.json").exists()
    before = {path.name: path.read_bytes() for path in out.glob("runs/*.json")}
    assert len(before) >= 7
    with pytest.raises(SystemExit) as leaving:
        main([*line(tables, out), "--resume"])
    assert leaving.value.code == 0
    assert figures(out) == figures(compared)
    assert all((out / "runs" / name).read_bytes() == content for name, content in before.items())
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in compared.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["killed"]


def test_going_on_needs_the_same_comparison(compared: Path, tables: dict[str, Path], run: Run, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(compared, out)
    words = ("compare", tables["pairs.tsv"], "-o", out, *THREE, *SMALL)
    result = run(*words)
    assert result.status == 2
    assert "wanted --resume to go on with it" in result.err
    result = run(*words, "--resume", "--seeds", 3)
    assert result.status == 2
    assert "seeds: found 3, wanted 2 as when it began" in result.err
    result = run(*words, "--resume", "--width", 8)
    assert result.status == 2
    assert "width: found 8, wanted 16" in result.err
    assert figures(out) == figures(compared)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--objective", "infonse"), "did you mean infonce?"),
        (("--objective", "infonce:heat=3"), "found option 'heat'"),
        (("--vary", "colour"), "--vary: found 'colour'"),
        (("--vary", "view", "--value", "crip"), "crip"),
        (("--vary", "negatives", "--value", "none"), "--value: found 'none', wanted one of in-batch"),
        (("--vary", "temperature", "--value", "-1"), "--value: found '-1', wanted a number above 0"),
        (("--vary", "batch-size", "--value", "1.5"), "--value: found '1.5', wanted a whole number of rows"),
        (("--vary", "batch-size", "--objective", "infonce", "--objective", "lifted"), "--objective: found 2"),
        (("--value", "0.1"), "--value: found some, wanted none where objectives are compared"),
        (("--objective", "infonce"), "found 1 to compare, wanted at least 2"),
        (("--objective", "infonce", "--objective", "cosent"), "CoSENTLoss has no place for"),
    ],
)
def test_bad_words_cost_nothing(
    words: tuple[str, ...], wanted: str, tables: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    result = run("compare", tables["pairs.tsv"], "-o", tmp_path / "out", *words, *SMALL)
    assert result.status == 2
    assert wanted in result.err
    assert not (tmp_path / "out").exists()


def test_too_few_rows_to_hold_out(tables: dict[str, Path], run: Run, tmp_path: Path) -> None:
    few = tmp_path / "few.tsv"
    few.write_text("anchor\tpositive\na b\tc d\ne f\tg h\n", "utf-8")
    result = run("compare", few, "-o", tmp_path / "out", *THREE)
    assert result.status == 2
    assert "few.tsv (2 rows, pairs): found nothing that can be held out, wanted --eval FILE" in result.err
    few.write_text("anchor\tpositive\na b\tc d\n", "utf-8")
    sts = tables["sts.jsonl"]
    result = run("compare", few, "-o", tmp_path / "out", *THREE, "--eval", sts, "--validation", sts)
    assert result.status == 2
    assert "found 1 row, wanted at least 2" in result.err


def test_what_the_data_cannot_serve_is_left_out(tables: dict[str, Path], run: Run, tmp_path: Path) -> None:
    """Triples: NT-Xent and NCE do without the negatives, CoSENT is left out; and other tables choose and judge."""
    rows = tables["pairs.tsv"].read_text("utf-8").splitlines()[1:]
    triples = tmp_path / "triples.tsv"
    others = [rows[(place + 7) % len(rows)].split("\t")[1] for place in range(len(rows))]
    lines = [f"{row}\t{other}\n" for row, other in zip(rows, others, strict=True)]
    triples.write_text("anchor\tpositive\tnegative\n" + "".join(lines), "utf-8")
    names = [word for name in ("infonce", "ntxent", "nce", "cosent") for word in ("--objective", name)]
    sets = ("--eval", tables["sts.jsonl"], "--validation", tables["pairs.tsv"])
    once = ("--seeds", 1, "--trials", 1)
    result = run("compare", triples, "-o", tmp_path / "out", *names, *sets, *SMALL, *once)
    assert result.status == 0, result.err
    found = figures(tmp_path / "out")
    assert {one["name"] for one in found["standings"]} == {"infonce", "ntxent", "nce"}
    assert found["figure"] == "spearman"
    assert "CoSENTLoss has no place for" in found["left_out"]["cosent"]
    notes = " ".join(found["notes"])
    assert "ntxent: without the negatives of the table" in notes
    assert "nce: without the negatives of the table" in notes
    assert "infonce: without" not in notes
    assert f"Test: {tables['sts.jsonl']}." in notes


@pytest.mark.parametrize(
    ("vary", "values"),
    [("temperature", ("0.05", "0.5")), ("batch-size", ("16", "32")), ("negatives", ("in-batch", "mixed"))],
)
def test_other_things_vary_by_the_same_engine(
    vary: str, values: tuple[str, ...], tables: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    words = [word for value in values for word in ("--value", value)]
    once = ("--seeds", 1, "--trials", 1, "--steps", 4)
    result = run("compare", tables["pairs.tsv"], "-o", tmp_path / "out", "--vary", vary, *words, *SMALL, *once)
    assert result.status == 0, result.err
    found = figures(tmp_path / "out")
    assert {one["name"] for one in found["standings"]} == set(values)
    assert [len(one["trials"]) for one in found["standings"]] == 2 * [0 if vary == "temperature" else 1]


def test_views_of_lone_texts(tables: dict[str, Path], run: Run, tmp_path: Path) -> None:
    sets = ("--eval", tables["sts.jsonl"], "--validation", tables["pairs.tsv"])
    words = ("--vary", "view", "--value", "crop:keep=0.5", "--value", "dropout", "--value", "gaussian")
    once = ("--seeds", 1, "--trials", 0, "--minutes", 0.02)
    result = run("compare", tables["texts.txt"], "-o", tmp_path / "out", *words, *sets, *SMALL, *once)
    assert result.status == 0, result.err
    found = figures(tmp_path / "out")
    assert {one["name"] for one in found["standings"]} == {"crop:keep=0.5", "dropout", "gaussian"}
    assert "0.4 seconds of training a run, 0.02 minutes in all" in " ".join(found["notes"])
