"""`nearfar evaluate`, `encode`, `objectives`, `--version` and the help texts."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nearfar import open_model
from tests.commands.conftest import Run


def test_evaluate_infers_the_task(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    data = [tables[name] for name in ("sts.jsonl", "pairs.tsv", "labels.csv")]
    result = run("evaluate", model, *data, "--json", tmp_path / "figures.json")
    assert result.status == 0, result.err
    written = json.loads((tmp_path / "figures.json").read_text("utf-8"))["measurements"]
    assert [m["task"] for m in written] == ["sts", "retrieval", "labels"]
    assert list(written[0]["figures"]) == ["spearman", "pearson"]
    assert set(written[1]["figures"]) == {"mrr@10", "recall@1", "recall@10", "ndcg@10"}
    assert set(written[2]["figures"]) == {"knn_accuracy", "linear_accuracy"}
    for measurement in written:
        for name, (low, high) in measurement["intervals"].items():
            assert low <= measurement["figures"][name] <= high
        for value in measurement["figures"].values():
            assert f"{value:.4f}" in result.out


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_encode_writes_what_the_model_says(
    suffix: str, run: Run, model: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / f"vectors{suffix}"
    assert run("encode", model, tables["texts.txt"], "-o", path).status == 0
    texts = tables["texts.txt"].read_text("utf-8").splitlines()
    if suffix == ".npy":
        vectors = np.load(path)
    else:
        table = pq.read_table(path)
        assert table["text"].to_pylist() == texts
        vectors = np.array(table["vector"].to_pylist(), np.float32)
    np.testing.assert_allclose(vectors, open_model(model).encode(texts), atol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = run("encode", model, tables["texts.txt"], "-o", path)
    assert again.status == 2
    assert "--overwrite" in again.err


def test_encode_takes_one_role(run: Run, model: Path, tables: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "positives.npy"
    assert run("encode", model, tables["pairs.tsv"], "-o", path, "--role", "positive").status == 0
    positives = [line.split("\t")[1] for line in tables["pairs.tsv"].read_text("utf-8").splitlines()[1:]]
    np.testing.assert_allclose(np.load(path), open_model(model).encode(positives), atol=1e-6)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["evaluate", "./nowhere", "sts.jsonl"], "nowhere"),
        (["evaluate", "MODEL", "texts.txt"], "texts"),
        (["evaluate", "MODEL", "no.tsv"], "no.tsv"),
        (["encode", "MODEL", "texts.txt", "-o", "v.bin"], ".npy"),
        (["encode", "MODEL", "texts.txt", "-o", "no/v.npy"], "no"),
        (["encode", "MODEL", "pairs.tsv", "-o", "v.npy", "--role", "negative"], "negative"),
        (["encode", "MODEL", "texts.txt", "-o", "x" * 300 + ".npy"], "name too long"),
        (["evaluate", "MODEL", "labels.csv", "--seed", 2**32], "--seed"),
        (["evaluate", "MODEL", "sts.jsonl", "--json", "sts.jsonl"], "sts.jsonl: found a file that is read as well"),
        (["evaluate", "MODEL", ".", "--json", "sts.jsonl"], "sts.jsonl: found a file that is read as well"),
        (["evaluate", "./[/x]", "sts.jsonl"], "./[/x]: found no folder"),
        (["dance"], "dance"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    words: list[str], wanted: str, run: Run, model: Path, tables: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tables["pairs.tsv"].parent
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    result = run(*(model if word == "MODEL" else word for word in words))
    assert result.status == 2, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    assert wanted in result.err
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which only Linux has")
def test_figures_are_written_whole_or_not_at_all(
    run: Run, model: Path, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "figures.json"
    path.write_text("old", "utf-8")
    result = run("evaluate", model, tables["sts.jsonl"], "--json", "/dev/full")
    assert (result.status, "/dev/full: could not be written (No space left" in result.err) == (2, True)
    monkeypatch.setattr(os, "replace", full)
    result = run("evaluate", model, tables["sts.jsonl"], "--json", path)
    assert (result.status, f"{path}: could not be written (No space left" in result.err) == (2, True)
    assert [(p.name, p.read_text("utf-8")) for p in tmp_path.iterdir()] == [("figures.json", "old")]


def test_a_model_that_was_spoilt_writes_no_vectors(
    run: Run, model: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    spoilt = open_model(model)
    spoilt[0].embedding.weight.data.fill_(float("nan"))
    spoilt.save(str(tmp_path / "spoilt"))
    result = run("encode", tmp_path / "spoilt", tables["texts.txt"], "-o", tmp_path / "v.npy")
    assert (result.status, "NaN or infinity" in result.err) == (2, True)
    assert [p.name for p in tmp_path.iterdir()] == ["spoilt"]


def test_objectives_lists_the_registry(run: Run) -> None:
    from nearfar.objectives import REGISTRY

    result = run("objectives")
    assert result.status == 0
    assert all(name in result.out for name in REGISTRY)


@pytest.mark.parametrize("command", ["train", "evaluate", "encode", "mine", "objectives", "demo"])
def test_help_has_an_example(command: str, run: Run) -> None:
    result = run(command, "--help")
    assert result.status == 0
    assert command == "objectives" or f"nearfar {command}" in result.out


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("nearfar 0.")
