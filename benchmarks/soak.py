"""Memory over a long run: 20,000 steps of a static encoder, resident memory flat within 5 % after the first 1,000.

Small batches of a made-up table, with all that could gather something as it goes: checkpoints, measurements, a queue,
mined negatives. Prints resident memory now and then, and the largest and the smallest of it after the first 1,000
steps. Then what a checkpoint costs for a width of 256 and 30,000 subwords: milliseconds and megabytes.

    python benchmarks/soak.py [STEPS]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import nearfar as nf
from nearfar.training.checkpoints import checkpoints_in
from nearfar.training.keeping import Keeper

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
WARM, EVERY, FLAT = 1_000, 100, 0.05


def resident() -> float:
    """Megabytes of this process that are in memory, those shared with files left out."""
    pages = Path("/proc/self/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") / 1e6


def made_up(rows: int, words: int, seed: int = 0) -> nf.Table:
    """Pairs of texts of eight words that share six."""
    generator = np.random.default_rng(seed)
    vocabulary = np.array(["".join(generator.choice(list("abcdefghijklmnoprstuvw"), 7)) for _ in range(words)])
    drawn = generator.integers(words, size=(rows, 10))
    return nf.Table.from_columns(
        {
            "anchor": [" ".join(row) for row in vocabulary[drawn[:, :8]]],
            "positive": [" ".join(row) for row in vocabulary[drawn[:, 2:]]],
        },
        source="made up",
    )


def soak(folder: Path) -> None:
    """The run, and resident memory during it."""
    found: list[tuple[int, float]] = []

    def watch(step: nf.training.outcome.Step) -> None:
        if step.number % EVERY == 0:
            found.append((step.number, resident()))

    settings = nf.Settings(
        steps=STEPS, batch_size=32, width=64, vocabulary=2_000, evaluations=20, queue=256, mine_every=2_500,
        checkpoint_every=500,
    )  # fmt: skip
    started = time.monotonic()
    nf.train(made_up(4_000, 1_000), settings=settings, watch=watch, checkpoints=nf.Checkpoints(folder))
    for step, megabytes in found[9 :: max(len(found) // 10, 1)]:
        print(f"step {step:6,}  {megabytes:6.1f} MB")
    later = [megabytes for step, megabytes in found if step >= WARM]
    spread = max(later) / min(later) - 1
    print(
        f"{STEPS:,} steps in {time.monotonic() - started:.0f} s; after the first {WARM:,}: {min(later):.1f} to"
        f" {max(later):.1f} MB, {spread:.1%} ({'flat' if spread <= FLAT else 'NOT flat'} within {FLAT:.0%})"
    )


def cost(folder: Path) -> None:
    """Writing a checkpoint of a large static encoder, and the bytes themselves for comparison."""
    took: list[float] = []
    plain = Keeper.write

    def timed(keeper: Keeper, step: int, state: object) -> None:
        started = time.perf_counter()
        plain(keeper, step, state)
        took.append(1e3 * (time.perf_counter() - started))

    Keeper.write = timed  # type: ignore[method-assign]
    settings = nf.Settings(steps=30, batch_size=256, width=256, vocabulary=30_000, evaluations=1, checkpoint_every=3)
    outcome = nf.train(made_up(20_000, 60_000), settings=settings, checkpoints=nf.Checkpoints(folder))
    last = checkpoints_in(folder)[-1]
    size = sum(path.stat().st_size for path in last.iterdir()) / 1e6
    shape = tuple(outcome.model[0].embedding.weight.shape)
    data = b"".join(path.read_bytes() for path in last.iterdir())
    started = time.perf_counter()
    with (folder / "plain").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    alone = 1e3 * (time.perf_counter() - started)
    print(
        f"a checkpoint of {shape[0]:,} x {shape[1]}: {size:.0f} MB in {statistics.median(took):.0f} ms"
        f" ({min(took):.0f} to {max(took):.0f}); as many bytes written and synced: {alone:.0f} ms"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        soak(Path(name) / "soak")
        cost(Path(name) / "cost")
