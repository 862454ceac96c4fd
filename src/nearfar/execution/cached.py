"""The cached encoder: a batch of any size in the memory of one chunk.

Gao, Zhang, Han & Callan 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache).
Chunks are encoded without a graph, whatever loss follows works on the embeddings of all, and in the backward pass each
chunk is encoded again with a graph, under the random state of the first time, and the gradient that arrived at its
embeddings is pulled back to the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nearfar.execution.features import Bags, Padded, rows_of

Chunk = TypeVar("Chunk")
PullBack = Callable[[Tensor], Sequence[Tensor | None]]

DRIFT = 0.05
"""How far the embeddings of the second time may lie from the first, by norm: rounding may differ, dropout may not."""


def cached_encode(
    model: Callable[[dict[str, Any]], Mapping[str, Any]],
    inputs: Sequence[str] | Mapping[str, Any],
    *,
    chunk_tokens: int = 8192,
) -> Tensor:
    """Embeddings of many texts in the memory of a few, with a gradient.

    Texts of like length are encoded together, so that little padding is computed. Where no part of the model is in
    training mode, equal texts are encoded once and the result does not depend on the chunks; in training mode each
    chunk draws its own dropout, which the second pass draws again.

    Args:
        model: a SentenceTransformer, or any callable from features to a mapping with "sentence_embedding".
        inputs: texts, or features as ``model.preprocess(texts)`` returns them, which are left as they are.
        chunk_tokens: tokens of a chunk, padding included; a longer text is a chunk of its own. It bounds the memory
            of the backward pass.

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
    chosen, place = _distinct(rows, repeat=_in_training(model))
    order = chosen[rows.lengths[chosen].argsort(descending=True, stable=True)]
    chunks = order.split(_chunk_sizes(rows.lengths[order].tolist(), chunk_tokens))

    def encode(numbers: Tensor) -> Tensor:
        # A new dict each time: modules write what they compute into the one they get.
        embeddings: Tensor = model(_moved(rows.take(numbers), model))["sentence_embedding"]
        return embeddings

    embeddings = cached(encode, chunks, parameters=model.parameters() if isinstance(model, nn.Module) else ())
    position = torch.empty(len(rows), dtype=torch.long, device=order.device)
    position[order] = torch.arange(len(order), device=order.device)
    return embeddings[position[place].to(embeddings.device)]


def check_chunk_tokens(value: int) -> None:
    """Raise a ValueError unless it is a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"chunk_tokens: found {value!r}, wanted a whole number from 1 up")


def cached(encode: Callable[[Chunk], Tensor], chunks: Iterable[Chunk], *, parameters: Iterable[Tensor] = ()) -> Tensor:
    """``torch.cat([encode(chunk) for chunk in chunks])`` in the memory of one chunk, with the same gradient.

    Every chunk is encoded twice: without a graph now and with one in the backward pass, when the generators of torch
    (CPU, CUDA, MPS) and autocast are as they were. What is random by other means, or depends on the order of calls,
    must be kept alike by `encode` itself.

    Args:
        encode: from a chunk to a tensor of at least one dimension.
        chunks: whatever `encode` takes.
        parameters: tensors that may get a gradient. The leaves that the first chunk's graph leads to are found
            without being named; name those that only later chunks use, and tensors that have a graph of their own.

    Returns:
        The rows of all chunks. Under ``torch.no_grad``, or where nothing needs a gradient, without a graph.

    Raises:
        ValueError: no chunk, or `encode` returns something else than a tensor with rows.
        RuntimeError: in the backward pass, where it is to be differentiated itself (``create_graph=True``), where the
            parameters have changed since, where the second time gives other values, or where a chunk uses a
            parameter that was neither named nor used by the first chunk.
    """
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    graph = torch.is_grad_enabled()
    passes: list[_Pass] = []
    parts: list[Tensor] = []
    for number, chunk in enumerate(chunks):
        passes.append(_Pass(partial(encode, chunk), _State.now()))
        # The first chunk's graph is made to see what it leads to, and dropped.
        look = graph and number == 0
        part, leaves = _first_time(passes[-1], number, wanted if look else None)
        parts.append(part)
        wanted += leaves
    if not passes:
        raise ValueError("chunks: found none, wanted at least one")
    shapes, dtypes = {tuple(part.shape[1:]) for part in parts}, {part.dtype for part in parts}
    if len(shapes) > 1 or len(dtypes) > 1:
        found = " and ".join(sorted(map(str, shapes if len(shapes) > 1 else dtypes)))
        raise ValueError(f"encode: found rows of {found}, wanted those of all chunks alike")
    values = torch.cat(parts)
    if not (graph and wanted):
        return values
    parts = list(values.split([len(part) for part in parts]))
    return run_again(values, partial(_pull_back, passes, parts, wanted), wanted)


def run_again(values: Tensor, pull_back: PullBack, parameters: Sequence[Tensor]) -> Tensor:
    """Values that were computed without a graph, as a function of the parameters.

    Args:
        values: what was computed.
        pull_back: from the gradient of `values` to that of each parameter (None: it has none), by computing them
            again with a graph.
        parameters: tensors that need a gradient.

    Returns:
        `values` with a gradient.
    """
    result: Tensor = _RunAgain.apply(values, pull_back, *parameters)  # type: ignore[no-untyped-call]
    return result


class _RunAgain(torch.autograd.Function):
    """Gives values that have no graph the gradient of running them again with one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, pull_back: PullBack, *parameters: Tensor) -> Tensor:
        ctx.pull_back, ctx.parameters = pull_back, parameters
        ctx.versions = [parameter._version for parameter in parameters]
        # Empty: only for torch's own error where a graph that was not retained is walked a second time.
        ctx.save_for_backward(values.new_empty(0))
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        if torch.is_grad_enabled():
            raise RuntimeError(
                "cached: found create_graph=True, but the cached encoder has no second derivative; encode without it"
            )
        if [parameter._version for parameter in ctx.parameters] != ctx.versions:
            raise RuntimeError(
                "cached: the parameters have changed since the first pass, so that the second would be of another "
                "encoder; run backward before the optimiser's step"
            )
        return None, None, *ctx.pull_back(gradient)


@dataclass(frozen=True)
class _Pass:
    """How to encode a chunk, and the state that it was encoded in."""

    encode: Callable[[], Tensor]
    state: _State


def _first_time(chunk: _Pass, number: int, known: Sequence[Tensor] | None) -> tuple[Tensor, list[Tensor]]:
    """Values of a chunk without a graph and, where `known` is given, the leaves of its graph that are not known."""
    with torch.set_grad_enabled(known is not None), chunk.state.autocast():
        values = chunk.encode()
    if not isinstance(values, Tensor) or values.dim() == 0:
        found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"encode: found {found} for chunk {number}, wanted a tensor with a row for each item")
    # A copy: the first token of each text, say, would keep the memory of all of them.
    return values.detach().clone(), [] if known is None else _unknown_leaves(values, known)


def _pull_back(
    passes: Sequence[_Pass], parts: Sequence[Tensor], parameters: Sequence[Tensor], gradient: Tensor
) -> list[Tensor | None]:
    """The gradient of each parameter, summed over chunks of which one at a time has a graph."""
    totals: list[Tensor | None] = [None] * len(parameters)
    drifts = []
    slopes = gradient.split([len(part) for part in parts])
    with _without_hooks(parameters):
        for number, (chunk, part, slope) in enumerate(zip(passes, parts, slopes, strict=True)):
            drift, pulled = _second_time(chunk, number, part, parameters, slope)
            drifts.append(drift - DRIFT * part.norm())
            # Not in place: autograd may hand the same tensor to several parameters.
            totals = [_sum(total, each) for total, each in zip(totals, pulled, strict=True)]
    if (torch.stack(drifts) > 0).any():
        raise RuntimeError(
            "cached: the encoder gave other embeddings the second time, so that their gradient would be wrong; found a "
            "change of mode, of the inputs, or randomness outside torch's generators"
        )
    return totals


def _second_time(
    chunk: _Pass, number: int, part: Tensor, parameters: Sequence[Tensor], slope: Tensor
) -> tuple[Tensor, Sequence[Tensor | None]]:
    """How far a chunk's values are from those of the first time, and the gradient that it brings each parameter."""
    with torch.enable_grad(), chunk.state.again():
        values = chunk.encode()
    drift = (values.detach() - part).norm()
    if not values.requires_grad:
        return drift, [None] * len(parameters)
    for leaf in _unknown_leaves(values, parameters):
        raise RuntimeError(
            f"cached: chunk {number} uses a parameter of shape {tuple(leaf.shape)} that the first chunk does not; "
            "name it in parameters="
        )
    return drift, torch.autograd.grad(values, list(parameters), slope, allow_unused=True)


def _sum(total: Tensor | None, part: Tensor | None) -> Tensor | None:
    return part if total is None else total if part is None else total + part


def _unknown_leaves(values: Tensor, known: Sequence[Tensor]) -> list[Tensor]:
    """Leaves that the graph of `values` leads to without passing through what is known."""
    if values.is_leaf and values.requires_grad:
        return [] if any(values is tensor for tensor in known) else [values]
    found: list[Tensor] = []
    seen: set[Any] = {None} | {tensor.grad_fn for tensor in known}
    ids = {id(tensor) for tensor in known}
    waiting: list[Any] = [values.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in ids:
            found.append(leaf)
        waiting += [following for following, _ in node.next_functions]
    return found


@contextmanager
def _without_hooks(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Parameters' own hooks belong to the whole gradient, at which autograd calls them, not to each chunk's as well."""
    hooked = [parameter._backward_hooks for parameter in parameters if parameter._backward_hooks]
    kept = [dict(hooks) for hooks in hooked]
    for hooks in hooked:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, those in zip(hooked, kept, strict=True):
            hooks.update(those)


Generator = tuple[Callable[[], Tensor], Callable[[Tensor], None]]


def _generators() -> list[Generator]:
    """How to read and set the state of each default generator that may be drawn from."""
    found: list[Generator] = [(torch.get_rng_state, torch.set_rng_state)]
    if torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            found.append((partial(torch.cuda.get_rng_state, device), partial(torch.cuda.set_rng_state, device=device)))
    if torch.backends.mps.is_available():
        found.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
    return found


@dataclass(frozen=True)
class _State:
    """What torch remembers between calls: the generators, and autocast for each kind of device."""

    generators: tuple[Tensor, ...]
    casts: tuple[tuple[str, bool, torch.dtype], ...]

    @classmethod
    def now(cls) -> _State:
        kinds = filter(torch.amp.is_autocast_available, ("cpu", "cuda", "mps", "xpu"))
        casts = ((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds)
        return cls(tuple(read() for read, _ in _generators()), tuple(casts))

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Autocast as it was, but for its cache: weights cast in one pass have no place in the graph of another."""
        with ExitStack() as stack:
            for kind, enabled, dtype in self.casts:
                stack.enter_context(torch.autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=False))
            yield

    @contextmanager
    def again(self) -> Iterator[None]:
        """The generators and autocast as they were, and afterwards as they are."""
        generators = _generators()[: len(self.generators)]
        now = [read() for read, _ in generators]
        try:
            for (_, write), state in zip(generators, self.generators, strict=True):
                write(state)
            with self.autocast():
                yield
        finally:
            for (_, write), state in zip(generators, now, strict=True):
                write(state)


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


def _in_training(model: Any) -> bool:
    """Whether dropout or the like may be on: then equal texts have different embeddings."""
    return not isinstance(model, nn.Module) or any(module.training for module in model.modules())


def _distinct(rows: Padded | Bags, *, repeat: bool) -> tuple[Tensor, Tensor]:
    """Rows to encode, ``(m,)``, and for each row the one of them that stands for it, ``(n,)``."""
    keys = None if repeat else rows.keys()
    everything = torch.arange(len(rows), device=rows.lengths.device)
    if keys is None:
        return everything, everything
    first: dict[bytes, int] = {}
    place = torch.tensor([first.setdefault(key, number) for number, key in enumerate(keys)], device=everything.device)
    return place.unique(), place


def _chunk_sizes(lengths: Sequence[int], chunk_tokens: int) -> list[int]:
    """How many rows each chunk has; lengths fall, so that a chunk is as wide as its first row."""
    sizes: list[int] = []
    start = 0
    while start < len(lengths):
        sizes.append(min(len(lengths) - start, max(1, chunk_tokens // max(1, lengths[start]))))
        start += sizes[-1]
    return sizes
