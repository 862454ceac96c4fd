"""Time and memory of the objectives: against the three matrix products, dense PyTorch, and other libraries.

    python benchmarks/objectives.py [--part products dense peers memory limits] [--only infonce supcon]
                                    [--rows 8192] [--width 256 768] [--rounds 5] [--memory 16384 65536]

Every figure is a ratio of medians of interleaved runs in this process, forward and backward; each memory figure, and
each attempt to find where a loss ends, is a fresh process. Needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from subjects import Pair, Run, dense, leaf, metric_learning, ours, sentence_transformers, step

console = Console(width=120)
PARTS = ("products", "dense", "peers", "memory", "limits")
LIBRARIES: dict[str, Callable[[int, int], dict[str, Pair]]] = {
    "dense PyTorch": dense,
    "pytorch-metric-learning": metric_learning,
    "sentence-transformers": sentence_transformers,
}
PEERS = {"pytorch-metric-learning": (256,), "sentence-transformers": (512, 1024)}
"""How many rows a comparison with other libraries has: theirs soon take minutes a step, or all memory."""
LIMIT_BYTES, LIMIT_SECONDS = 8 * 2**30, 60


def interleaved(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each, taken in turns, the first turn left out."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in times.items()}


@contextmanager
def alone() -> Iterator[None]:
    """Say how much of the machine other work took meanwhile (Linux): a figure beside other work is worth little."""

    def others() -> float:
        with open("/proc/stat") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])

    start, before = time.perf_counter(), others()
    yield
    share = (others() - before) / (time.perf_counter() - start) / (os.cpu_count() or 1)
    console.print(f"other work took {max(0.0, share):.0%} of the machine")


def against_products(rows: int, width: int, rounds: int, wanted: Callable[[str], bool]) -> None:
    """Ratios to scores, gradient of anchors and gradient of candidates as bare matrix products."""
    a, b = leaf(rows, width, 0).detach(), leaf(rows, width, 1).detach()

    def products() -> None:
        scores = a @ b.T
        scores @ b
        scores.T @ a

    subjects = {name: subject for name, subject in ours(rows, width).items() if wanted(name)}
    runs: dict[str, Run] = {"products": products} | {name: run for name, (run, _) in subjects.items()}
    with alone():
        times = interleaved(runs, rounds)
    speed = 6 * rows * rows * width / times["products"] / 1e9
    table = Table(title=f"time over three matrix products, N = M = {rows:,}, d = {width}, {speed:.0f} GFLOP/s")
    for heading in ("objective", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading == "objective" else "right")
    for name, (_, bound) in subjects.items():
        table.add_row(name, f"{times[name] / times['products']:.2f}", f"{bound:.1f}")
    console.print(table)


def against(library: str, sizes: tuple[int, ...], rounds: int, wanted: Callable[[str], bool]) -> None:
    """How many times as long the other takes, for each number of rows."""
    table = Table(title=f"time of {library} over ours (above 1: we are faster), d = 256")
    for heading in ("objective", *(f"N = {rows:,}" for rows in sizes)):
        table.add_column(heading, justify="left" if heading == "objective" else "right")
    found: dict[str, list[str]] = {}
    with alone():
        for rows in sizes:
            for name, (one, other, leaves) in LIBRARIES[library](rows, 256).items():
                if wanted(name):
                    times = interleaved({"ours": step(one, leaves), "other": step(other, leaves)}, rounds)
                    found.setdefault(name, []).append(f"{times['other'] / times['ours']:.2f}")
    for name, ratios in found.items():
        table.add_row(name, *ratios)
    console.print(table)


MEMORY = """
import time, torch, nearfar as nf
rows, width = {rows}, 256
a, b = (torch.randn(rows, width, requires_grad=True) for _ in range(2))
torch.autograd.grad(nf.InfoNCELoss()(nf.pairs(a[:64], b[:64])), [a, b])
open("/proc/self/clear_refs", "w").write("5")
read = lambda key: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) / 1024
before = read("VmRSS")
start = time.perf_counter()
nf.InfoNCELoss()(nf.pairs(a, b)).backward()
print(round(read("VmHWM") - before - 2 * rows * width * 4 / 2**20), round(time.perf_counter() - start, 1))
"""


def memory(rows: int) -> None:
    """Peak of a fresh process beyond inputs and gradients (Linux)."""
    with alone():
        script = [sys.executable, "-c", MEMORY.format(rows=rows)]
        done = subprocess.run(script, capture_output=True, text=True, check=True)
    mebibytes, seconds = done.stdout.split()
    console.print(f"InfoNCE, N = M = {rows:,}, d = 256: {mebibytes} MiB beyond inputs and gradients, {seconds} s")


def attempt(library: str, name: str, whose: int, rows: int) -> None:
    """One step under the limits, in a process that `ending` starts; prints its seconds."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    *losses, leaves = LIBRARIES[library](rows, 256)[name]
    start = time.perf_counter()
    step(losses[whose], leaves)()
    print(f"{time.perf_counter() - start:.1f}")


def ending(library: str, name: str, whose: int, rows: int) -> str:
    """How a step over so many rows ends: its seconds, or "memory", or "time"."""
    script = [sys.executable, str(Path(__file__)), "--attempt", library, name, str(whose), str(rows)]
    try:
        done = subprocess.run(script, capture_output=True, text=True, timeout=LIMIT_SECONDS + 30)
    except subprocess.TimeoutExpired:
        return "time"
    if done.returncode:
        return "memory" if "memory" in done.stderr else done.stderr.strip().splitlines()[-1]
    seconds = done.stdout.split()[-1]
    return f"{seconds} s" if float(seconds) <= LIMIT_SECONDS else "time"


def limits(libraries: list[str], wanted: Callable[[str], bool]) -> None:
    """Where each other loss ends, and what ours does there."""
    for library in libraries:
        table = Table(title=f"rows within {LIMIT_BYTES / 2**30:.0f} GiB and {LIMIT_SECONDS} s a step, d = 256")
        for heading in ("objective", "rows", library, "nearfar"):
            table.add_column(heading)
        for name in filter(wanted, LIBRARIES[library](64, 256)):
            for rows in (512, 2048, 8192, 32_768):
                theirs = ending(library, name, 1, rows)
                if not theirs.endswith(" s"):
                    break
            table.add_row(name, f"{rows:,}", theirs, ending(library, name, 0, rows))
        console.print(table)


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS[:4])
    parser.add_argument("--only", nargs="+", default=[""], help="how the names of the objectives wanted begin")
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--width", type=int, nargs="+", default=[256, 768])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[16_384])
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES), help="for peers, limits")
    parser.add_argument("--sizes", type=int, nargs="+", help="rows of a comparison with peers")
    parser.add_argument("--attempt", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attempt:
        library, name, whose, rows = options.attempt
        return attempt(library, name, int(whose), int(rows))

    def wanted(name: str) -> bool:
        return name.startswith(tuple(options.only))

    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for width in options.width if "products" in options.part else ():
        against_products(options.rows, width, options.rounds, wanted)
    if "dense" in options.part:
        against("dense PyTorch", (512, 1024, 2048), 3 * options.rounds, wanted)
    for library in [name for name in PEERS if name in options.libraries] if "peers" in options.part else ():
        against(library, tuple(options.sizes or PEERS[library]), options.rounds, wanted)
    for rows in options.memory if "memory" in options.part else ():
        memory(rows)
    if "limits" in options.part:
        limits(options.libraries, wanted)
    return None


if __name__ == "__main__":
    main()
