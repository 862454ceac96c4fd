"""Runs out of a file: every format says the same, and an earlier run's nearfar.json repeats it bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands.conftest import FAST, Run

OURS = {"README.md", "nearfar.json", "report.html", "history.jsonl"}
"""They hold the name of the folder and the time that was taken."""


def model_files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in OURS)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def record_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "nearfar.json").read_text("utf-8"))
    return found


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Path, Path]:
    """Tables that are read with --column and --where: one to train on, one to measure on."""
    rows = [(f"cat {n} of {n % 7}", f"a cat {n}", "ad"[n % 3 == 0]) for n in range(120)]
    paths = tmp_path / "data.tsv", tmp_path / "dev.tsv"
    for path, part in zip(paths, (rows[:80], rows[80:]), strict=True):
        path.write_text("premise\thypothesis\tlabel\n" + "".join("\t".join(row) + "\n" for row in part), "utf-8")
    return paths


READ = ("--column", "anchor=premise", "--column", "positive=hypothesis", "--where", "label=a")


@pytest.mark.parametrize("way", ["tables", "stream", "held out"])
def test_the_record_alone_repeats_a_run_bit_for_bit(
    way: str, run: Run, judged: tuple[Path, Path], tmp_path: Path
) -> None:
    data, dev = judged
    words = [data, *READ, *FAST, "--seed", 3, "--token-dropout", 0.2]
    words += {"tables": ["--eval", dev], "stream": ["--eval", dev, "--stream", "--steps", 5], "held out": []}[way]
    first, again = tmp_path / "first", tmp_path / "again"
    for folder, given in ((first, words), (again, ["--config", first / "nearfar.json"])):
        result = run("train", *given, "-o", folder)
        assert result.status == 0, result.err
    assert model_files(first) == model_files(again)
    assert "model.safetensors" in model_files(first)
    before, after = record_of(first), record_of(again)
    for name in ("run", "settings", "data", "evaluate_on", "measurements", "best_step"):
        assert before[name] == after[name], name
    assert before["run"]["stream"] == (way == "stream")  # type: ignore[index]


def test_changed_data_is_refused_unless_it_is_named(run: Run, judged: tuple[Path, Path], tmp_path: Path) -> None:
    data, dev = judged
    assert run("train", data, *READ, *FAST, "--eval", dev, "-o", tmp_path / "m").status == 0
    config = ("--config", tmp_path / "m/nearfar.json")
    was = record_of(tmp_path / "m")["data"][0]["fingerprint"][:12]  # type: ignore[index]
    for path in (data, dev):
        kept = path.read_text("utf-8")
        path.write_text(kept.replace("a cat 1", "one cat", 1).replace("a cat 110", "one cat", 1), "utf-8")
        result = run("train", *config, "-o", tmp_path / "again")
        assert result.status == 2
        assert f"{path}: found" in result.err
        assert "nearfar.json" in result.err
        assert (was in result.err) == (path == data)
        if path == data:
            path.write_text(kept, "utf-8")
    data.write_text(data.read_text("utf-8").replace("a cat 2", "two cats", 1), "utf-8")
    result = run("train", data, *config, "--eval", dev, "-o", tmp_path / "again")
    assert result.status == 0, result.err
    assert "other data than recorded" in result.out
    assert f"fingerprint {was}" in result.out


def test_data_that_is_named_anew_and_the_same_needs_no_note(
    run: Run, judged: tuple[Path, Path], tmp_path: Path
) -> None:
    data, _ = judged
    assert run("train", data, *READ, *FAST, "-o", tmp_path / "m").status == 0
    moved = data.rename(tmp_path / "moved.tsv")
    assert run("train", "--config", tmp_path / "m/nearfar.json", "-o", tmp_path / "lost").status == 2
    result = run("train", moved, "--config", tmp_path / "m/nearfar.json", "-o", tmp_path / "again")
    assert result.status == 0, result.err
    assert "recorded" not in result.out
    assert model_files(tmp_path / "m") == model_files(tmp_path / "again")


def test_other_versions_and_an_interruption_are_noted(
    run: Run, tables: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    record = record_of(model) | {"interrupted": True}
    record["versions"] = {**record["versions"], "torch": "1.0", "threads": "99"}  # type: ignore[dict-item]
    (tmp_path / "nearfar.json").write_text(json.dumps(record), "utf-8")
    result = run("train", "--config", tmp_path / "nearfar.json", "-o", tmp_path / "again")
    assert result.status == 0, result.err
    assert "not 1.0" in result.out
    assert "not 99" in result.out
    assert "interrupted" in result.out


def test_a_record_whose_tables_were_edited_is_refused(run: Run, model: Path, tmp_path: Path) -> None:
    record = record_of(model)
    record["run"]["data"] *= 2  # type: ignore[index]
    (tmp_path / "nearfar.json").write_text(json.dumps(record), "utf-8")
    result = run("train", "--config", tmp_path / "nearfar.json", "-o", tmp_path / "again")
    assert result.status == 2
    assert "found 2 tables under run, wanted 1" in result.err


def test_a_new_end_takes_the_place_of_the_recorded_one(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("train", "--config", model / "nearfar.json", "-o", tmp_path / "m", "--epochs", 4)
    assert result.status == 0, result.err
    was, now = (record_of(folder)["settings"] for folder in (model, tmp_path / "m"))
    assert (was["epochs"], now["epochs"], now["steps"]) == (2, 4, 2 * was["steps"])  # type: ignore[index]


FORMATS = {
    "toml": "epochs = 2\nwidth = 16\nvocabulary = 400\nlearning_rate = 5e-3\n[run]\ndata = [DATA]\n",
    "yaml": "epochs: 2\nwidth: 16\nvocabulary: 400\nlearning_rate: 5e-3\nrun:\n  data: [DATA]\n",
    "yml": "settings:\n  {epochs: 2, width: 16, vocabulary: 400, learning_rate: 5.e-3}\nrun: {data: [DATA]}\n",
    "json": '{"epochs": 2, "width": 16, "vocabulary": 400, "learning_rate": 5e-3, "run": {"data": [DATA]}}',
}


def test_every_format_says_the_same(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    folders = []
    for suffix, text in FORMATS.items():
        path = tmp_path / f"run.{suffix}"
        path.write_text(text.replace("DATA", json.dumps(str(tables["pairs.tsv"]))), "utf-8")
        folders.append(tmp_path / suffix)
        result = run("train", "--config", path, "-o", folders[-1])
        assert result.status == 0, result.err
    first, *others = ([model_files(folder), record_of(folder)["settings"]] for folder in folders)
    assert all(other == first for other in others)
    assert first[1]["learning_rate"] == 5e-3  # type: ignore[index]


FAULTS = {
    "a.yaml": ("temprature: 1\n", "unknown setting 'temprature'; did you mean temperature?"),
    "b.yaml": ("run: {daat: [x]}\n", "unknown name in run 'daat'; did you mean data?"),
    "c.toml": ("[settings]\nepochs = 1\n[runs]\ndata = ['x']\n", "unknown table 'runs'; did you mean run?"),
    "d.yaml": ("run: {data: x}\n", "data: found 'x', wanted a valid list"),
    "e.yaml": ("epochs: [\n", "found no readable TOML, YAML or JSON settings"),
    "f.yaml": ("epochs: two\n", "epochs: found 'two', wanted a valid integer"),
    "g.yaml": ("1: 2\n", "unknown setting 1"),
    "h.yaml": ("run: [x]\n", "found a list, wanted a table"),
    "i.yaml": ("epochs: 1\n", "DATA: found none"),
    "j.yaml": ("!!python/object/apply:os.getcwd []\n", "found no readable"),
    "k.yaml": ("license: Not A Name\n", "license: found 'Not A Name', wanted a short name of letters"),
    "k2.yaml": ("language: [en, <b>]\n", "language: found ['en', '<b>'], wanted a short name of letters"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_file_is_one_line(name: str, run: Run, tmp_path: Path) -> None:
    text, wanted = FAULTS[name]
    (tmp_path / name).write_text(text, "utf-8")
    result = run("train", "--config", tmp_path / name, "-o", tmp_path / "out")
    assert result.status == 2
    assert wanted in result.err
    assert len(result.err.splitlines()) == 1


def test_a_file_of_settings_that_is_not_there(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    result = run("train", tables["pairs.tsv"], "--config", tmp_path / "no.toml", "-o", tmp_path / "out")
    wanted = "No such file or directory, wanted a file of settings in TOML, YAML or JSON"
    assert (result.status, result.err) == (2, f"nearfar: {tmp_path / 'no.toml'}: {wanted}\n")


def test_an_encoder_that_ends_in_a_slash_is_a_folder(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not asked of the hub, which would add a line of its own."""
    monkeypatch.chdir(tmp_path)
    result = run("train", tables["pairs.tsv"], "--encoder", "none/", "-o", tmp_path / "out")
    assert (result.status, result.err) == (2, "nearfar: none/: found no folder, wanted the folder of a model\n")
