"""Vectors of a table to a file, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.writing import whole_file
from nearfar.encoders.prompts import prompt_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console
    from sentence_transformers import SentenceTransformer

    from nearfar.data import Table

SUFFIXES = (".npy", ".parquet")

Batch = tuple[list[str], NDArray[np.float32]]


def write_vectors(
    model: SentenceTransformer,
    table: Table,
    role: str,
    path: Path,
    *,
    batch_size: int = 64,
    console: Console | None = None,
) -> tuple[int, int]:
    """Encode one role of a table into `path`, which appears whole or not at all.

    Args:
        model: the encoder.
        table: any table.
        role: one of its text roles.
        path: ends in .npy, an array ``(rows, width)`` float32, or in .parquet, columns `text` and `vector`.
        batch_size: texts a forward pass.
        console: where to show progress; None shows none.

    Returns:
        Rows and width.

    Raises:
        InputError: the disk is full or the folder not writable.
    """
    shape = len(table), int(model.get_embedding_dimension() or 0)
    write = _write_npy if path.suffix == ".npy" else _write_parquet
    with whole_file(path) as place:
        write(place, shape, _encoded(model, table, role, batch_size, console))
    return shape


def _encoded(
    model: SentenceTransformer, table: Table, role: str, batch_size: int, console: Console | None
) -> Iterator[Batch]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("encoding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=console is None, transient=True) as bar:
        task = bar.add_task("", total=len(table))
        prompt = prompt_of(model, role)
        for batch in table.batches(max(batch_size, 2048)):
            texts = batch[role]
            vectors = model.encode(texts, batch_size=batch_size, prompt=prompt, show_progress_bar=False)
            vectors = vectors.astype(np.float32)
            if not np.isfinite(vectors).all():
                raise InputError(f"{table.source}: the model's vectors hold NaN or infinity, wanted finite numbers")
            yield texts, vectors
            bar.advance(task, len(texts))


def _write_npy(path: Path, shape: tuple[int, int], batches: Iterator[Batch]) -> None:
    header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:  # written through, so that a full disk is an error and not a signal
        np.lib.format.write_array_header_1_0(file, header)
        for _, vectors in batches:
            file.write(vectors.tobytes())


def _write_parquet(path: Path, shape: tuple[int, int], batches: Iterator[Batch]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float32(), shape[1]))])
    with parquet.ParquetWriter(path, schema) as writer:
        for texts, vectors in batches:
            column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), shape[1])
            writer.write_table(pa.table([pa.array(texts, pa.string()), column], schema=schema))
