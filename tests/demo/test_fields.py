"""The parts of a name: which pieces they get, and with what vectors an encoder starts."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from nearfar.demo import with_fields
from nearfar.demo.wording import name_text
from nearfar.encoders import build_static

TEXTS = [
    "Return the width of the box, in (inner box) units.",
    "box : width ( box units )",
    "tool box : open box ( width box2 )",
    "Open the tool box and return the units.",
] * 20
FACTORS = {"plain": 1.0, "module": 0.25, "argument": 0.5}


@pytest.fixture(scope="module")
def plain() -> SentenceTransformer:
    return build_static(lambda: [TEXTS], width=16, vocabulary=120, tokenizer="unigram")


@pytest.fixture(scope="module")
def fielded(plain: SentenceTransformer) -> SentenceTransformer:
    return with_fields(plain, FACTORS["module"], FACTORS["argument"])


def mean_vector(model: SentenceTransformer, text: str) -> np.ndarray:
    rows = model[0].tokenizer.encode(text, add_special_tokens=False).ids
    return model[0].embedding.weight.detach().numpy()[rows].sum(axis=0)


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [
        ("box", "width", ["units"]),
        ("tool.box", "open_box", ["width", "box2"]),
        ("tool", "open", []),
        ("box", "b", ["b"]),
    ],
)
def test_a_name_is_the_weighted_sum_of_its_parts(
    plain: SentenceTransformer, fielded: SentenceTransformer, module: str, function: str, arguments: list[str]
) -> None:
    parts = [
        ("module", module.replace(".", " ")),
        ("plain", f": {function.replace('_', ' ')} ("),
        ("argument", " ".join(arguments)),
        ("plain", ")"),
    ]
    expected = sum(FACTORS[field] * mean_vector(plain, text) for field, text in parts)
    found = mean_vector(fielded, name_text(module, function, arguments))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[3], "Open: the box (width).", "The box (in units)", "Box"])
def test_prose_is_encoded_as_before(plain: SentenceTransformer, fielded: SentenceTransformer, text: str) -> None:
    np.testing.assert_allclose(fielded.encode(text), plain.encode(text), rtol=1e-5, atol=1e-6)


def test_plain_sentence_transformers_opens_it(fielded: SentenceTransformer, tmp_path: Path) -> None:
    fielded.save(str(tmp_path))
    opened = SentenceTransformer(str(tmp_path), device="cpu")
    np.testing.assert_array_equal(opened.encode(TEXTS), fielded.encode(TEXTS))
