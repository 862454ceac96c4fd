"""Real processes of the real command, and kill -9 at random moments."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from safetensors.numpy import load_file


@dataclass(frozen=True)
class Line:
    """A command line without its output folder.

    Attributes:
        out: the folder.
        words: the rest.
        ranks: processes that torchrun starts, where there are several.
    """

    out: Path
    words: Sequence[Any]
    ranks: int = 1

    def all(self, *more: object) -> list[str]:
        """What a shell would be given."""
        torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", self.ranks)
        start = torchrun if self.ranks > 1 else ()
        return [str(word) for word in (sys.executable, *start, "-m", "nearfar", *self.words, "-o", self.out, *more)]

    def run(self, *more: object) -> subprocess.CompletedProcess[str]:
        """To its end."""
        return subprocess.run(self.all(*more), capture_output=True, text=True, timeout=300)

    def checkpoints(self) -> list[str]:
        """Names of those that are there."""
        return sorted(path.name for path in self.out.with_name(f"{self.out.name}.checkpoints").glob("step-*"))


@contextmanager
def begun(line: Line, *more: object) -> Iterator[subprocess.Popen[str]]:
    """The process, once it has written a checkpoint of its own or is over."""
    before = line.checkpoints()
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are deaf to it
    pipes: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "start_new_session": True,
    }
    with subprocess.Popen(line.all(*more), preexec_fn=heard, **pipes) as process:
        try:
            while process.poll() is None and line.checkpoints() in ([], before):
                time.sleep(0.002)
            yield process
        finally:
            kill_all(process)


def kill_all(process: subprocess.Popen[str]) -> None:
    """Kill -9 for a process and those that it started, as far as they are there."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):  # torchrun's have groups of their own
            child.kill()
    process.kill()


def killed_at_random(line: Line, draw: random.Random, longest: float = 0.3) -> bool:
    """Begin or go on, and kill within so many seconds after the first checkpoint; False: the run was over before."""
    with begun(line, *(["--resume"] if line.checkpoints() else [])) as process:
        time.sleep(draw.uniform(0, longest))
        kill_all(process)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def assert_same_folder(found: Path, wanted: Path) -> None:
    """The same parameters bit for bit, and the same measurements."""
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (found, wanted))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert tensor.tobytes() == ours[name].tobytes(), name
    assert _history(found) == _history(wanted)


def _history(folder: Path) -> list[dict[str, Any]]:
    record = json.loads((folder / "nearfar.json").read_text("utf-8"))
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in record["history"]]
