"""What a checkpoint costs: a static encoder of 30,000 subwords and width 256, beside as many bytes written and synced.

    python benchmarks/checkpoint_cost.py [FOLDER]

The folder, by default a temporary one, says which disk.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from soak import made_up

import nearfar as nf
from nearfar.training.checkpoints import checkpoints_in, read, write

WRITES = 10


def milliseconds(what: Callable[[], object]) -> list[float]:
    """Of each of some calls."""
    took = []
    for _ in range(WRITES):
        started = time.perf_counter()
        what()
        took.append(1e3 * (time.perf_counter() - started))
    return took


def main(folder: Path) -> None:
    """Train a little, then write the last state again and again, in turn with its bare bytes."""
    settings = nf.Settings(steps=8, batch_size=512, width=256, vocabulary=30_000, evaluations=1, checkpoint_every=4)
    outcome = nf.train(made_up(20_000, 60_000), settings=settings, checkpoints=nf.Checkpoints(folder))
    place = checkpoints_in(folder)[-1]
    state, record = read(place)
    data = b"".join(path.read_bytes() for path in place.iterdir())

    def bare() -> None:
        with (folder / "bare").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    about = {name: value for name, value in record.items() if name not in ("files", "format")}
    ours, other = milliseconds(lambda: write(place, state, about)), milliseconds(bare)
    reading = milliseconds(lambda: read(place))
    shape = tuple(outcome.model[0].embedding.weight.shape)
    print(
        f"a checkpoint of {shape[0]:,} x {shape[1]}: {len(data) / 1e6:.0f} MB; written in"
        f" {statistics.median(ours):.0f} ms ({min(ours):.0f} to {max(ours):.0f}), its bare bytes in"
        f" {statistics.median(other):.0f} ms; read in {statistics.median(reading):.0f} ms"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        main(Path(name))
