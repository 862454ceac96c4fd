"""ONNX: an encoder as one graph from tokens to embeddings, which runs without torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.errors import InputError, RunError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

FILE = "onnx/model.onnx"
"""Where sentence-transformers looks for it in a folder."""
TOLERANCE = 1e-4
PROBE = ["a", "A text that is a good deal longer than the others.", "두 문장. Two sentences.", "?!"]
"""Texts of several lengths, by which a graph is checked."""
LARGEST = 1 << 30
"""Bytes of weights above which they get a file of their own: protobuf holds 2 GiB."""


def export_onnx(model: SentenceTransformer, folder: Path) -> float:
    """Write `onnx/model.onnx` into a folder, and check it by onnxruntime on a few texts.

    The graph takes `input_ids`, `attention_mask` and, where the model's tokenizer gives them, `token_type_ids`, all
    int64 ``(batch, sequence)`` with both axes free, and gives `sentence_embedding` ``(batch, width)`` after every
    module of the model, and of a transformer `token_embeddings` before it. sentence-transformers' own exporter is
    optimum, which does not work beside the versions of transformers that sentence-transformers asks for, and has no
    place for static encoders; so torch's exporter is used.

    Args:
        model: any whose first module is a StaticEmbedding or a transformer of text.
        folder: that is there.

    Returns:
        The largest difference of an entry of the graph's embeddings from the model's.

    Raises:
        InputError: onnx, onnxscript or onnxruntime is missing, or the model has no tokenizer.
        RunError: the model cannot be exported, or the graph gives other embeddings.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise InputError(f"found no {package}, which writes ONNX; wanted it installed: pip install 'nearfar[onnx]'")
    model = model.eval().cpu()
    graph = graph_of(model)
    (folder / FILE).parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            _export(graph, tokens_of(model, PROBE), folder / FILE)
    except OSError:
        raise
    except Exception as error:  # whatever torch's exporter raises at a module that it does not know
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RunError(f"{type(model[0]).__name__}: could not be exported to ONNX ({reason})") from error
    return _checked(model, folder / FILE)


def graph_of(model: SentenceTransformer) -> nn.Module:
    """The model as a module from tensors to tensors.

    Raises:
        InputError: its first module reads no text.
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding, Transformer

    if isinstance(model[0], StaticEmbedding):
        return StaticGraph(model)
    if isinstance(model[0], Transformer) and model[0].tokenizer is not None:
        return TransformerGraph(model)
    raise InputError(f"found a model that starts with {type(model[0]).__name__}, wanted StaticEmbedding or Transformer")


class StaticGraph(nn.Module):
    """The mean of the vectors of a text's tokens, padding left out, and the modules after it."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.weight, self.rest = model[0].embedding.weight, nn.ModuleList(list(model)[1:])
        self.width = model.truncate_dim

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """``(b, s)`` both to ``(b, d)``."""
        mask = attention_mask.to(self.weight.dtype)[..., None]
        total = (nn.functional.embedding(input_ids, self.weight) * mask).sum(1)
        features: dict[str, Any] = {"sentence_embedding": total / mask.sum(1).clamp(min=1)}
        for module in self.rest:
            features = module(features)
        return {"sentence_embedding": features["sentence_embedding"][:, : self.width]}


class TransformerGraph(nn.Module):
    """All modules of the model."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model, self.width = model, model.truncate_dim

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> dict[str, Tensor]:
        """``(b, s)`` each to ``(b, s, d)`` and ``(b, d)``."""
        features: dict[str, Any] = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            features["token_type_ids"] = token_type_ids
        found = self.model(features)
        return {
            "token_embeddings": found["token_embeddings"],
            "sentence_embedding": found["sentence_embedding"][:, : self.width],
        }


def tokens_of(model: SentenceTransformer, texts: list[str]) -> dict[str, Tensor]:
    """The inputs of the graph for some texts, as the model's tokenizer makes them, padded to one length."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    if isinstance(model[0], StaticEmbedding):
        rows = [row.ids for row in model[0].tokenizer.encode_batch(texts, add_special_tokens=False)]
        lengths = torch.tensor([len(row) for row in rows])
        ids = nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.long) for row in rows], batch_first=True)
        return {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}
    features = model.preprocess(texts)
    return {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in features}


def _export(graph: nn.Module, inputs: dict[str, Tensor], path: Path) -> None:
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    outputs = ["sentence_embedding"] if isinstance(graph, StaticGraph) else ["token_embeddings", "sentence_embedding"]
    torch.onnx.export(
        graph.eval(),
        kwargs=inputs,
        f=path,
        input_names=list(inputs),
        output_names=outputs,
        dynamic_shapes=dict.fromkeys(inputs, free),
        dynamo=True,
        verbose=False,
        external_data=sum(weight.nbytes for weight in graph.parameters()) > LARGEST,
    )


def _checked(model: SentenceTransformer, path: Path) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    difference = 0.0
    for texts in (PROBE, PROBE[1:2]):
        inputs = {name: value.numpy() for name, value in tokens_of(model, texts).items()}
        (found,) = session.run(["sentence_embedding"], inputs)
        wanted = model.encode(texts, prompt="", show_progress_bar=False)
        difference = max(difference, float(np.abs(found - wanted).max()))
    if not difference <= TOLERANCE:
        raise RunError(f"the ONNX graph's embeddings differ by {difference:.2g}, wanted at most {TOLERANCE}")
    return difference


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its own working."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
