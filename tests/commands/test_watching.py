"""What `nearfar train` says and leaves of a run that is watched, and `nearfar rate`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nearfar.commands.rate import show
from nearfar.objectives import REGISTRY
from nearfar.training.finder import RateTest
from nearfar.training.journal import read_journal
from tests.commands.conftest import FAST, Run
from tests.training.made import translations
from tests.training.test_watching import Spoilt


def test_history_report_and_warnings_are_written(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    rows = tables["texts.txt"].read_text("utf-8").splitlines()[:40]
    (tmp_path / "twice.txt").write_text("\n".join(2 * rows), "utf-8")
    words = (*FAST, "--watch-every", 1, "--eval", tables["sts.jsonl"], "--track", "tensorboard", "--patience", 1)
    result = run("train", tmp_path / "twice.txt", "-o", tmp_path / "m", *words)
    assert result.status == 0, result.err
    assert "warning: duplicates:" in " ".join(result.out.split())
    record = json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))
    lines = read_journal(tmp_path / "m/history.jsonl")
    for kind, name in (("reading", "readings"), ("measurement", "history"), ("warning", "warnings")):
        assert [{**one, "kind": kind} for one in record[name]] == [one for one in lines if one["kind"] == kind]
    assert record["readings"]
    assert list((tmp_path / "m/logs/nearfar").glob("events*"))
    page = (tmp_path / "m/report.html").read_text("utf-8")
    for title in ("Alignment and uniformity", "Effective rank", "Gradient norm", "Effective number", "Warnings"):
        assert title in page


def test_what_a_killed_run_knew_is_left(tables: dict[str, Path], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nearfar", "train", tables["pairs.tsv"], "-o", tmp_path / "m", *FAST]
    words += ["--steps", 100_000, "--epochs", 100_000, "--watch-every", 1]
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            found = list(tmp_path.glob(".m.*.partial/history.jsonl"))
            if found and found[0].read_text("utf-8").count("reading") > 5:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    (path,) = tmp_path.glob(".m.*.partial/history.jsonl")
    entries = read_journal(path)
    steps = [one["step"] for one in entries if one["kind"] == "reading"]
    assert len(steps) > 5
    assert steps == list(range(1, len(steps) + 1))


def write_translations(path: Path, count: int, seed: int) -> Path:
    table = translations(count, seed)
    rows = zip(table.column("anchor"), table.column("positive"), strict=True)
    path.write_text("anchor\tpositive\n" + "".join(f"{a}\t{b}\n" for a, b in rows), "utf-8")
    return path


def test_a_run_that_diverges_leaves_its_best_model(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "infonce", Spoilt)
    data, dev = (write_translations(tmp_path / f"{n}.tsv", count, n) for n, count in enumerate((200, 60)))
    words = (data, "--eval", dev, *FAST, "--epochs", 20, "--evaluations", 20, "--learning-rate", 0.02)
    result = run("train", "-o", tmp_path / "m", *words)
    assert result.status == 1
    for word in ("step 31", "the loss became nan", "nearfar rate", "the best model before that", str(tmp_path / "m")):
        assert word in result.err
    record = json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))
    assert record["best_step"] > 0
    assert [one["cause"] for one in record["warnings"]] == ["diverged"]
    assert run("evaluate", tmp_path / "m", dev).status == 0


def test_a_rate_beyond_all_bounds_leaves_nothing(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    words = (tables["pairs.tsv"], *FAST, "--learning-rate", "1e37", "--objective", "npair", "--epochs", 20)
    result = run("train", "-o", tmp_path / "m", *words)
    assert result.status == 1, result.out
    assert "try a lower learning rate" in result.err
    assert len(result.err.strip().splitlines()) == 1


def test_rate_suggests_and_draws(run: Run, tmp_path: Path) -> None:
    data = write_translations(tmp_path / "data.tsv", 300, 0)
    small: tuple[Any, ...] = (data, "--vocabulary", 400, "--width", 16, "--batch-size", 16, "--tries", 60)
    result = run("rate", *small, "--picture", tmp_path / "rate.svg", "--json", tmp_path / "rate.json")
    assert result.status == 0, result.err
    found = json.loads((tmp_path / "rate.json").read_text("utf-8"))
    assert f"--learning-rate {found['suggestion']:.1e}" in result.out
    assert "<svg" in (tmp_path / "rate.svg").read_text("utf-8")
    assert run("rate", *small, "--picture", tmp_path / "rate.png").status == 0
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")


def test_a_rate_test_says_whether_the_loss_rose(capsys: pytest.CaptureFixture[str]) -> None:
    for last, wanted in ((0.5, "falls as far as it was tried"), (2.5, "rises again from 2.00e-02 on")):
        show(RateTest((0.01, 0.02, 0.03), (2.0, 1.0, last), (2.0, 1.0, last), 0.02, 0.03 if last < 1 else 0.02))
        assert wanted in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--picture", "rate.pdf"], ".svg or .png"),
        (["--lowest", 1, "--highest", 0.1], "--lowest: found 1, wanted a number above 0 and below the highest"),
        (["--lowest", 0], "--lowest: found 0, wanted a number above 0"),
        (["--lowest", "nan"], "--lowest: found nan"),
        (["--lowest", 1e9], "--lowest: found 1e+09, wanted a number above 0 and below the highest rate, 5"),
        (["--tries", 3], "tries"),
        (["--objective", "infonse"], "infonce"),
    ],
)
def test_rate_refuses(
    words: list[object], wanted: str, run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("rate", tables["pairs.tsv"], *words)
    assert result.status == 2
    assert wanted in result.err
    assert list(tmp_path.iterdir()) == []
