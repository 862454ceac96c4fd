"""A second model's opinion of anchors and candidates: a cross-encoder, or another encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.data.negatives.rules import Judge
from nearfar.encoders import open_model
from nearfar.errors import InputError
from nearfar.hub import reachable

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer


def open_judge(name: str | Path, *, batch_size: int = 64) -> Judge:
    """Open a judge: a function from texts and texts to scores.

    Args:
        name: folder or hub name; what has a head for sequence classification is taken for a cross-encoder, whose
            scores are its own, everything else for an encoder, whose scores are cosines.
        batch_size: texts or pairs a forward pass.

    Raises:
        InputError: it cannot be opened, or is a cross-encoder with several scores a pair.
    """
    if _is_cross_encoder(name):
        return by_cross_encoder(_open_cross_encoder(name), batch_size=batch_size)
    return by_encoder(open_model(name), batch_size=batch_size)


def by_cross_encoder(model: CrossEncoder, *, batch_size: int = 64) -> Judge:
    """The scores that a cross-encoder predicts."""

    def judge(anchors: Sequence[str], candidates: Sequence[str]) -> Any:
        pairs = list(zip(anchors, candidates, strict=True))
        return model.predict(pairs, batch_size=batch_size, show_progress_bar=False)

    return judge


def by_encoder(model: SentenceTransformer, *, batch_size: int = 64) -> Judge:
    """The cosines of another encoder; each distinct text of a side is encoded once and its vector kept."""
    sides: list[tuple[Any, dict[str, Any]]] = [(model.encode_query, {}), (model.encode_document, {})]

    def judge(anchors: Sequence[str], candidates: Sequence[str]) -> Any:
        for texts, (encode, known) in zip((anchors, candidates), sides, strict=True):
            if new := [text for text in dict.fromkeys(texts) if text not in known]:
                vectors = encode(new, batch_size=batch_size, normalize_embeddings=True, show_progress_bar=False)
                known.update(zip(new, np.asarray(vectors, dtype=np.float32), strict=True))
        pairs = zip(anchors, candidates, strict=True)
        return np.array([sides[0][1][anchor] @ sides[1][1][candidate] for anchor, candidate in pairs], np.float32)

    return judge


def _is_cross_encoder(name: str | Path) -> bool:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(name), local_files_only=Path(name).exists() or not reachable())
    except Exception:  # such as a static encoder, which has no configuration of transformers
        return False
    return any("SequenceClassification" in kind for kind in config.architectures or ())


def _open_cross_encoder(name: str | Path) -> CrossEncoder:
    from sentence_transformers import CrossEncoder

    try:
        model = CrossEncoder(str(name), local_files_only=Path(name).exists() or not reachable())
    except Exception as error:  # whatever transformers, safetensors or the hub raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"{name}: could not open it as a cross-encoder ({reason})") from error
    if model.num_labels != 1:
        raise InputError(f"{name}: found {model.num_labels} scores a pair, wanted a cross-encoder with one")
    return model
