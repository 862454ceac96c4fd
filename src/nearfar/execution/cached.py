"""The cached encoder: a batch of any size in the memory of a few chunks.

Gao, Zhang, Han & Callan 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache).
Chunks are encoded, whatever loss follows works on the embeddings of all, and in the backward pass the gradient that
arrived at a chunk's embeddings is pulled back to the parameters. The graphs of as many chunks as memory is given for
are kept until then; every other chunk is first encoded without a graph and then again with one, under the random
state of the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from nearfar.execution.derivative import once
from nearfar.execution.graphs import SavedBytes, unknown_leaves, without_hooks
from nearfar.execution.replay import State

Chunk = TypeVar("Chunk")
PullBack = Callable[[Tensor], Sequence[Tensor | None]]

DRIFT = 0.05
"""How far the embeddings of the second time may lie from the first, by norm: rounding may differ, dropout may not."""


def cached(
    encode: Callable[[Chunk], Tensor],
    chunks: Iterable[Chunk],
    *,
    parameters: Iterable[Tensor] = (),
    keep_bytes: int = 0,
) -> Tensor:
    """``torch.cat([encode(chunk) for chunk in chunks])`` in the memory of one chunk, with the same gradient.

    Every chunk is encoded twice: without a graph now and with one in the backward pass, when the generators of torch
    (CPU, CUDA, MPS) and autocast are as they were. What is random by other means, or depends on the order of calls,
    must be kept alike by `encode` itself. The first chunks' graphs are kept instead, within `keep_bytes`; neither
    values nor gradients depend on that.

    Args:
        encode: from a chunk to a tensor of at least one dimension.
        chunks: whatever `encode` takes.
        parameters: tensors that may get a gradient. The leaves that the first chunk's graph leads to are found
            without being named; name those that only later chunks use, and tensors that have a graph of their own.
        keep_bytes: memory for graphs that are kept, beside that of the one chunk. A chunk is taken to need as much as
            the one before it, so put the largest first.

    Returns:
        The rows of all chunks. Under ``torch.no_grad``, or where nothing needs a gradient, without a graph.

    Raises:
        ValueError: no chunk, `keep_bytes` below 0, or `encode` returns something else than a tensor with rows.
        RuntimeError: in the backward pass, where it is to be differentiated itself (``create_graph=True``), where the
            parameters have changed since, where the second time gives other values, or where a chunk uses a
            parameter that was neither named nor used by a chunk whose graph was made the first time.
    """
    if keep_bytes < 0:
        raise ValueError(f"keep_bytes: found {keep_bytes}, wanted a number from 0 up")
    wanted = [parameter for parameter in parameters if parameter.requires_grad]
    graph = torch.is_grad_enabled()
    room = _Room(keep_bytes)
    passes: list[_Pass] = []
    parts: list[Tensor] = []
    for number, chunk in enumerate(chunks):
        passes.append(_Pass(partial(encode, chunk), State.now()))
        # The first chunk's graph is made in any case, to see what it leads to.
        with_graph = graph and (number == 0 or room.is_left)
        part, leaves = _first_time(passes[-1], number, wanted if with_graph else None, room)
        parts.append(part)
        wanted += leaves
    values = _joined(parts)
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
    @once("the cached encoder")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        if [parameter._version for parameter in ctx.parameters] != ctx.versions:
            raise RuntimeError(
                "cached: the parameters have changed since the first pass, so that the second would be of another "
                "encoder; run backward before the optimiser's step"
            )
        return None, None, *ctx.pull_back(gradient)


@dataclass
class _Pass:
    """How to encode a chunk, the state that it was encoded in, and its values where their graph is kept."""

    encode: Callable[[], Tensor]
    state: State
    kept: Tensor | None = None


@dataclass
class _Room:
    """Memory for kept graphs, of which the last tells what the next may need."""

    left: int
    last: int = 0

    @property
    def is_left(self) -> bool:
        return 0 < self.last <= self.left

    def takes(self, size: int) -> bool:
        """Whether a graph of this size still fits; then there is less room."""
        fits = size <= self.left
        self.left = self.left - size if fits else 0  # once full it stays so: the first chunks are kept
        self.last = size
        return fits


def _first_time(chunk: _Pass, number: int, known: Sequence[Tensor] | None, room: _Room) -> tuple[Tensor, list[Tensor]]:
    """Values of a chunk and, where its graph is made (`known` is given), the leaves of that which are not known."""
    saved = SavedBytes()
    measuring = saved.watch() if known is not None and room.left else nullcontext()
    with torch.set_grad_enabled(known is not None), chunk.state.autocast(), measuring:
        values = chunk.encode()
    if not isinstance(values, Tensor) or values.dim() == 0:
        found = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"encode: found {found} for chunk {number}, wanted a tensor with a row for each item")
    if values.requires_grad and room.left and room.takes(saved.total):
        chunk.kept = values
    # A copy: the first token of each text, say, would keep the memory of all of them.
    return values.detach().clone(), [] if known is None else unknown_leaves(values, known)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    if not parts:
        raise ValueError("chunks: found none, wanted at least one")
    shapes, dtypes = {tuple(part.shape[1:]) for part in parts}, {part.dtype for part in parts}
    if len(shapes) > 1 or len(dtypes) > 1:
        found = " and ".join(sorted(map(str, shapes if len(shapes) > 1 else dtypes)))
        raise ValueError(f"encode: found rows of {found}, wanted those of all chunks alike")
    return torch.cat(list(parts))


def _pull_back(
    passes: Sequence[_Pass], parts: Sequence[Tensor], parameters: Sequence[Tensor], gradient: Tensor
) -> list[Tensor | None]:
    """The gradient of each parameter, summed over chunks; beside the kept graphs one at a time is there."""
    totals = _Totals(len(parameters))
    drifts = []
    slopes = gradient.split([len(part) for part in parts])
    with without_hooks(parameters):
        for number, (chunk, part, slope) in enumerate(zip(passes, parts, slopes, strict=True)):
            values, chunk.kept = chunk.kept, None  # its graph is gone with the use
            if values is None:
                values = _second_time(chunk, number, parameters)
                drifts.append((values.detach() - part).norm() - DRIFT * part.norm())
            if values.requires_grad:
                totals.add(torch.autograd.grad(values, list(parameters), slope, allow_unused=True))
    if drifts and (torch.stack(drifts) > 0).any():
        raise RuntimeError(
            "cached: the encoder gave other embeddings the second time, so that their gradient would be wrong; found a "
            "change of mode, of the inputs, or randomness outside torch's generators"
        )
    return totals.parts


def _second_time(chunk: _Pass, number: int, parameters: Sequence[Tensor]) -> Tensor:
    """Values of a chunk with a graph that leads to `parameters` alone."""
    with torch.enable_grad(), chunk.state.again():
        values = chunk.encode()
    for leaf in unknown_leaves(values, parameters) if values.requires_grad else ():
        raise RuntimeError(
            f"cached: chunk {number} uses a parameter of shape {tuple(leaf.shape)} that the first chunk does not; "
            "name it in parameters="
        )
    return values


class _Totals:
    """Sums of gradients, in place once they are our own: autograd may hand the same tensor to several parameters."""

    def __init__(self, count: int) -> None:
        self.parts: list[Tensor | None] = [None] * count
        self._own = [False] * count

    def add(self, slopes: Sequence[Tensor | None]) -> None:
        for place, slope in enumerate(slopes):
            total = self.parts[place]
            if slope is None:
                continue
            if total is None:
                self.parts[place] = slope
            elif self._own[place] and total.layout == torch.strided:
                total.add_(slope)
            else:
                self.parts[place], self._own[place] = total + slope, True
