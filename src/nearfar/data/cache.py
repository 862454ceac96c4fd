"""Checked rows on disk: an Arrow file in the cache of Hugging Face `datasets`, memory-mapped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from nearfar.errors import InputError

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

FORMAT = 5
"""Part of what a cache key is made from; raised when what is read, checked or written changes."""

BATCH_BYTES = 4 << 20


def cached(key: str, batches: Iterator[pa.RecordBatch]) -> datasets.Dataset:
    """The rows kept under a key; only where there are none yet, `batches` is asked for them.

    Not by `Dataset.from_generator`: it takes rows one at a time, at a third of the speed, wraps every fault and
    leaves the folder of a failed run behind. Here the file gets its name when it is whole, or not at all.

    Raises:
        InputError: the cache cannot be written, such as for a full disk, or `batches` raises one.
    """
    import datasets

    folder = Path(datasets.config.HF_DATASETS_CACHE) / "nearfar"
    path = folder / f"{key}.arrow"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(path, batches)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(f"{folder}: the cache cannot be written ({reason}); HF_DATASETS_CACHE moves it") from error
    return datasets.Dataset.from_file(str(path))


def _write(path: Path, batches: Iterator[pa.RecordBatch]) -> None:
    import pyarrow as pa

    first = next(batches)
    partial = path.with_name(f"{path.stem}-{uuid4().hex}.partial")  # two processes may read the same source
    try:
        with partial.open("xb") as file, pa.ipc.new_stream(file, first.schema) as writer:
            for table in _joined(chain([first], batches)):
                writer.write_table(table)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Larger batches: each costs a page or more of memory when the file is mapped, and a look when it is opened."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.nbytes for one in held) > BATCH_BYTES:
            yield pa.Table.from_batches(held).combine_chunks()
            held.clear()
    if held:
        yield pa.Table.from_batches(held).combine_chunks()
