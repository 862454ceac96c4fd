"""A transformer whose parameters are shared out among ranks (FSDP2), as the trainer sees it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed

from nearfar.encoders.base import Change
from nearfar.encoders.parts import as_parts, gathered
from nearfar.encoders.tokens import Tokens
from nearfar.encoders.transformer import VECTORS, TransformerEncoder, adamw
from nearfar.execution.cached import run_again
from nearfar.execution.encode import chunk_sizes
from nearfar.execution.features import Bags, Padded, rows_of
from nearfar.execution.replay import State

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class ShardedEncoder:
    """Training view of a transformer of which each rank holds a part.

    A forward pass puts a layer's parameters together for as long as the layer takes, and a backward pass hands each
    rank the gradient of its part, which wants all ranks at the same place: all encode equally many chunks, twice each,
    and what learns, is saved or loaded is to be called on all of them. Without a gradient `embed` asks the whole
    encoder.

    Attributes:
        model: the whole encoder, as the last `fold` left it: what is measured and saved.

    Args:
        whole: the encoder before it learns.
        shard: gives a copy of a model whose parameters are shared out.
    """

    def __init__(self, whole: TransformerEncoder, shard: Callable[[SentenceTransformer], SentenceTransformer]) -> None:
        self.whole, self.model = whole, whole.model
        self.learning_rate, self.batch_size, self.epochs = whole.learning_rate, whole.batch_size, whole.epochs
        self.gradient_clip, self.chunk_tokens = whole.gradient_clip, whole.chunk_tokens
        self.sharded = shard(copy.deepcopy(whole.model))

    def tokenise(self, batches: Iterable[Sequence[str]]) -> Tokens:
        return self.whole.tokenise(batches)

    def thinned(self, tokens: Tokens) -> Tokens:
        return tokens

    def embed(self, tokens: Tokens, *, any_length: bool = False, change: Change | None = None) -> Tensor:
        if not torch.is_grad_enabled():  # to look at texts is for any rank alone
            return self.whole.embed(tokens, any_length=any_length, change=change)
        assert change is None, "views of token vectors are refused beforehand"
        self.sharded.train(self.model.training)
        features = self.model[0].tokenizer.pad({"input_ids": tokens.rows()}, return_tensors="pt")
        return replayed(self.sharded, features, self.chunk_tokens)

    def halve(self) -> int | None:
        return None

    def fold(self) -> None:
        self.model.load_state_dict(self.state())

    def finish(self) -> None:
        self.whole.finish()

    def state(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = gathered(self.sharded.state_dict())
        return found

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, known in self.sharded.state_dict().items():
            known.copy_(as_parts(state[name], known))

    def parameters(self) -> Sequence[Tensor]:
        return list(self.sharded.parameters())

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        return adamw(self.sharded, learning_rate)


def replayed(model: SentenceTransformer, features: Mapping[str, Any], chunk_tokens: int) -> Tensor:
    """Embeddings ``(n, d)`` of features by a model that is shared out, with a gradient, in the memory of a chunk.

    As `nearfar.cached_encode`, but that every rank encodes as many chunks as the one that has most, and that gradients
    go straight to the parameters: only there does the model share them out. They are sums over ranks.
    """
    rows = rows_of(features)
    order = rows.lengths.argsort(descending=True, stable=True)
    chunks = list(order.split(chunk_sizes(rows.lengths[order].tolist(), chunk_tokens)))
    most = torch.tensor(len(chunks))
    distributed.all_reduce(most, distributed.ReduceOp.MAX)
    chunks += [chunks[-1][:1]] * (int(most) - len(chunks))  # their embeddings are wanted by nobody

    states, parts = [], []
    for chunk in chunks:
        states.append(State.now())
        with torch.no_grad(), states[-1].autocast():
            parts.append(_encoded(model, rows, chunk))
    passes = _Passes(model, rows, chunks, states)
    trigger = torch.zeros((), requires_grad=True)  # the parameters get their gradients past autograd's graph
    values = run_again(torch.cat(parts), passes.pull_back, [trigger])
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return values[place.to(values.device)]


class _Passes:
    """How chunks were encoded, and how the gradient at their embeddings goes on to the parameters."""

    def __init__(
        self, model: SentenceTransformer, rows: Padded | Bags, chunks: Sequence[Tensor], states: Sequence[State]
    ) -> None:
        self.model, self.rows, self.chunks, self.states = model, rows, chunks, states

    def pull_back(self, gradient: Tensor) -> tuple[None]:
        slopes = gradient.split([len(chunk) for chunk in self.chunks])
        for chunk, state, slope in zip(self.chunks, self.states, slopes, strict=True):
            with torch.enable_grad(), state.again():
                values = _encoded(self.model, self.rows, chunk)
            # FSDP takes the mean over ranks, but each holds its own rows' share of one gradient.
            torch.autograd.backward(values, slope * distributed.get_world_size())
        return (None,)


def _encoded(model: SentenceTransformer, rows: Padded | Bags, chunk: Tensor) -> Tensor:
    moved = {
        name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in rows.take(chunk).items()
    }
    embeddings: Tensor = model(moved)[VECTORS]
    return embeddings
