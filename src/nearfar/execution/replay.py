"""What torch remembers between calls, so that a chunk can be encoded a second time as it was the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

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
class State:
    """What torch remembers between calls: the generators, and autocast for each kind of device."""

    generators: tuple[Tensor, ...]
    casts: tuple[tuple[str, bool, torch.dtype], ...]

    @classmethod
    def now(cls) -> State:
        kinds = filter(torch.amp.is_autocast_available, ("cpu", "cuda", "mps", "xpu"))
        casts = ((kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds)
        return cls(tuple(read() for read, _ in _generators()), tuple(casts))

    def draws_alike(self, other: State) -> bool:
        """Whether the generators of both are in the same state."""
        pairs = zip(self.generators, other.generators, strict=False)
        return len(self.generators) == len(other.generators) and all(torch.equal(*pair) for pair in pairs)

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
        now = State.now()
        try:
            self.draw_again()
            with self.autocast():
                yield
        finally:
            now.draw_again()

    def draw_again(self) -> None:
        """Put the generators into their state of then."""
        for (_, write), state in zip(_generators(), self.generators, strict=False):  # a GPU may have come since
            write(state)
