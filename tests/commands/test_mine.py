"""`nearfar mine`: the file it writes, what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import nearfar as nf
from tests.commands.conftest import FAST, Run


def test_what_is_mined_trains(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    out, counts = tmp_path / "mined.jsonl", tmp_path / "counts.json"
    result = run(
        "mine", model, tables["pairs.tsv"], "-o", out, "--count", 4, "--relative-margin", 0.05, "--json", counts,
        "--corpus", tables["texts.txt"],
    )  # fmt: skip
    assert result.status == 0, result.err
    table = nf.read_table(out)
    assert table.negatives == ("negative_1", "negative_2", "negative_3", "negative_4")
    assert {"positive_score", "negative_4_score"} <= set(json.loads(out.read_text("utf-8").splitlines()[0]))
    said = json.loads(counts.read_text("utf-8"))
    assert said["rows_written"] == len(table) == 240
    for number in said["neighbours"].values():
        assert f"{number:,}" in result.out
    assert "anchor" in said["neighbours"]  # texts.txt holds the anchors themselves
    assert run("train", out, "-o", tmp_path / "model", *FAST).status == 0


@pytest.mark.parametrize("words", [["--method", "mix"], ["--draw", "random", "--skip", 2, "--window", 9], ["--judge"]])
def test_each_way_is_the_same_every_time(
    words: list[object], run: Run, model: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    options = [*words, model] if words == ["--judge"] else words
    first, again = tmp_path / "first.tsv", tmp_path / "again.tsv"
    for out in (first, again):
        result = run("mine", model, tables["pairs.tsv"], "-o", out, *options)
        assert result.status == 0, result.err
    assert first.read_bytes() == again.read_bytes()


def test_by_words_alone(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "mined.csv"
    assert run("mine", "bm25", tables["pairs.tsv"], "-o", out, "--count", 1).status == 0
    table = nf.read_table(out)
    assert table.negatives == ("negative",)
    for anchor, negative in zip(table.column("anchor"), table.column("negative"), strict=True):
        assert set(anchor.split()) & set(negative.replace(",", "").split())


FEW = "anchor\tpositive\na\tone cat\nb\ttwo cats\nb\tthree cats\nc\tfour cats\n"


def test_more_negatives_than_candidates(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text(FEW, "utf-8")
    out = tmp_path / "mined.jsonl"
    result = run("mine", model, tmp_path / "few.tsv", "-o", out, "--count", 10)
    assert result.status == 0, result.err
    said = " ".join(result.out.split())
    assert "wanted 10 negatives, but among 4 candidates no anchor has more than 3" in said
    assert "1 of 3 anchors have fewer than 3 negatives (theirs are repeated)" in said
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(rows) == 4
    for row in rows:
        negatives = [row[f"negative_{i}"] for i in (1, 2, 3)]
        assert row["positive"] not in negatives
        wanted = {"one cat", "two cats", "three cats", "four cats"} - {
            other["positive"] for other in rows if other["anchor"] == row["anchor"]
        }
        assert set(negatives) == wanted
    dropped = tmp_path / "dropped.jsonl"
    result = run("mine", model, tmp_path / "few.tsv", "-o", dropped, "--count", 10, "--fewer", "drop")
    assert result.status == 0
    assert "1 of 3 anchors have fewer than 3 negatives (their rows are left out)" in " ".join(result.out.split())
    assert len(dropped.read_text("utf-8").splitlines()) == 2


def test_forms(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text(FEW, "utf-8")
    for form, kind, rows in (("triplets", "pairs", 10), ("pairs", "scored", 12)):
        out = tmp_path / f"{form}.csv"
        result = run("mine", model, tmp_path / "few.tsv", "-o", out, "--format", form, "--count", 9)
        assert result.status == 0, result.err
        table = nf.read_table(out)
        assert (table.kind, len(table)) == (kind, rows)
    assert sum(table.column("score")) == 4
    out = tmp_path / "lists.jsonl"
    words = ["mine", model, tmp_path / "few.tsv", "-o", out, "--format", "lists", "--include-positives", "--count", 4]
    assert run(*words).status == 0
    lists = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {row["anchor"]: sum(row["labels"]) for row in lists} == {"a": 1, "b": 2, "c": 1}
    assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in lists)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["MODEL", "texts.txt", "-o", "m.tsv"], "found text, wanted anchor and positive"),
        (["MODEL", "pairs.tsv", "-o", "m.tsv", "--count", 0], "--count: found 0, wanted at least 1"),
        (["MODEL", "pairs.tsv", "-o", "m.tsv", "--skip", 9, "--window", 9], "--window: found an end at 9"),
        (["MODEL", "pairs.tsv", "-o", "m.tsv", "--absolute-margin", 5], "found no negative for any of 240 anchors"),
        (["MODEL", "pairs.tsv", "-o", "m.tsv", "--corpus", "no.txt"], "no.txt"),
        (["./nowhere", "pairs.tsv", "-o", "m.tsv"], "./nowhere: found no folder"),
        (["MODEL", "pairs.tsv", "-o", "m.tsv", "--judge", "./nowhere"], "./nowhere: found no folder"),
        (["MODEL", "pairs.tsv", "-o", "labels.csv"], "labels.csv: found a file, wanted a free name or --overwrite"),
        (["MODEL", "pairs.tsv", "-o", "pairs.tsv", "--overwrite"], "found a file that is read as well"),
        (["MODEL", "pairs.tsv", "-o", "m.xml"], "m.xml: found format .xml"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--format", "lists"], "wanted .jsonl or .parquet"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--format", "rows"], "--format: found 'rows'"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--include-positives"], "wanted lists"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--method", "guess"], "--method: found 'guess'"),
        (["bm25", "pairs.tsv", "-o", "m.csv", "--method", "mix"], "--method: found mix with bm25 in the place of"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--draw", "best"], "--draw: found 'best'"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--judge-max-score", 1], "--judge: found none"),
        (
            ["MODEL", "pairs.tsv", "-o", "m.csv", "--judge", "MODEL", "--judge-max-score", 1, "--judge-min-score", 2],
            "nearfar: --judge-max-score: found 1.0, wanted at least the lowest, 2.0",
        ),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--batch-size", 0], "nearfar: --batch-size: found '0', wanted greater"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--json", "m.csv"], "--json: found the name of --output"),
        (["MODEL", "pairs.tsv", "-o", "m.csv", "--query-prompt-name", "x"], "found 'x'"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    words: list[object], wanted: str, run: Run, model: Path, tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tables["pairs.tsv"].parent
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = run("mine", *(model if word == "MODEL" else word for word in words))
    assert result.status == 2, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert wanted in result.err
    assert sorted(folder.iterdir()) == before
