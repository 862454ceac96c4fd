"""SIGTERM in the midst of a command: what it would have written is not there at all, nor anything half written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Run, sentences

ENDED = 128 + signal.SIGTERM


def _terminate(*places: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "words",
    [
        ("augment", "texts.txt", "-o", "out.jsonl", "--view", "crop"),
        ("convert", "sts.jsonl", "-o", "out.jsonl", "--near", 4),
        ("mine", "MODEL", "pairs.tsv", "-o", "out.parquet"),
        ("encode", "MODEL", "texts.txt", "-o", "out.npy"),
        ("encode", "MODEL", "texts.txt", "-o", "out.parquet"),
        ("analyze", "MODEL", "pairs.tsv", "-o", "out.html", "--json", "out.json", "--resamples", 0),
        ("evaluate", "MODEL", "pairs.tsv", "--json", "out.json"),
        ("rate", "pairs.tsv", "--tries", 20, "--json", "out.json"),
    ],
    ids=lambda words: " ".join(map(str, words[:2])),
)
def test_a_file_is_whole_or_not_there(
    words: tuple[Any, ...],
    run: Run,
    tables: dict[str, Path],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "replace", _terminate)  # all is written, and about to get its name
    before = signal.getsignal(signal.SIGTERM)
    found = run(*({"MODEL": model}.get(str(word), tables.get(str(word), word)) for word in words))
    assert found.status == ENDED, found.err
    assert [*tmp_path.iterdir()] == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_pictures_are_whole_or_not_there(
    run: Run, tables: dict[str, Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def second(source: Any, place: Any) -> None:
        if str(place).endswith(".png"):
            _terminate()
        replace(source, place)

    monkeypatch.setattr(os, "replace", second)
    pictures = tmp_path / "pictures"
    out = tmp_path / "out.html"
    found = run("analyze", model, tables["pairs.tsv"], "-o", out, "--pictures", pictures, "--resamples", 0)
    assert found.status == ENDED, found.err
    assert [path.suffix for path in pictures.iterdir()] == [".svg"]


def test_a_model_that_is_replaced_stays_until_the_new_one_is_there(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "m", os.rename
    out.mkdir()
    (out / "mine.txt").write_text("kept", "utf-8")

    def between(source: Any, place: Any) -> None:
        rename(source, place)
        if Path(source) == out:
            _terminate()

    monkeypatch.setattr(os, "rename", between)
    found = run("export", model, "-o", out, "--overwrite")
    assert found.status == ENDED, found.err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_real_process_leaves_nothing(workers: int, tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    texts.write_text("".join(f"{number} {a}\n" for number in range(200) for a, _ in sentences(500, seed=1)), "utf-8")
    words = ["augment", texts, "-o", out, "--view", "crop", "--view", "typo", "--workers", workers, "--samples", 0]
    with subprocess.Popen([sys.executable, "-m", "nearfar", *map(str, words)], stderr=subprocess.PIPE) as process:
        while process.poll() is None and not any(".partial" in path.name for path in tmp_path.iterdir()):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == ENDED, err
    assert b"nearfar:" not in err  # though a worker that is just being made may complain
    assert [path.name for path in tmp_path.iterdir()] == ["texts.txt"]
