"""Graphs of autograd: what they lead to, and what they keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks


def unknown_leaves(values: Tensor, known: Sequence[Tensor]) -> list[Tensor]:
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
def without_hooks(parameters: Iterable[Tensor]) -> Iterator[None]:
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


@dataclass
class SavedBytes:
    """How much memory the graph made within `watch` keeps for its backward pass.

    Attributes:
        total: bytes, each piece of memory counted once; parameters are there in any case and count nothing.
    """

    total: int = 0
    _seen: set[int] = field(default_factory=set)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count what is saved in the block."""
        with saved_tensors_hooks(self._pack, lambda tensor: tensor):
            yield

    def _pack(self, tensor: Tensor) -> Tensor:
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, nn.Parameter):
            place = tensor.untyped_storage().data_ptr()
            self.total += 0 if place in self._seen else tensor.untyped_storage().nbytes()
            self._seen.add(place)
        return tensor.detach()  # the result of a node, kept by that node as it is, would never be freed
