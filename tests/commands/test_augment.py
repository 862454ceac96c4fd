"""`nearfar augment`: samples, then pairs in a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nearfar.data import read_table
from nearfar.data.views import VIEWS, Views
from tests.commands.conftest import Run


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfar.commands.shared.console.width", 200, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("name", ["p.jsonl", "p.tsv", "p.csv.gz", "p.parquet"])
def test_every_row_becomes_a_pair_of_each_epoch(name: str, run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / name
    settings = ["crop:keep=0.5", "typo:probability=0.5"]
    done = run("augment", tables["texts.txt"], "-o", out, "--view", settings[0], "--view", settings[1], "--epochs", 2)
    assert done.status == 0, done.err
    assert "wrote 200 pairs" in done.out
    assert "before" in done.out
    made, texts = read_table(out), read_table(tables["texts.txt"]).column("text")
    assert made.kind == "pairs"
    assert made.column("anchor") == [text for text in texts for _ in range(2)]
    views = Views.parse(settings)
    expected = [views.pair(text, seed=0, row=row, epoch=e)[1] for row, text in enumerate(texts) for e in range(2)]
    assert made.column("positive") == expected


def test_groups_come_along(run: Run, tmp_path: Path) -> None:
    source, out = tmp_path / "t.jsonl", tmp_path / "p.jsonl"
    groups = [f"g{number // 3}" for number in range(2_100)]
    rows = [{"text": f"text number {number}", "group": group} for number, group in enumerate(groups)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    done = run("augment", source, "-o", out, "--view", "swap", "--samples", 0, "--epochs", 2)
    assert done.status == 0, done.err
    assert read_table(out).column("group") == [group for group in groups for _ in range(2)]


def test_samples_are_rows_as_they_are_written(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    done = run("augment", tables["texts.txt"], "-o", out, "--view", "swap", "--samples", 3, "--seed", 4)
    pairs = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    shown = [pair for pair in pairs if pair["anchor"] in done.out and pair["positive"] in done.out]
    assert len(shown) >= 3
    assert (
        "before"
        not in run("augment", tables["texts.txt"], "-o", out, "--view", "swap", "--samples", 0, "--overwrite").out
    )


def test_the_number_of_workers_changes_nothing(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "t.txt"
    source.write_text("".join(f"row {row} of the table, 문장 {row}\n" for row in range(4500)), "utf-8")
    outs = [tmp_path / f"{workers}.jsonl" for workers in (1, 2)]
    words = ("--view", "delete", "--view", "adjacent", "--seed", 5, "--samples", 0)
    done = [run("augment", source, "-o", out, *words, "--workers", out.stem) for out in outs]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert all("adjacent: gave 4,500 texts back unchanged" in each.out for each in done)


def test_a_table_of_pairs_needs_a_role(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "p.jsonl"
    refused = run("augment", tables["pairs.tsv"], "-o", out, "--view", "crop")
    assert refused.status == 2
    assert "found anchor, positive, wanted text, or --role" in refused.err
    assert run("augment", tables["pairs.tsv"], "-o", out, "--view", "crop", "--role", "positive").status == 0
    assert read_table(out).column("anchor") == read_table(tables["pairs.tsv"]).column("positive")


def test_the_list_names_every_view(run: Run) -> None:
    done = run("augment", "--list")
    assert done.status == 0
    assert all(f" {name} " in done.out for name in VIEWS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--view", "corp"), "did you mean crop?"),
        (("--view", "dropout"), "found dropout, which changes vectors"),
        (("--view", "paraphrase:model=/nowhere"), "found no config.json in /nowhere"),
        ((), "--view"),
        (("--view", "crop", "--role", "label"), "--role: found 'label', wanted one of text"),
        (("--view", "crop", "-o", "p.xls"), "found format .xls"),
    ],
)
def test_wrong_input_is_named_and_nothing_written(
    words: tuple[str, ...], message: str, run: Run, tables: dict[str, Path], tmp_path: Path
) -> None:
    done = run("augment", tables["texts.txt"], "-o", tmp_path / "p.tsv", *words)
    assert done.status == 2
    assert message in done.err
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "p.tsv"
    out.write_text("mine")
    assert run("augment", tables["texts.txt"], "-o", out, "--view", "crop").status == 2
    assert out.read_text() == "mine"
