"""A rank that dies, stands still or fails: the others stop soon, and say which it was."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from nearfar.training.alive import Alive
from tests.commands.conftest import sentences

LONG = ("--steps", "200000", "--vocabulary", "300", "--width", "8", "--evaluations", "10000", "--held-out", "0.3")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text("anchor\tpositive\n" + "".join(f"{a}\t{b}\n" for a, b in sentences(120, seed=1)), "utf-8")
    return path


class Ranks:
    """Plain processes that find each other by the environment, as torchrun's do."""

    def __init__(self, world: int, *words: object) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        meeting = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "nearfar", *map(str, words)],
                env=os.environ | meeting | {"RANK": str(rank), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(world)
        ]

    def wait_for_a_step(self) -> None:
        assert self.processes[0].stdout is not None
        assert any(line.startswith("step ") for line in self.processes[0].stdout)

    def ends(self, *victims: int) -> Iterator[tuple[int, str, float]]:
        """Status, words and seconds of each of the others."""
        started = time.monotonic()
        for rank, process in enumerate(self.processes):
            if rank not in victims:
                said, _ = process.communicate(timeout=90)
                yield process.returncode, said, time.monotonic() - started

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("world", "victim", "number"),
    [(2, 1, signal.SIGKILL), (2, 0, signal.SIGKILL), (3, 1, signal.SIGKILL), (3, 1, signal.SIGSTOP)],
)
def test_the_others_stop_within_a_minute_and_name_it(
    world: int, victim: int, number: signal.Signals, data: Path, tmp_path: Path
) -> None:
    with Ranks(world, "train", data, "-o", tmp_path / "m", *LONG) as ranks:
        ranks.wait_for_a_step()
        ranks.processes[victim].send_signal(number)
        for status, said, seconds in ranks.ends(victim):
            assert status == 1
            assert re.search(rf"nearfar.*: .*rank {victim}\b", said), said
            assert seconds < 60
    assert not (tmp_path / "m").exists()


@pytest.mark.heavy
def test_a_rank_says_which_was_lost_though_torchrun_ends_it(data: Path, tmp_path: Path) -> None:
    """As soon as torchrun has seen that one died, it sends SIGTERM to the others."""
    with Ranks(2, "train", data, "-o", tmp_path / "m", *LONG) as ranks:
        ranks.wait_for_a_step()
        ranks.processes[1].kill()
        ranks.processes[1].wait()
        time.sleep(1)
        ranks.processes[0].send_signal(signal.SIGTERM)
        ((status, said, _),) = ranks.ends(1)
    assert status == 1
    assert re.search(r"nearfar.*: .*rank 1\b", said), said


@pytest.mark.heavy
def test_torchrun_names_the_rank_that_was_killed(data: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nearfar"]
    words = [*line, "train", str(data), "-o", str(tmp_path / "m"), *LONG]
    at_once = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=at_once) as process:
        assert process.stdout is not None
        assert any(line.startswith("step ") for line in process.stdout)
        started = time.monotonic()
        os.kill(rank_of(process.pid, 1), signal.SIGKILL)
        said = process.stdout.read()
    assert process.returncode != 0
    assert time.monotonic() - started < 60
    assert re.search(r"rank\s*: 1 \(local_rank: 1\)", said), said


def rank_of(launcher: int, rank: int) -> int:
    """The process that a launcher has started as this rank."""
    import psutil

    for child in psutil.Process(launcher).children():
        if child.environ().get("RANK") == str(rank):
            return int(child.pid)
    raise AssertionError(f"no rank {rank}")


def test_a_fault_of_one_rank_is_told_to_the_others(data: Path, tmp_path: Path) -> None:
    """Rank 0 finds its place taken by a file when it comes to write, which no other rank looks at."""
    taken = tmp_path / "folder"
    taken.write_text("a file")
    with Ranks(2, "train", data, "-o", taken / "m", "--steps", "2", "--vocabulary", "300", "--width", "8") as ranks:
        ends = list(ranks.ends())
    assert ends[0][0] == 2
    assert ends[1][0] in (1, 2)
    for _, said, _ in ends:
        assert "folder" in said


def test_ranks_without_a_meeting_place_are_an_error(data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nearfar", "train", str(data), "-o", str(tmp_path / "m")],
        env={name: value for name, value in os.environ.items() if name != "MASTER_PORT"} | {"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "wanted RANK and MASTER_ADDR and MASTER_PORT beside it" in done.stderr


def test_no_thread_is_left_that_the_end_of_python_could_meet_within_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon thread that comes back from a call of the store while Python ends aborts the process."""
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(server.port))
    signs = Alive(0, 1)
    assert signs.thread.is_alive()
    signs.end()
    assert not signs.thread.is_alive()
