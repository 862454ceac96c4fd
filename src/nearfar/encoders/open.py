"""Opening what is already trained: a local folder or a hub name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.encoders.base import Encoder
from nearfar.encoders.static import StaticEncoder
from nearfar.encoders.transformer import TransformerEncoder
from nearfar.errors import InputError
from nearfar.hub import reachable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def open_model(name: str | Path, *, device: str | None = None) -> SentenceTransformer:
    """Open a SentenceTransformer.

    Args:
        name: a local folder, or a name on the Hugging Face hub.
        device: "cpu", "cuda" ...; None lets sentence-transformers choose.

    Raises:
        InputError: it is neither, or the folder holds no model; one line with the reason.
    """
    from sentence_transformers import SentenceTransformer

    if str(name) == "words" and not Path("words").exists():
        raise InputError(
            "words: found it as an encoder of texts, wanted it in nearfar train, which trains it from text"
        )
    path = Path(name)
    local = path.exists() or str(name).startswith((".", "/", "~")) or str(name).endswith("/") or len(path.parts) > 2
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


def is_static(model: SentenceTransformer) -> bool:
    """Whether its texts are means of token vectors."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return isinstance(model[0], StaticEmbedding)


def open_encoder(
    model: SentenceTransformer,
    name: str = "encoder",
    *,
    token_dropout: float = 0.0,
    weight_learning_rate: float | None = None,
    chunk_tokens: int | None = None,
    keep_bytes: int | None = None,
) -> Encoder:
    """The training view of a model.

    Args:
        model: the encoder.
        name: for messages.
        token_dropout: of a static encoder; a transformer brings its own.
        weight_learning_rate: of a static encoder's token weights; None takes its default.
        chunk_tokens: of a transformer, see `TransformerEncoder`; None is what suits the memory there is.
        keep_bytes: the same.

    Raises:
        InputError: its first module is neither a StaticEmbedding nor a transformer with a tokenizer.
    """
    from sentence_transformers.sentence_transformer.modules import Transformer

    first = model[0]
    if is_static(model):
        options: dict[str, float] = {"token_dropout": token_dropout}
        if weight_learning_rate is not None:
            options["weight_learning_rate"] = weight_learning_rate
        return StaticEncoder.of(model, **options)
    if isinstance(first, Transformer) and first.tokenizer is not None:
        return TransformerEncoder.of(model, chunk_tokens=chunk_tokens, keep_bytes=keep_bytes)
    raise InputError(
        f"{name}: found a model that starts with {type(first).__name__}, wanted StaticEmbedding or Transformer"
    )
