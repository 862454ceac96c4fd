"""A text's vector as a sum of vectors, one for each of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from nearfar.encoders import is_static
from nearfar.encoders.prompts import DEFAULT, prompt_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Vectors = NDArray[np.float64]

Tell = Callable[[float], None]
"""Is given the share that is done."""

AT_ONCE = 1024
"""Tokens that go through the model together."""


@dataclass(frozen=True)
class Read:
    """A text as a model reads it.

    Attributes:
        text: with the prompt before it.
        spans: where in it each of its n own tokens begins and ends; tokens may share a character.
        places: ``(n,)``: where these tokens are among all positions.
        vectors: ``(L, d)``: of all positions, special tokens among them.
        reference: ``(L, d)``: the same without the text; equal where a position is not its own.
        pooled: from ``(r, L, d)`` to ``(r, k)``, the text's vector before it is normalised.
        linear: whether `pooled` is.
        left_out: tokens beyond what the model reads.
    """

    text: str
    spans: Sequence[tuple[int, int]]
    places: NDArray[np.int64]
    vectors: Tensor
    reference: Tensor
    pooled: Callable[[Tensor], Tensor]
    linear: bool = False
    left_out: int = 0


@dataclass(frozen=True)
class Parts:
    """A text's vector of length 1, taken apart: the sum of `vectors`, but for an error of integration.

    Attributes:
        units: n tokens, or runs of neighbouring tokens.
        vectors: ``(n, k)``: the part of each.
        vector: ``(k,)``: what the model says.
        exact: whether there is no error of integration.
        left_out: tokens beyond what the model reads.
    """

    units: tuple[str, ...]
    vectors: Vectors
    vector: Vectors
    exact: bool
    left_out: int


def parts_of(
    model: SentenceTransformer,
    text: str,
    *,
    steps: int,
    units: int,
    name: str = "text",
    tell: Tell = lambda share: None,
) -> Parts:
    """Take a text's vector apart by integrated gradients (Sundararajan et al. 2017), with their direction kept.

    With x the token vectors, r the reference and e the vector before it is normalised, a token's part is the integral
    of (d e / d x_i)(r + a (x - r)) (x_i - r_i) over a from 0 to 1, by Gauss-Legendre at `steps` nodes. These sum up to
    e(x) - e(r), and e(r), what the model says where there is no text, is shared out evenly; then all is divided by the
    length of e(x). Where e is the mean of token vectors and r is 0, a part is x_i / n over that length, exactly.

    Args:
        model: the encoder.
        text: with at least one token.
        steps: nodes of the integral.
        units: parts at the most; neighbouring tokens of a longer text go together, as evenly as can be.
        name: of the text, for messages.
        tell: told how far it is.

    Raises:
        InputError: the text has no token, or the model is neither static nor a transformer.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the others cannot be differentiated twice
            read = _read(model, prompt_of(model, DEFAULT) + text)
            if not len(read.places):
                raise InputError(f"{name}: found {text!r}, of which the model reads nothing, wanted some words")
            ends = read.pooled(torch.stack([read.reference, read.vectors])).double().cpu().numpy()
            runs = np.array_split(np.arange(len(read.places)), min(units, len(read.places)))
            lengths = np.array([len(run) for run in runs])[:, None]
            found = lengths / lengths.sum() * ends[0] + _integrals(
                read, [read.places[run] for run in runs], 1 if read.linear else steps, tell
            )
    finally:
        model.train(training)
    length = max(float(np.linalg.norm(ends[1])), np.finfo(np.float32).tiny)
    labels = tuple(text_of(read, run) for run in runs)
    return Parts(labels, found / length, ends[1] / length, read.linear, read.left_out)


def text_of(read: Read, run: NDArray[np.int64]) -> str:
    """What a run of neighbouring tokens stands for."""
    spans = [read.spans[place] for place in run]
    return read.text[min(start for start, _ in spans) : max(end for _, end in spans)].strip()


def _integrals(read: Read, runs: Sequence[NDArray[np.int64]], steps: int, tell: Tell) -> Vectors:
    """``(len(runs), k)``: what each run of positions adds on the way from the reference."""
    change = read.vectors - read.reference
    directions = change.new_zeros(len(runs), *change.shape)
    for row, places in enumerate(runs):
        directions[row, places] = change[places]
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    found: Vectors = np.zeros(())
    size = max(1, AT_ONCE // len(change))
    for start in range(0, steps, size):
        share = torch.tensor((nodes[start : start + size] + 1) / 2, dtype=change.dtype, device=change.device)
        slopes = _slopes(read, read.reference + share[:, None, None] * change, directions)
        found = found + np.einsum("usk,s->uk", slopes.double().cpu().numpy(), weights[start : start + size] / 2)
        tell(min(1.0, (start + size) / steps))
    return found


def _slopes(read: Read, points: Tensor, directions: Tensor) -> Tensor:
    """``(u, s, k)``: how the pooled vectors of s points move when their token vectors move in each of u directions.

    ``(s, L, d)`` points, ``(u, L, d)`` directions. By two backward passes: the gradient of w . e is linear in w, and
    its derivative in a direction the wanted one. Forward differentiation would first compile its rules for seconds.
    """
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        vectors = read.pooled(points)
        weights = torch.zeros_like(vectors).requires_grad_()
        (back,) = torch.autograd.grad(vectors, points, weights, create_graph=True)
        each = [
            torch.autograd.grad(back, weights, direction.expand_as(back), retain_graph=True)[0]
            for direction in directions
        ]
    return torch.stack(each)


def _read(model: SentenceTransformer, text: str) -> Read:
    from sentence_transformers.sentence_transformer.modules import Normalize, Transformer

    modules = list(model)
    while isinstance(modules[-1], Normalize):
        modules.pop()
    if is_static(model):
        return _read_static(modules, text)
    if isinstance(modules[0], Transformer) and modules[0].tokenizer is not None:
        return _read_transformer(modules, text, model.max_seq_length)
    found = type(modules[0]).__name__
    raise InputError(f"model: found one that starts with {found}, wanted StaticEmbedding or Transformer")


def _read_static(modules: Sequence[Any], text: str) -> Read:
    first, *others = modules
    encoding = first.tokenizer.encode(text, add_special_tokens=False)
    table = first.embedding.weight
    vectors = table[torch.tensor(encoding.ids, dtype=torch.long, device=table.device)]
    if not others:
        vectors = vectors.double()

    def pooled(vectors: Tensor) -> Tensor:
        features: dict[str, Any] = {"sentence_embedding": vectors.mean(1)}
        for module in others:
            features = module(features)
        vector: Tensor = features["sentence_embedding"]
        return vector

    return Read(
        text, encoding.offsets, np.arange(len(vectors)), vectors, torch.zeros_like(vectors), pooled, linear=not others
    )


def _read_transformer(modules: Sequence[Any], text: str, longest: int | None) -> Read:
    tokenizer, layer = modules[0].tokenizer, modules[0].model.get_input_embeddings()
    told = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    whole = len(tokenizer([text])["input_ids"][0])
    encoded = tokenizer([text], truncation=longest is not None, max_length=longest, **told)
    (offsets,), (special,) = encoded.pop("offset_mapping"), encoded.pop("special_tokens_mask")
    device = layer.weight.device
    features = {key: torch.tensor(value, device=device) for key, value in encoded.items()}
    own = np.flatnonzero(np.asarray(special) == 0)
    vectors = layer(features["input_ids"])[0]
    reference = vectors.clone()
    padding = tokenizer.pad_token_id
    reference[own] = 0.0 if padding is None else layer(torch.tensor([padding], device=device))[0]

    def pooled(vectors: Tensor) -> Tensor:
        here: dict[str, Any] = {key: value.expand(len(vectors), -1) for key, value in features.items()}
        handle = layer.register_forward_hook(lambda module, inputs, output: vectors)
        try:
            for module in modules:
                here = module(here)
        finally:
            handle.remove()
        vector: Tensor = here["sentence_embedding"]
        return vector

    return Read(text, [offsets[place] for place in own], own, vectors, reference, pooled, left_out=whole - len(vectors))
