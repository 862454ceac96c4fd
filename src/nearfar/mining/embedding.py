"""Texts to vectors of length 1, once: in one array, and kept on disk where that is asked for."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from nearfar.data.negatives.search import unit_
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

STEP = 4096
"""Texts handed to the model at a time, of like length."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and all."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How texts are encoded.

    Args:
        query_prompt: put before each anchor.
        query_prompt_name: the same by its name in the model, where there is no `query_prompt`.
        corpus_prompt: put before each candidate.
        corpus_prompt_name: the same by its name.
        batch_size: texts a forward pass.
        cache: a folder that keeps vectors, by model, prompt and texts.
    """

    query_prompt: str | None = None
    query_prompt_name: str | None = None
    corpus_prompt: str | None = None
    corpus_prompt_name: str | None = None
    batch_size: int = 64
    cache: Path | None = None


def embedded(
    model: SentenceTransformer,
    texts: Sequence[str],
    side: Literal["query", "corpus"],
    encoding: Encoding,
    progress: Progress | None = None,
) -> Tensor:
    """Vectors ``(n, d)`` float32 of length 1, by the model's `encode_query` or `encode_document`.

    Raises:
        InputError: a prompt's name is unknown to the model, its vectors are not finite, or the cache cannot be used.
    """
    prompt = encoding.query_prompt if side == "query" else encoding.corpus_prompt
    name = encoding.query_prompt_name if side == "query" else encoding.corpus_prompt_name
    if prompt is None and name is not None and name not in model.prompts:
        known = ", ".join(model.prompts) or "it has none"
        raise InputError(f"{side}_prompt_name: found {name!r}, wanted one of the model's prompts: {known}")
    kept = None
    if encoding.cache is not None:
        kept = _ready(encoding.cache) / f"{_key(model, texts, side, prompt, name)}.npy"
        if (found := _known(kept, len(texts))) is not None:
            return found
    encode = model.encode_query if side == "query" else model.encode_document

    def encoded(part: list[str]) -> Tensor:
        vectors: Tensor = encode(
            part, batch_size=encoding.batch_size, prompt=prompt, prompt_name=name, show_progress_bar=False,
            convert_to_tensor=True,
        )  # fmt: skip
        return vectors.float().cpu()

    training = model.training
    try:
        vectors = unit_(_filled(texts, encoded, side, progress))
    finally:
        model.train(training)
    if kept is not None:
        _keep(kept, vectors)
    return vectors


def _filled(
    texts: Sequence[str], encoded: Callable[[list[str]], Tensor], side: str, progress: Progress | None
) -> Tensor:
    """All vectors, each step written straight to its place."""
    vectors = torch.empty((0, 0))
    done = 0
    for numbers in _alike(texts):
        part = encoded([texts[i] for i in numbers])
        if not done:
            vectors = torch.empty((len(texts), part.shape[1]))
        if not part.isfinite().all():
            raise InputError("model: found NaN or infinity in its vectors, wanted finite numbers")
        vectors[torch.from_numpy(numbers)] = part
        done += len(numbers)
        if progress is not None:
            progress("encoding anchors" if side == "query" else "encoding candidates", done, len(texts))
    return vectors


def _alike(texts: Sequence[str]) -> Iterator[np.ndarray]:
    """Numbers of texts in runs of like length, so that a batch holds little padding; the longest first."""
    order = np.argsort([-len(text) for text in texts], kind="stable")
    for start in range(0, len(order), STEP):
        yield order[start : start + STEP]


def _key(model: SentenceTransformer, texts: Sequence[str], side: str, prompt: str | None, name: str | None) -> str:
    """Of weights, texts and prompts: a model that was trained further has other vectors."""
    digest = hashlib.sha256(repr((side, prompt, name, model.prompts, model.max_seq_length)).encode())
    for key, value in model.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    for text in texts:
        digest.update(f"{len(text)} {text}".encode())
    return digest.hexdigest()[:32]


def _ready(folder: Path) -> Path:
    """The folder, there and writable: that is to be known before hours of encoding."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise InputError(f"{folder}: the cache cannot be written ({error.strerror or error})") from error


def _known(path: Path, rows: int) -> Tensor | None:
    """The vectors that are kept, if they are there and whole."""
    try:
        vectors = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(vectors) if vectors.ndim == 2 and len(vectors) == rows else None


def _keep(path: Path, vectors: Tensor) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.save(file, vectors.numpy())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path.parent}: the cache cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
