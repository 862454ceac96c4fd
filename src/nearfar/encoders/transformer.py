"""A transformer as the trainer sees it: any batch in the memory of a few chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nearfar.encoders.adapters import merge_adapters
from nearfar.encoders.base import AtOnce, Change
from nearfar.encoders.memory import fitting_chunk, room_for_graphs
from nearfar.encoders.tokens import Tokens
from nearfar.execution.encode import cached_encode

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ADDED = ("bos", "eos", "cls", "sep", "pad")
"""Special tokens that a tokenizer adds to a text, as transformers names them."""


VECTORS = "sentence_embedding"
"""What sentence-transformers calls the result."""


@dataclass
class TransformerEncoder:
    """Training view of a model whose first module is a transformer.

    A batch is encoded in chunks of texts of like length (`nearfar.cached_encode`), so that it may be of any size. The
    graphs of as many chunks as there is room for are kept; the others are encoded a second time.

    Attributes:
        chunk_tokens: tokens of a chunk, padding included.
        keep_bytes: room for kept graphs.
    """

    model: SentenceTransformer
    chunk_tokens: int
    keep_bytes: int
    learning_rate: float = 2e-5
    batch_size: int = 256
    epochs: int = 1
    gradient_clip: float | None = 1.0

    @classmethod
    def of(
        cls, model: SentenceTransformer, *, chunk_tokens: int | None = None, keep_bytes: int | None = None
    ) -> TransformerEncoder:
        """With what suits the memory there is where None."""
        return cls(
            model,
            fitting_chunk(model) if chunk_tokens is None else chunk_tokens,
            room_for_graphs(model) if keep_bytes is None else keep_bytes,
        )

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        tokenizer, longest = self.model[0].tokenizer, self.model.max_seq_length
        return Tokens.store(
            tokenizer(list(batch), truncation=longest is not None, max_length=longest)["input_ids"] for batch in batches
        )

    def thinned(self, tokens: Tokens) -> Tokens:
        return tokens

    def embed(self, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
        features = self.model[0].tokenizer.pad({"input_ids": tokens.rows()}, return_tensors="pt")
        if change is None:
            return cached_encode(self.model, features, chunk_tokens=self.chunk_tokens, keep_bytes=self.keep_bytes)
        changed = _Changed(self, change)
        if isinstance(change, AtOnce):
            embedding: Tensor = changed({name: value.to(changed.device) for name, value in features.items()})[VECTORS]
            return embedding
        # A changed column comes beside a plain one, which has what room there is.
        return cached_encode(changed, features, chunk_tokens=self.chunk_tokens)

    def halve(self) -> int | None:
        self.chunk_tokens //= 2
        self.keep_bytes //= 2
        return self.chunk_tokens or None

    @contextmanager
    def changing(self, change: Change, features: dict[str, Any]) -> Iterator[None]:
        """Within the block the model's first layer gives what `change` makes of its vectors.

        What follows, positions among it, is added to the changed vectors, so tokens that change places are tokens
        whose positions change.
        """
        ids, tokenizer = features["input_ids"], self.model[0].tokenizer
        added = [getattr(tokenizer, f"{name}_token_id", None) for name in ADDED]  # an unknown word is a text's own
        special = torch.tensor([number for number in added if number is not None], device=ids.device)
        mask = features["attention_mask"].bool() & ~torch.isin(ids, special)
        layer = self.model[0].model.get_input_embeddings()
        handle = layer.register_forward_hook(lambda module, inputs, vectors: change(vectors, mask))
        try:
            yield
        finally:
            handle.remove()

    def fold(self) -> None:
        pass

    def finish(self) -> None:
        merge_adapters(self.model)

    def state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.model.state_dict()
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(state)

    def parameters(self) -> Sequence[Tensor]:
        return list(self.model.parameters())

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        return adamw(self.model, learning_rate)


def adamw(model: torch.nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser of a transformer's parameters."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(learnt, lr=learning_rate, weight_decay=0.01)


class _Changed:
    """The model under a change of token vectors."""

    def __init__(self, encoder: TransformerEncoder, change: Change) -> None:
        self.encoder, self.change, self.device = encoder, change, encoder.model.device

    def __call__(self, features: dict[str, Any]) -> dict[str, Any]:
        with self.encoder.changing(self.change, features):
            embedded: dict[str, Any] = self.encoder.model(features)
        return embedded
