"""A step of training a static encoder against the three matrix products of its batch, and where the rest goes.

A whole run of `nearfar.train` with its journal, on triples, width 256, batch 1,024 and 8,192: after each step the three
products of such a batch (scores, gradient of anchors, gradient of candidates) are timed, so that other work on the
machine meets both alike. Then the same steps with a clock around each part.

    python benchmarks/static_step.py [TRIPLES.tsv] [--batch 1024 8192] [--seconds 25]

Without a table it makes one of random English-like words.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import inspect
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from static_training import VOCABULARY, WIDTH, bert_words, triples

import nearfar as nf
from nearfar.encoders import rows, static
from nearfar.execution import scores, strips
from nearfar.objectives import softmax
from nearfar.training import contrasting, loop, stepping, watching
from nearfar.training.feeds import TableFeed
from nearfar.training.outcome import Step
from nearfar.training.ready import make_model

WARM = 3

UNCOUNTED = "products beside it"

PARTS: dict[str, list[tuple[Any, str]]] = {
    "rows and tokens of the batch": [(TableFeed, "batches")],
    "duplicate groups": [(contrasting, "duplicate_groups"), (contrasting, "_negative_groups")],
    "means of token vectors": [(static, "mean_rows")],
    "the contrast: checks, joined candidates": [(contrasting, "pairs")],
    "products": [(torch, "mm"), (torch.Tensor, "__matmul__"), (torch.Tensor, "addmm_")],
    "softmax of the strip": [(softmax.InfoNCELoss, "slopes_")],
    "lengths, and gradients of directions": [(scores.Cosines, "__init__"), (scores.Cosines, "gradients")],
    "the loss, but for these": [(softmax.InfoNCELoss, "__call__"), (strips._Mean, "forward")],
    "gradient of the means": [(rows._MeanRows, "backward")],
    "autograd, but for these": [(stepping.Accelerator, "backward")],
    "optimiser": [(rows.RowAdam, "step")],
    "readings": [(watching.Watching, "read"), (stepping, "norm_of")],
    UNCOUNTED: [(loop._Run, "_show")],
    "the loop and the rest of a step": [(loop._Run, "_step"), (loop._Run, "_keep")],
}
"""What is timed, by name: each part without those that are called within it."""


class Clock:
    """Seconds of parts, each without the parts within it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.within: list[float] = []

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self.within.append(0.0)
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.spent[name] += took - self.within.pop()
            if self.within:
                self.within[-1] += took

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*args, **options)

        @functools.wraps(function)
        def drawn(*args: Any, **options: Any) -> Iterator[Any]:
            found = function(*args, **options)
            while True:
                with self.part(name):
                    one = next(found)
                yield one

        return drawn if name == "rows and tokens of the batch" else timed

    @contextlib.contextmanager
    def around(self, parts: dict[str, list[tuple[Any, str]]]) -> Iterator[None]:
        """Within the block all of these are timed."""
        with contextlib.ExitStack() as stack:
            for name, places in parts.items():
                for owner, attribute in places:
                    function = inspect.getattr_static(owner, attribute)
                    plain = isinstance(function, staticmethod)
                    timed = self.wrapped(name, function.__func__ if plain else function)
                    stack.enter_context(mock.patch.object(owner, attribute, staticmethod(timed) if plain else timed))
            yield


class Beside:
    """Times steps, and after each of them the three products of its batch."""

    def __init__(self, batch: int) -> None:
        self.anchors, self.candidates = torch.randn(batch, WIDTH), torch.randn(2 * batch, WIDTH)
        self.steps: list[float] = []
        self.products: list[float] = []
        self.since = time.perf_counter()

    def __call__(self, step: Step) -> None:
        now = time.perf_counter()
        if step.number > WARM:
            self.steps.append(now - self.since)
        begun = time.perf_counter()
        scores = torch.matmul(self.anchors, self.candidates.T)
        torch.matmul(scores, self.candidates)
        torch.matmul(scores.T, self.anchors)
        if step.number > WARM:
            self.products.append(time.perf_counter() - begun)
        del scores
        self.since = time.perf_counter()


def run(table: nf.Table, model: Any, batch: int, steps: int, watch: Callable[[Step], None]) -> None:
    settings = nf.Settings(steps=steps, batch_size=batch, held_out=0.0, evaluations=1)
    with tempfile.TemporaryDirectory() as folder:
        nf.train(table, model=model, settings=settings, watch=watch, folder=Path(folder))


def report(name: str, table: nf.Table, make: Callable[[], Any], batch: int, seconds: float) -> None:
    table = table.select(range(len(table) // batch * batch))  # else batches are evened out, and smaller
    steps = max(8, int(seconds / (0.05 * (batch / 1024) ** 2)))
    beside, clock = Beside(batch), Clock()
    run(table, make(), batch, steps, beside)
    low = [float(np.quantile(times, 0.2)) for times in (beside.steps, beside.products)]
    middle = [statistics.median(times) for times in (beside.steps, beside.products)]
    print(f"\n{name}, batch {batch:,}: {len(beside.steps)} steps, {torch.get_num_threads()} threads")
    for word, (step, products) in (("median", middle), ("20th percentile", low)):
        print(f"{word:>16}: step {1e3 * step:8.1f} ms, products {1e3 * products:8.1f} ms, {step / products:.2f} times")
    steps = max(5, steps // 2)
    with clock.around(PARTS):
        run(table, make(), batch, steps, Beside(batch))
    whole = sum(spent for part, spent in clock.spent.items() if part != UNCOUNTED)
    for part in PARTS:
        if part != UNCOUNTED:
            print(f"{part:>42}: {1e3 * clock.spent[part] / steps:8.2f} ms a step, {clock.spent[part] / whole:5.1%}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table", nargs="?")
    parser.add_argument("--batch", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--tokenizer", choices=["bert", "own", "both"], default="both")
    given = parser.parse_args()
    table = triples(given.table)
    own = functools.partial(make_model, [table], nf.Settings(width=WIDTH, vocabulary=VOCABULARY))
    for name, make in (("bert", bert_words), ("own", own)):
        if given.tokenizer in (name, "both"):
            for batch in given.batch:
                report(f"{name} tokenizer", table, make, batch, given.seconds)


if __name__ == "__main__":
    main()
