"""`mine_negatives`: a table and an encoder to negatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from torch import Tensor

from nearfar.data import Table
from nearfar.data.negatives import (
    FusedSearch,
    IndexSearch,
    LexicalSearch,
    Mined,
    Rules,
    Searcher,
    Task,
    VectorSearch,
    as_unit,
    mine,
)
from nearfar.errors import InputError
from nearfar.mining.embedding import Encoding, Progress, embedded

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Method = Literal["exact", "index", "bm25", "mix"]
Encode = Callable[[Sequence[str]], Any]
"""Texts to vectors ``(n, d)``, in their order."""


def mine_negatives(
    table: Table,
    model: SentenceTransformer | Encode | None = None,
    *,
    method: Method = "exact",
    corpus: Sequence[str] = (),
    rules: Rules | None = None,
    encoding: Encoding | None = None,
    progress: Progress | None = None,
) -> Mined:
    """Find hard negatives for a table of pairs.

        mined = nf.mine_negatives(table, model, rules=nf.Rules(count=5, limits=nf.Limits(relative_margin=0.05)))
        nf.train(mined.table)

    Args:
        table: with anchor and positive; rows of one anchor share their positives, and what shares a group is no
            negative. Negatives it has are not looked at.
        model: an encoder, or a function from texts to vectors; not asked for by bm25.
        method: "exact": the nearest by cosine; "index": about these, for a million candidates or more; "bm25": by
            words; "mix": ranked by both (reciprocal rank fusion), scored by cosine.
        corpus: candidates besides the table's distinct positives.
        rules: which neighbours may be negatives; three of the nearest by default.
        encoding: prompts, batch size, cache.
        progress: see `Progress`.

    Returns:
        Negatives and scores of each anchor, and what became of all neighbours looked at.

    Raises:
        InputError: the table holds no pairs, there is no model, or no negative is left.
    """
    if method not in get_args(Method):
        raise InputError(f"method: found {method!r}, wanted {', '.join(get_args(Method))}")
    if table.kind != "pairs":
        raise InputError(f"{table.source}: found {', '.join(table.roles)}, wanted anchor and positive to mine for")
    if model is None and method != "bm25":
        raise InputError(f"model: found none, wanted an encoder for method {method!r}")
    rules = rules or Rules()
    task = Task.of_table(table, corpus)
    search = _search(task, model, method, encoding or Encoding(), progress)
    watch = None if progress is None else partial(progress, "mining")
    return mine(task, search, rules, source=table.source, progress=watch)


def _search(
    task: Task,
    model: SentenceTransformer | Encode | None,
    method: Method,
    encoding: Encoding,
    progress: Progress | None,
) -> Searcher:
    if method == "bm25" or model is None:
        return LexicalSearch.of(task.anchors, task.candidates)
    queries, candidates = _vectors(task, model, encoding, progress)
    if method == "index":
        return IndexSearch.of(queries, candidates)
    exact = VectorSearch(queries, candidates)
    return FusedSearch(exact, LexicalSearch.of(task.anchors, task.candidates)) if method == "mix" else exact


def _vectors(
    task: Task, model: SentenceTransformer | Encode, encoding: Encoding, progress: Progress | None
) -> tuple[Tensor, Tensor]:
    if hasattr(model, "encode_query"):
        sides: Any = (("query", task.anchors), ("corpus", task.candidates))
        queries, candidates = (embedded(model, texts, side, encoding, progress) for side, texts in sides)
        return queries, candidates
    made = [_checked(model(texts), len(texts)) for texts in (task.anchors, task.candidates)]
    if made[0].shape[1] != made[1].shape[1]:
        raise InputError(f"model: found vectors of widths {made[0].shape[1]} and {made[1].shape[1]}, wanted one width")
    return as_unit(made[0]), as_unit(made[1])


def _checked(vectors: Any, count: int) -> np.ndarray:
    rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != count or not np.isfinite(rows).all():
        raise InputError(f"model: found vectors of shape {rows.shape}, finite or not, wanted {count} finite rows")
    return rows
