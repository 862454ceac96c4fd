"""Opening what is already trained: a local folder or a hub name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nearfar.encoders.base import Change, Encoder
from nearfar.encoders.static import StaticEncoder
from nearfar.encoders.tokens import Tokens
from nearfar.errors import InputError
from nearfar.hub import reachable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


ADDED = ("bos", "eos", "cls", "sep", "pad")
"""Special tokens that a tokenizer adds to a text, as transformers names them."""


def open_model(name: str | Path, *, device: str | None = None) -> SentenceTransformer:
    """Open a SentenceTransformer.

    Args:
        name: a local folder, or a name on the Hugging Face hub.
        device: "cpu", "cuda" ...; None lets sentence-transformers choose.

    Raises:
        InputError: it is neither, or the folder holds no model; one line with the reason.
    """
    from sentence_transformers import SentenceTransformer

    path = Path(name)
    local = path.exists() or str(name).startswith((".", "/", "~")) or len(path.parts) > 2
    if local and not path.is_dir():
        raise InputError(f"{name}: found no folder, wanted the folder of a model")
    if local and not ((path / "modules.json").is_file() or (path / "config.json").is_file()):
        raise InputError(f"{name}: found no modules.json or config.json, wanted the folder of a model")
    try:
        return SentenceTransformer(str(name), device=device, local_files_only=local or not reachable())
    except Exception as error:  # whatever transformers, safetensors or the hub raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        wanted = "a folder of a model" if local else "a folder of a model or a name the hub knows"
        raise InputError(f"{name}: could not open it as an encoder, wanted {wanted} ({reason})") from error


def open_encoder(
    model: SentenceTransformer,
    name: str = "encoder",
    *,
    token_dropout: float = 0.0,
    weight_learning_rate: float | None = None,
) -> Encoder:
    """The training view of a model.

    Args:
        model: the encoder.
        name: for messages.
        token_dropout: of a static encoder; a transformer brings its own.
        weight_learning_rate: of a static encoder's token weights; None takes its default.

    Raises:
        InputError: its first module is neither a StaticEmbedding nor a transformer with a tokenizer.
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding, Transformer

    first = model[0]
    if isinstance(first, StaticEmbedding):
        options: dict[str, float] = {"token_dropout": token_dropout}
        if weight_learning_rate is not None:
            options["weight_learning_rate"] = weight_learning_rate
        return StaticEncoder.of(model, **options)
    if isinstance(first, Transformer) and first.tokenizer is not None:
        return TransformerEncoder(model)
    raise InputError(
        f"{name}: found a model that starts with {type(first).__name__}, wanted StaticEmbedding or Transformer"
    )


@dataclass(frozen=True)
class TransformerEncoder:
    """Training view of a model whose first module is a transformer."""

    model: SentenceTransformer
    learning_rate: float = 2e-5
    batch_size: int = 64
    epochs: int = 1
    gradient_clip: float | None = 1.0

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        tokenizer, longest = self.model[0].tokenizer, self.model.max_seq_length
        return Tokens.store(
            tokenizer(list(batch), truncation=longest is not None, max_length=longest)["input_ids"] for batch in batches
        )

    def thinned(self, tokens: Tokens) -> Tokens:
        return tokens

    def embed(self, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
        features = self.model[0].tokenizer.pad({"input_ids": tokens.rows()}, return_tensors="pt")
        moved: dict[str, Any] = {name: value.to(self.model.device) for name, value in features.items()}
        with nullcontext() if change is None else self._changing(change, moved):
            embedding: Tensor = self.model(moved)["sentence_embedding"]
        return embedding

    @contextmanager
    def _changing(self, change: Change, features: dict[str, Any]) -> Iterator[None]:
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

    def state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.model.state_dict()
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(state)

    def parameters(self) -> Sequence[Tensor]:
        return list(self.model.parameters())

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.model.parameters(), lr=learning_rate, weight_decay=0.01)
