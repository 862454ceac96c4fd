"""Memory over a long run: 20,000 steps of a static encoder, resident memory flat within 5 % after the first 1,000.

Small batches of a made-up table, with all that could gather something as it goes: checkpoints, measurements, a queue,
mined negatives. Prints resident memory now and then, and the largest and the smallest of it after the first 1,000
steps.

    python benchmarks/soak.py [STEPS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import nearfar as nf
from nearfar.training.outcome import Step

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

    def watch(step: Step) -> None:
        if step.number % EVERY == 0:
            found.append((step.number, resident()))

    settings = nf.Settings(
        steps=STEPS, batch_size=32, width=64, vocabulary=2_000, evaluations=20, queue=256, mine_every=500,
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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        soak(Path(name))
