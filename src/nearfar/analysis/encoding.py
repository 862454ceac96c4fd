"""A `SentenceTransformer` as the function from texts to vectors that the measurements ask for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCHES_A_STEP = 16
"""Batches between two movements of the progress bar."""


def encoder(
    model: SentenceTransformer, batch_size: int = 64, progress: bool = False, prompt: str | None = None
) -> Callable[[Sequence[str]], np.ndarray]:
    """`model.encode` into numpy, `batch_size` texts at a time, with a bar on the terminal if `progress`.

    `prompt` is put before each text; None leaves that to the model.

    `encode` puts a model into evaluation mode for good; here it is put back into the mode it was in.
    """

    def encode(texts: Sequence[str]) -> np.ndarray:
        training = model.training
        try:
            return _encoded(model, texts, batch_size, progress, prompt)
        finally:
            model.train(training)

    return encode


def _encoded(
    model: SentenceTransformer, texts: Sequence[str], batch_size: int, progress: bool, prompt: str | None
) -> np.ndarray:
    """Embeddings `(n, d)`. Steps take texts of like length, so that a batch holds little padding."""
    from rich.progress import track

    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    step = batch_size * BATCHES_A_STEP if progress else max(1, len(texts))
    pieces = [
        model.encode(
            [texts[i] for i in order[start : start + step]],
            batch_size=batch_size,
            prompt=prompt,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        for start in track(range(0, len(texts), step), "Encoding", disable=not progress, transient=True)
    ]
    embeddings = np.empty((len(texts), pieces[0].shape[1]), dtype=np.float32)
    embeddings[order] = np.concatenate(pieces)
    return embeddings
