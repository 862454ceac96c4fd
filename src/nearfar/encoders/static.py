"""The static encoder: one vector a subword, their mean, normalised. Seconds to train on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nearfar.encoders.rows import RowAdam, mean_rows
from nearfar.encoders.subwords import Subwords, train_subwords
from nearfar.encoders.tokens import Tokens

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

Batches = Callable[[], Iterable[Sequence[str]]]
"""Makes a fresh pass over the corpus, in batches of texts."""


def build_static(
    batches: Batches,
    *,
    width: int = 256,
    vocabulary: int = 16_000,
    tokenizer: Subwords = "wordpiece",
    seed: int = 0,
) -> SentenceTransformer:
    """An untrained static encoder for a corpus: its tokenizer, and random vectors weighted by frequency.

    A frequent token says little, so that its vector starts short: a / (a + p) of a random one, p being the
    token's share of the corpus (smooth inverse frequency, Arora et al. 2017). Since texts are means of
    token vectors and normalised, a weight is only a length and the saved model needs no code of ours.

    Args:
        batches: makes a pass over the corpus; called twice.
        width: numbers in a vector.
        vocabulary: most subwords there may be.
        tokenizer: "wordpiece", "bpe" or "unigram".
        seed: of the random vectors.

    Returns:
        A SentenceTransformer of StaticEmbedding and Normalize, which plain sentence-transformers opens.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    subwords = train_subwords((text for batch in batches() for text in batch), kind=tokenizer, size=vocabulary)
    weights = inverse_frequency(count_tokens(subwords, batches()))
    directions = np.random.default_rng(seed).standard_normal((len(weights), width), np.float32)
    vectors = torch.from_numpy(directions * weights[:, None])
    return SentenceTransformer(modules=[StaticEmbedding(subwords, vectors), Normalize()], device="cpu")


def count_tokens(tokenizer: Tokenizer, batches: Iterable[Sequence[str]]) -> NDArray[np.int64]:
    """``(V,)``: how often each token occurs."""
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for rows in encode_ids(tokenizer, batches):
        counts += np.bincount(np.concatenate([np.asarray(row, np.int64) for row in rows]), minlength=len(counts))
    return counts


def inverse_frequency(counts: NDArray[np.int64], a: float = 1e-3) -> NDArray[np.float32]:
    """a / (a + p) for each token, ``(V,)``: Arora, Liang & Ma 2017, eq. 1 of algorithm 1."""
    share = counts / max(counts.sum(), 1)
    weights: NDArray[np.float32] = (a / (a + share)).astype(np.float32)
    return weights


def encode_ids(tokenizer: Tokenizer, batches: Iterable[Sequence[str]]) -> Iterable[list[list[int]]]:
    """Token ids of each batch of texts, without special tokens."""
    for batch in batches:
        # Only the ids are needed, and encode_batch_fast leaves the offsets out.
        yield [encoding.ids for encoding in tokenizer.encode_batch_fast(list(batch), add_special_tokens=False)]


@dataclass(frozen=True)
class StaticEncoder:
    """Training view of a model whose first module is a StaticEmbedding."""

    model: SentenceTransformer
    learning_rate: float = 0.02
    batch_size: int = 1024
    epochs: int = 20
    gradient_clip: float | None = None

    @property
    def _weight(self) -> Tensor:
        weight: Tensor = self.model[0].embedding.weight
        return weight

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        return Tokens.store(encode_ids(self.model[0].tokenizer, batches))

    def embed(self, tokens: Tokens) -> Tensor:
        features: dict[str, Any] = {"sentence_embedding": mean_rows(self._weight, tokens)}
        for module in list(self.model)[1:]:
            features = module(features)
        embedding: Tensor = features["sentence_embedding"]
        return embedding

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        return RowAdam([self._weight], lr=learning_rate)
