"""Seconds and memory of the measurements, in fresh processes; memory is what comes on top of the input.

    python benchmarks/analysis.py [uniformity|everything|report] [ROWS]

`uniformity`: exact, over 100,000 vectors of width 256. `everything`: `analyse` of 10,000 labelled rows of width 256
with texts, two views, another model and all intervals; then of as many pairs. `report`: 10,000 labelled texts of width
256 from their embeddings to the page, as `nearfar analyze` does it, and what each part of that takes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from nearfar.analysis import analyse, uniformity
from nearfar.analysis.report import draw, render

WIDTH, LABELS, MOVED = 256, 20, 1000


def vectors(rows: int, seed: int = 0) -> np.ndarray:
    """Vectors whose directions matter ever less, as those of texts."""
    spread = np.arange(1, WIDTH + 1, dtype=np.float32) ** -0.5
    return np.random.default_rng(seed).standard_normal((rows, WIDTH), dtype=np.float32) * spread


def resident(field: str) -> float:
    """MiB of this process, by Linux."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def begin() -> float:
    """The peak of memory starts anew; MiB now."""
    uniformity(np.eye(64))  # what loading torch and its threads costs is no cost of the measurement
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def uniformity_of(rows: int) -> None:
    x = vectors(rows)
    before, start = begin(), time.perf_counter()
    found = uniformity(x)
    seconds = time.perf_counter() - start
    print(
        f"uniformity of {rows:,} x {WIDTH} ({x.nbytes >> 20} MiB): {found:.4f}, {seconds:.1f} s, "
        f"{resident('VmHWM') - before:.0f} MiB beyond the input"
    )


def everything(rows: int) -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, LABELS, rows)
    x = vectors(rows) + 1.5 * vectors(LABELS, seed=2)[labels]
    other = x + 0.5 * vectors(rows, seed=3)
    texts = [f"text number {i}" for i in range(rows)]
    moved = {view: (x[:MOVED], x[:MOVED] + 0.1 * vectors(MOVED, seed=i)) for i, view in enumerate(("one", "two"))}
    runs = {
        "labelled rows": {"texts": texts, "labels": labels.tolist(), "moved": moved, "before": (other, None)},
        "pairs": {"y": other, "texts": texts, "other_texts": [f"{text}, again" for text in texts], "moved": moved},
    }
    for name, options in runs.items():
        before, start = begin(), time.perf_counter()
        found = analyse(x, **options)  # type: ignore[arg-type]
        seconds = time.perf_counter() - start
        print(
            f"everything of {rows:,} {name}, width {WIDTH}: {len(found.figures)} figures, {seconds:.1f} s, "
            f"{resident('VmHWM') - before:.0f} MiB beyond the input"
        )


def report(rows: int) -> None:
    labels = np.random.default_rng(1).integers(0, LABELS, rows)
    x = vectors(rows) + 1.5 * vectors(LABELS, seed=2)[labels]
    times, before = [time.perf_counter()], begin()
    found = analyse(x, texts=[f"text number {i}" for i in range(rows)], labels=labels.tolist())
    times.append(time.perf_counter())
    drawn = draw(found)
    times.append(time.perf_counter())
    page = render(drawn.page("model"))
    times.append(time.perf_counter())
    measuring, mapping, writing = np.diff(times)
    print(
        f"report on {rows:,} texts, width {WIDTH}: {times[-1] - times[0]:.1f} s (measurements {measuring:.1f}, map "
        f"{mapping:.1f}, page {writing:.1f}), {len(page.encode()) / 2**20:.1f} MiB, "
        f"{drawn.layout.kept:.0%} of neighbours kept, {resident('VmHWM') - before:.0f} MiB beyond the input"
    )


def main() -> None:
    runs = {"uniformity": (uniformity_of, 100_000), "everything": (everything, 10_000), "report": (report, 10_000)}
    if len(sys.argv) < 2:
        for name in runs:
            subprocess.run([sys.executable, __file__, name], check=True)
        return
    run, rows = runs[sys.argv[1]]
    run(int(sys.argv[2]) if len(sys.argv) > 2 else rows)


if __name__ == "__main__":
    main()
