"""What the trainer asks of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nearfar.encoders.tokens import Tokens

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

Change = Callable[["Tensor", "Tensor"], "Tensor"]
"""Other token vectors ``(n, L, d)`` in the place of those given, with a mask ``(n, L)`` of a text's own tokens."""


@dataclass(frozen=True)
class AtOnce:
    """A change that must see all texts of a batch together, in their order; any other may be shown some at a time."""

    change: Change

    def __call__(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return self.change(vectors, mask)


class Encoder(Protocol):
    """A SentenceTransformer that is tokenised once and embedded in training mode many times."""

    @property
    def model(self) -> SentenceTransformer:
        """The encoder itself."""

    @property
    def learning_rate(self) -> float:
        """The rate to start from where the user names none."""

    @property
    def batch_size(self) -> int:
        """The batch to take where the user names none."""

    @property
    def epochs(self) -> int:
        """Passes over the data where the user names no end."""

    @property
    def gradient_clip(self) -> float | None:
        """Largest norm of the gradient; None leaves it as it is."""

    @property
    def chunk_tokens(self) -> int | None:
        """Tokens that are encoded at a time; None where a batch is encoded at once."""

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        """Token ids of all texts, kept on disk."""

    def thinned(self, tokens: Tokens) -> Tokens:
        """The texts as a step of training sees them: without tokens that are left out at random, if any are."""

    def embed(self, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
        """``(n, d)`` with a graph back to the parameters.

        Where `any_length` is true only the directions are asked for, and lengths may be left as they fall. Before
        anything else, `change` has its way with the token vectors.
        """

    def halve(self) -> int | None:
        """Take half the memory from now on; the tokens that are then encoded at a time, None where that is no way."""

    def parameters(self) -> Sequence[Tensor]:
        """What is learnt, in the form in which it is learnt."""

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """The optimiser that suits the parameters, each group's rate in proportion to `learning_rate`."""

    def state(self) -> dict[str, Tensor]:
        """Everything that learning changes, by name: the tensors themselves, no copies."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take on what `state` gave of an encoder made alike."""

    def fold(self) -> None:
        """Write what was learnt into `model`, where it is learnt in another form."""

    def finish(self) -> None:
        """Training is over: leave in `model` nothing that sentence-transformers alone would not open."""


def chunks(texts: Sequence[str], size: int = 1000) -> Iterator[Sequence[str]]:
    """Runs of at most `size` texts."""
    for start in range(0, len(texts), size):
        yield texts[start : start + size]
