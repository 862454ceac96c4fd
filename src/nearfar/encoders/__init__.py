"""Encoders: from texts to embeddings. A `SentenceTransformer` everywhere, seen here as a trainer needs it."""

from nearfar.encoders.base import Encoder
from nearfar.encoders.open import is_static, open_encoder, open_model
from nearfar.encoders.static import build_static

__all__ = ["Encoder", "build_static", "is_static", "open_encoder", "open_model"]
