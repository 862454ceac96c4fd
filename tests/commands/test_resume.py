"""The real command killed, stopped and gone on with."""

from __future__ import annotations

import os
import random
import shlex
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from nearfar.commands import main
from tests.commands.conftest import Run
from tests.commands.killing import Line, assert_same_folder, begun, killed_at_random

SMALL = ("--batch-size", 32, "--vocabulary", 400, "--width", 16, "--evaluations", 5, "--held-out", 0.2)


@pytest.fixture(scope="session")
def whole(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("whole") / "m"
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in ("train", tables["pairs.tsv"], "-o", out, *SMALL, "--steps", 400)])
    assert leaving.value.code == 0
    return out


@pytest.fixture
def line(tables: dict[str, Path], tmp_path: Path) -> Line:
    """The same run, with many checkpoints, as it stands in a shell."""
    return Line(tmp_path / "m", ["train", tables["pairs.tsv"], *SMALL, "--steps", 400, "--checkpoint-every", 7])


def test_a_killed_run_goes_on_and_ends_the_same(run: Run, line: Line, whole: Path, tmp_path: Path) -> None:
    assert killed_at_random(line, random.Random(0))
    refused = run(*line.words, "-o", line.out)
    assert refused.status == 2
    for word in ("not finished", "step-0", "--resume", "--overwrite"):
        assert word in refused.err
    done = run(*line.words, "-o", line.out, "--resume")
    assert done.status == 0, done.err
    assert "goes on from" in done.out
    assert_same_folder(line.out, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("where", "stages"), [("nearfar.data.read_table", 0), ("nearfar.training.preparing.make_model", 1)]
)
def test_sigterm_before_the_first_step_is_heard_at_once(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, stages: int
) -> None:
    """While the data is read and while the model is made alike."""
    out = tmp_path / "m"

    def terminate(*given: Any, **named: Any) -> None:
        assert sum(".partial" in path.name for path in tmp_path.iterdir()) == stages
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    monkeypatch.setattr(where, terminate)
    found = run("train", tables["pairs.tsv"], "-o", out, *SMALL, "--steps", 5)
    assert found.status == 0, found.err
    assert "stopped before a step was made" in found.out
    assert found.out.splitlines()[-1].endswith("--resume")
    assert [*tmp_path.iterdir()] == []


def test_sigterm_while_words_are_counted_leaves_nothing(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminate(*given: Any, **named: Any) -> None:
        assert (tmp_path / "m.checkpoints/corpus").is_dir()
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    monkeypatch.setattr("nearfar.words.training.read_corpus", terminate)
    found = run("train", tables["texts.txt"], "-o", tmp_path / "m", "--encoder", "words")
    assert found.status == 0, found.err
    assert "stopped before a step was made" in found.out
    assert [*tmp_path.iterdir()] == []


def test_sigterm_leaves_a_checkpoint_and_the_line_that_goes_on(
    run: Run, line: Line, whole: Path, tmp_path: Path
) -> None:
    with begun(line) as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopped after step" in out
    assert [path.name for path in tmp_path.iterdir()] == ["m.checkpoints"]
    words = shlex.split(out.splitlines()[-1])
    assert words[0] == "nearfar"
    assert words[-1] == "--resume"
    done = run(*words[1:])
    assert done.status == 0, done.err
    assert_same_folder(line.out, whole)


@pytest.mark.heavy
def test_sigterm_to_ranks_leaves_a_checkpoint_and_a_line_for_as_many(tables: dict[str, Path], tmp_path: Path) -> None:
    words = ["train", tables["pairs.tsv"], *SMALL, "--steps", 4000, "--checkpoint-every", 100]
    line = Line(tmp_path / "m", words, ranks=2)
    with begun(line) as process:
        rank = next(child for child in psutil.Process(process.pid).children() if child.environ().get("RANK") == "1")
        rank.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1].startswith("torchrun --nproc-per-node 2 -m nearfar train ")
    assert out.splitlines()[-1].endswith(" --resume")
    assert line.checkpoints()


def test_a_second_run_leaves_one_that_is_under_way_alone(run: Run, line: Line, tmp_path: Path) -> None:
    """Such as a scheduler starts while the first is still there."""
    with begun(line) as process:
        process.send_signal(signal.SIGSTOP)
        before = sorted(path.name for path in tmp_path.rglob("*"))
        for words in (["--resume"], ["--overwrite"]):
            result = run(*line.words, "-o", line.out, *words)
            assert result.status == 2
            assert "another run under way" in result.err
        assert sorted(path.name for path in tmp_path.rglob("*")) == before
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "stopped after step" in out


def test_what_resume_says_where_there_is_nothing_to_go_on_from(
    run: Run, tables: dict[str, Path], tmp_path: Path
) -> None:
    words: tuple[Any, ...] = ("train", tables["pairs.tsv"], "-o", tmp_path / "m", *SMALL, "--steps", 4)
    result = run(*words, "--resume-from", "step-000002")
    assert result.status == 2
    assert "no checkpoint step-000002" in result.err
    result = run(*words, "--resume", "--checkpoint-every", 2, "--keep-after")
    assert result.status == 0, result.err
    assert "from the beginning" in result.out
    assert sorted(path.name for path in (tmp_path / "m/checkpoints").iterdir()) == ["step-000002", "step-000004"]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    before = (tmp_path / "m/model.safetensors").stat().st_mtime_ns
    result = run(*words, "--resume")
    assert result.status == 0
    assert "this run is finished" in result.out
    assert (tmp_path / "m/model.safetensors").stat().st_mtime_ns == before


def test_a_finished_model_beside_an_unfinished_run(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays until the run that is to replace it is over."""
    from nearfar.training import output

    def fails(*args: object) -> None:
        raise OSError(5, "Input/output error")

    words: tuple[Any, ...] = ("train", tables["pairs.tsv"], "-o", tmp_path / "m", *SMALL, "--steps", 4)
    assert run(*words).status == 0
    with monkeypatch.context() as patch:
        patch.setattr(output, "write_page", fails)
        assert run(*words, "--seed", 1, "--overwrite", "--checkpoint-every", 3).status == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.checkpoints"]
    result = run(*words, "--seed", 1, "--resume")
    assert result.status == 2
    assert "--overwrite" in result.err
    first = load_file(tmp_path / "m/model.safetensors")["embedding.weight"]
    result = run(*words, "--seed", 1, "--resume", "--overwrite")
    assert result.status == 0, result.err
    assert "goes on from" in result.out
    assert not np.array_equal(first, load_file(tmp_path / "m/model.safetensors")["embedding.weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_overwrite_begins_anew(run: Run, tables: dict[str, Path], line: Line, tmp_path: Path) -> None:
    checkpoints = tmp_path / "m.checkpoints"
    (checkpoints / "step-000002").mkdir(parents=True)
    words: tuple[Any, ...] = ("train", tables["pairs.tsv"], "-o", tmp_path / "m", *SMALL, "--steps", 4)
    assert run(*words).status == 2
    result = run(*words, "--overwrite")
    assert result.status == 0, result.err
    assert "goes on" not in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
