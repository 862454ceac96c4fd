"""Every test has a cache of its own, and files are written by hand-sized helpers."""

import gzip
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

Write = Callable[[str, str | bytes], Path]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder


def compressed(name: str, content: bytes) -> bytes:
    """What a file of this name holds."""
    if name.endswith(".gz"):
        return gzip.compress(content)
    if name.endswith(".zst"):
        return pa.Codec("zstd").compress(content, asbytes=True)
    return content


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file, compressed where its name says so."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed(name, content.encode() if isinstance(content, str) else content))
        return path

    return write
