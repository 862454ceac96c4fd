"""The static encoder: one vector a subword, their mean, normalised. Seconds to train on a CPU."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from nearfar.encoders.base import Change
from nearfar.encoders.rows import RowAdam, mean_rows
from nearfar.encoders.subwords import MARK, train_subwords
from nearfar.encoders.tokens import Tokens
from nearfar.errors import InputError
from nearfar.settings import Subwords

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

WIDTH, VOCABULARY = 256, 8_000
"""Numbers a vector and most subwords, where nothing else is asked for."""

Batches = Callable[[], Iterable[Sequence[str]]]
"""Makes a fresh pass over the corpus, in batches of texts."""


def build_static(
    batches: Batches,
    *,
    width: int = WIDTH,
    vocabulary: int = VOCABULARY,
    tokenizer: Subwords = "wordpiece",
    sif: float = 3e-3,
    seed: int = 0,
) -> SentenceTransformer:
    """An untrained static encoder for a corpus: its tokenizer, and random vectors weighted by frequency.

    A frequent token says little, so that its vector starts short: a / (a + p), p being the token's share of the
    corpus (smooth inverse frequency, Arora et al. 2017). Since texts are means of token vectors and normalised,
    a weight is only a length and the saved model needs no code of ours.

    Args:
        batches: makes a pass over the corpus; called two or three times.
        width: numbers in a vector.
        vocabulary: most subwords there may be.
        tokenizer: "wordpiece", "bpe" or "unigram".
        sif: the a of a / (a + p); smaller makes frequent tokens count less.
        seed: of the random vectors.

    Returns:
        A SentenceTransformer of StaticEmbedding and Normalize, which plain sentence-transformers opens.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    subwords = train_subwords(lambda: (text for batch in batches() for text in batch), kind=tokenizer, size=vocabulary)
    weights = inverse_frequency(count_tokens(subwords, batches()), sif)
    directions = spelt_directions(vocabulary_of(subwords), width, seed)
    vectors = torch.from_numpy(directions * weights[:, None])
    return SentenceTransformer(modules=[StaticEmbedding(subwords, vectors), Normalize()], device="cpu")


def vocabulary_of(tokenizer: Tokenizer) -> list[str]:
    """The tokens in the order of their ids."""
    by_token: dict[str, int] = tokenizer.get_vocab()
    return sorted(by_token, key=by_token.__getitem__)


def spelt_directions(tokens: Sequence[str], width: int, seed: int) -> NDArray[np.float32]:
    """``(V, width)``, length 1: half of each is its token's own random direction, half that of its spelling.

    The spelling is the sum of a random direction for each of the token's 2- to 4-grams of characters (Hangul
    as jamo), so that tokens of like spelling start near each other, as in fastText (Bojanowski et al. 2017).
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.preprocessing import normalize

    words = [f"<{unicodedata.normalize('NFD', token).removeprefix(MARK)}>" for token in tokens]
    grams = CountVectorizer(analyzer="char", ngram_range=(2, 4), lowercase=False, binary=True).fit_transform(words)
    generator = np.random.default_rng(seed)
    own = generator.standard_normal((len(tokens), width), np.float32)
    spelling = grams.astype(np.float32) @ generator.standard_normal((grams.shape[1], width), np.float32)
    mixed: NDArray[np.float32] = normalize(normalize(own) + normalize(spelling))
    return mixed


def count_tokens(tokenizer: Tokenizer, batches: Iterable[Sequence[str]]) -> NDArray[np.int64]:
    """``(V,)``: how often each token occurs."""
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for rows in encode_ids(tokenizer, batches):
        counts += np.bincount(np.concatenate([np.asarray(row, np.int64) for row in rows]), minlength=len(counts))
    return counts


def inverse_frequency(counts: NDArray[np.int64], a: float) -> NDArray[np.float32]:
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
    """Training view of a model whose first module is a StaticEmbedding.

    A token's part in a mean is ``exp(log_weight) * vector``. Usually the vectors alone are learnt: Adam gives each
    row a step of one size, so that the short vectors of frequent tokens, of which there is much evidence, turn
    quickly. Where there is little data, learning the weights of vectors that stay as they are is the better choice.
    """

    model: SentenceTransformer
    vectors: Tensor
    log_weights: Tensor | None
    learning_rate: float = 5e-3
    weight_learning_rate: float = 0.0
    batch_size: int = 512
    epochs: int = 8
    gradient_clip: float | None = None
    token_dropout: float = 0.0
    chunk_tokens: int | None = None

    @classmethod
    def of(cls, model: SentenceTransformer, **options: Any) -> StaticEncoder:
        """Start from the model's vectors, with weights of 1."""
        vectors = model[0].embedding.weight.detach().clone()
        learnt = options.get("weight_learning_rate", 0) > 0
        return cls(model, vectors, torch.zeros(len(vectors), 1).requires_grad_() if learnt else None, **options)

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        return Tokens.store(encode_ids(self.model[0].tokenizer, batches))

    def thinned(self, tokens: Tokens) -> Tokens:
        if not (self.model.training and self.token_dropout):
            return tokens
        # torch's generator, so that one seed and one replay serve every encoder.
        return tokens.keep((torch.rand(len(tokens.ids)) >= self.token_dropout).numpy())

    def embed(self, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
        from sentence_transformers.sentence_transformer.modules import Normalize

        means = mean_rows(self.vectors, self.log_weights, tokens) if change is None else self._changed(tokens, change)
        features: dict[str, Any] = {"sentence_embedding": means}
        modules = list(self.model)[1:]
        if any_length and modules and isinstance(modules[-1], Normalize):
            modules.pop()  # two more passes over the batch, forward and back, for what nobody asks
        for module in modules:
            features = module(features)
        embedded: Tensor = features["sentence_embedding"]
        return embedded

    def _changed(self, tokens: Tokens, change: Change) -> Tensor:
        """The means of token vectors that `change` has been at, which therefore are laid out one by one."""
        ids, mask = (torch.from_numpy(part).to(self.vectors.device) for part in tokens.padded())
        rows = ids[mask].unique()  # once each and rising: their gradient is coalesced as it comes
        if not len(rows):
            return self.vectors.new_zeros((len(tokens), self.vectors.shape[1]))
        used = embedding(rows, self.vectors, sparse=True)
        if self.log_weights is not None:
            used = used * embedding(rows, self.log_weights, sparse=True).exp()
        places = torch.searchsorted(rows, ids).clamp(max=len(rows) - 1)  # of padding: any
        total = (change(embedding(places, used), mask) * mask[..., None]).sum(1)
        return total / mask.sum(1, keepdim=True).clamp(min=1)

    def halve(self) -> int | None:
        return None

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        if not (learning_rate or self.weight_learning_rate):
            raise InputError("learning_rate: found 0 for vectors and weights, wanted one of them above 0")
        self.vectors.requires_grad_(learning_rate > 0)
        rates = ((self.vectors, learning_rate), (self.log_weights, self.weight_learning_rate))
        return RowAdam([{"params": [rows], "lr": rate} for rows, rate in rates if rows is not None and rate > 0])

    def parameters(self) -> Sequence[Tensor]:
        return [rows for rows in (self.vectors, self.log_weights) if rows is not None]

    def state(self) -> dict[str, Tensor]:
        named = {"vectors": self.vectors, "log_weights": self.log_weights}
        return {name: rows for name, rows in named.items() if rows is not None}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, rows in self.state().items():
            rows.copy_(state[name])

    @torch.no_grad()
    def fold(self) -> None:
        weights = 1 if self.log_weights is None else self.log_weights.exp()
        self.model[0].embedding.weight.copy_(weights * self.vectors)

    def finish(self) -> None:
        pass
