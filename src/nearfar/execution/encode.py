"""The cached encoder of texts: chunks of like length, equal texts once where nothing is random."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.execution.cached import cached
from nearfar.execution.features import Bags, Padded, rows_of
from nearfar.execution.replay import State


def cached_encode(
    model: Callable[[dict[str, Any]], Mapping[str, Any]],
    inputs: Sequence[str] | Mapping[str, Any],
    *,
    chunk_tokens: int = 8192,
    keep_bytes: int = 0,
) -> Tensor:
    """Embeddings of many texts in the memory of a few, with a gradient.

    Texts of like length are encoded together, so that little padding is computed. Where nothing is random (evaluation
    mode, or a model without dropout), equal texts are encoded once and the result does not depend on the chunks. Under
    dropout every text draws its own, as without a cache: two equal texts may be two views of one, or near each other
    by their label, and one draw for both would leave nothing to learn between them.

    Args:
        model: a SentenceTransformer, or any callable from features to a mapping with "sentence_embedding".
        inputs: texts, or features as ``model.preprocess(texts)`` returns them, which are left as they are.
        chunk_tokens: tokens of a chunk, padding included; a longer text is a chunk of its own. It bounds the memory
            of the backward pass.
        keep_bytes: memory for the graphs of chunks that are kept for the backward pass, and so need no second time.

    Returns:
        ``(n, d)`` in the order of the inputs. Under ``torch.no_grad``, or where nothing is learnt, without a graph.

    Raises:
        ValueError: `chunk_tokens` is below 1, or the features have no rows to be taken apart.
        RuntimeError: in the backward pass, see `cached`.

    Example:
        >>> embeddings = nearfar.cached_encode(model, texts, chunk_tokens=16384)  # doctest: +SKIP
    """
    check_chunk_tokens(chunk_tokens)
    rows = rows_of(inputs if isinstance(inputs, Mapping) else _tokenised(model, inputs))

    def encode(numbers: Tensor) -> Tensor:
        # A new dict each time: modules write what they compute into the one they get.
        embeddings: Tensor = model(_moved(rows.take(numbers), model))["sentence_embedding"]
        return embeddings

    chosen, place = _distinct(rows, lambda: _is_random(model, rows, encode))
    order = chosen[rows.lengths[chosen].argsort(descending=True, stable=True)]
    chunks = order.split(chunk_sizes(rows.lengths[order].tolist(), chunk_tokens))
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    embeddings = cached(encode, chunks, parameters=parameters, keep_bytes=keep_bytes)
    position = torch.empty(len(rows), dtype=torch.long, device=order.device)
    position[order] = torch.arange(len(order), device=order.device)
    return embeddings[position[place].to(embeddings.device)]


def check_chunk_tokens(value: int) -> None:
    """Raise a ValueError unless it is a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"chunk_tokens: found {value!r}, wanted a whole number from 1 up")


def _tokenised(model: Any, texts: Sequence[str]) -> Mapping[str, Any]:
    several = () if isinstance(texts, str) or not isinstance(texts, Iterable) else tuple(texts)
    odd = sorted({type(text).__name__ for text in several if not isinstance(text, str)})
    if odd or not several:
        alone = "one string" if isinstance(texts, str) else "none"
        raise ValueError(f"inputs: found {', '.join(odd) or alone}, wanted a sequence of texts, or features")
    # Its name before sentence-transformers 5.2 was tokenize.
    preprocess = getattr(model, "preprocess", None) or getattr(model, "tokenize", None)
    if preprocess is None:
        raise ValueError(f"model: found {type(model).__name__}, wanted a SentenceTransformer, or features for inputs")
    features: Mapping[str, Any] = preprocess(list(several))
    return features


def _moved(features: dict[str, Any], model: Any) -> dict[str, Any]:
    device = getattr(model, "device", None)
    if device is None:
        return features
    return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in features.items()}


def _is_random(model: Any, rows: Padded | Bags, encode: Callable[[Tensor], Tensor]) -> bool:
    """Whether equal texts may have different embeddings: whether encoding one draws from torch's generators."""
    if not isinstance(model, nn.Module):
        return True
    if not any(module.training for module in model.modules()):
        return False
    before = State.now()
    with torch.no_grad(), before.again():
        encode(rows.lengths.argmin()[None])
        return not State.now().draws_alike(before)


def _distinct(rows: Padded | Bags, is_random: Callable[[], bool]) -> tuple[Tensor, Tensor]:
    """Rows to encode, ``(m,)``, and for each row the one of them that stands for it, ``(n,)``."""
    keys = rows.keys()
    everything = torch.arange(len(rows), device=rows.lengths.device)
    if keys is None or len(set(keys)) == len(keys) or is_random():
        return everything, everything
    first: dict[bytes, int] = {}
    place = torch.tensor([first.setdefault(key, number) for number, key in enumerate(keys)], device=everything.device)
    return place.unique(), place


def chunk_sizes(lengths: Sequence[int], chunk_tokens: int) -> list[int]:
    """How many rows each chunk has; lengths fall, so that a chunk is as wide as its first row."""
    sizes: list[int] = []
    start = 0
    while start < len(lengths):
        sizes.append(min(len(lengths) - start, max(1, chunk_tokens // max(1, lengths[start]))))
        start += sizes[-1]
    return sizes
