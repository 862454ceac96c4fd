"""What is said of a model on the test part: figures row by row, the shape of its space, and what it took."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nearfar.analysis import alignment, effective_rank, evaluate, uniformity
from nearfar.analysis.encoding import encoder
from nearfar.analysis.given import Columns, given_of
from nearfar.analysis.tasks import MAIN
from nearfar.data import Table

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MOST = 5000
"""Rows of a table whose space is looked at."""

EVERY = 0.05
"""Seconds between two looks at the memory."""


def judged(model: SentenceTransformer, tables: Sequence[Table]) -> dict[str, Any]:
    """`test`: task, main figure and values of each row by table; `space`: alignment, uniformity, effective rank.

    The space is that of the first table's distinct texts (at most `MOST` rows), its near pairs those that the table
    gives; a figure that it does not allow is None.
    """
    model.eval()
    found = [evaluate(model, table, resamples=0) for table in tables]
    kept = {"score", "cosine", *MAIN.values()}
    test = [
        {
            "task": m.task,
            "source": m.source,
            "main": m.main,
            "figures": m.figures,
            "by_row": {name: values.tolist() for name, values in m.by_row.items() if name in kept},
        }
        for m in found
    ]
    return {"test": test, "space": _space(model, tables[0])}


def _space(model: SentenceTransformer, table: Table) -> dict[str, float | None]:
    table = table.select(np.arange(min(len(table), MOST)))
    texts = [[str(text) for text in table.column(role)] for role in table.text_roles[:2]]
    embed = encoder(model)
    vectors = [embed(column) for column in texts]
    columns = Columns(
        vectors[0],
        vectors[1] if len(vectors) > 1 else None,
        texts[0],
        texts[1] if len(texts) > 1 else None,
        table.column("label") if table.kind == "labelled" else None,
        table.column("score") if table.kind == "scored" else None,
    )
    given = given_of(columns, most=MOST, keep=0, seed=0, source=table.source)
    return {
        "alignment": alignment(given.pairs.anchors, given.pairs.positives) if given.pairs else None,
        "uniformity": uniformity(given.points) if len(given.points) > 1 else None,
        "effective_rank": effective_rank(given.points) if len(given.points) > 1 else None,
    }


class Peak:
    """The largest resident memory of this process within the block, looked at every `EVERY` seconds; of a GPU, its own.

    Attributes:
        mib: once the block is over.
    """

    def __init__(self) -> None:
        self.mib = 0.0

    def __enter__(self) -> Self:
        import psutil
        import torch

        self.on_gpu = torch.cuda.is_available()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self.process, self.over = psutil.Process(), threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        import torch

        self.over.set()
        self.thread.join()
        if self.on_gpu:
            self.mib = torch.cuda.max_memory_allocated() / 2**20

    def _look(self) -> None:
        while not self.over.wait(EVERY):
            self.mib = max(self.mib, self.process.memory_info().rss / 2**20)
