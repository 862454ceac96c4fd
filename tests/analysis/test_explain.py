"""Why two texts are near: parts that add up to the cosine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from nearfar.analysis.explain import Explanation, explain, explanation_page
from nearfar.errors import InputError

WORDS = {
    "cat": [1.0, 0.0, 0.0],
    "dog": [0.8, 0.6, 0.0],
    "car": [0.0, 0.0, 2.0],
    "고양이": [1.0, 0.1, 0.0],
    "the": [0.1, 0.1, 0.1],
}


def static(*others: torch.nn.Module) -> SentenceTransformer:
    """Words with the vectors of the table above."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate([*WORDS, "?"])}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = torch.tensor([*WORDS.values(), [0.0, 0.0, 0.0]])
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, vectors), *others], device="cpu")


@pytest.fixture(scope="module")
def words() -> SentenceTransformer:
    return static(Normalize())


def cosine(model: SentenceTransformer, first: str, second: str) -> float:
    a, b = model.encode([first, second])
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_pair_of_tokens_is_their_dot_product(words: SentenceTransformer) -> None:
    found = explain(words, "the cat", "the dog car")
    a, b = np.array([WORDS["the"], WORDS["cat"]]), np.array([WORDS["the"], WORDS["dog"], WORDS["car"]])
    wanted = (a @ b.T) / 6 / np.linalg.norm(a.mean(0)) / np.linalg.norm(b.mean(0))
    np.testing.assert_allclose(found.pairs, wanted, atol=1e-7)
    assert (found.first, found.second) == (("the", "cat"), ("the", "dog", "car"))
    assert found.exact
    assert found.strongest(1) == [("cat", "dog", pytest.approx(wanted[1, 1]))]


def test_it_says_how_far_it_is() -> None:
    told: list[float] = []
    explain(static(Dense(3, 2)), "the cat " * 300, "the dog", steps=4, tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert 0.5 in told
    assert len(told) > 2


@given(st.lists(st.sampled_from([*WORDS]), min_size=1, max_size=60), st.lists(st.sampled_from([*WORDS]), min_size=1))
def test_parts_add_up_whatever_the_texts(first: list[str], second: list[str]) -> None:
    model, (a, b) = static(Normalize()), (" ".join(first), " ".join(second))
    found, back = explain(model, a, b, units=7), explain(model, b, a, units=7)
    assert abs(found.error) < 1e-9
    assert found.similarity == pytest.approx(cosine(model, a, b), abs=1e-6)
    np.testing.assert_allclose(found.pairs, back.pairs.T, atol=1e-12)
    assert max(found.pairs.shape) <= 7
    assert " ".join(found.first).split() == first


def test_a_thousand_words(words: SentenceTransformer) -> None:
    text = " ".join(["the cat car dog 고양이"] * 200)
    found = explain(words, text, "cat")
    assert abs(found.error) < 1e-9
    assert found.pairs.shape == (32, 1)
    assert found.left_out == (0, 0)
    assert explain(words, text, "cat", units=1000).pairs.shape == (1000, 1)


def test_layers_after_the_mean_are_integrated_through() -> None:
    torch.manual_seed(0)
    model = static(Dense(3, 5, activation_function=torch.nn.Tanh()), Normalize())
    found = explain(model, "the cat", "dog car")
    assert not found.exact
    assert abs(found.error) < 1e-5
    assert found.similarity == pytest.approx(cosine(model, "the cat", "dog car"), abs=1e-6)


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_text_without_words_is_refused(text: str, words: SentenceTransformer) -> None:
    with pytest.raises(InputError, match="second text: found"):
        explain(words, "cat", text)
    with pytest.raises(InputError, match="steps: found 0"):
        explain(words, "cat", "dog", steps=0)


def test_vectors_of_nothing_are_near_nothing(words: SentenceTransformer) -> None:
    found = explain(words, "unheard", "cat")
    assert found.similarity == found.pairs.sum() == 0
    assert explanation_page(found, "words")


@pytest.mark.parametrize(
    ("first", "second"),
    [("A man is playing a guitar on stage.", "Someone performs music."), ("고양이가 잔다", "The cat sleeps")],
)
def test_a_transformer_adds_up_within_a_hundredth(first: str, second: str, model: SentenceTransformer) -> None:
    found, back = explain(model, first, second), explain(model, second, first)
    assert found.similarity == pytest.approx(cosine(model, first, second), abs=1e-5)
    assert abs(found.error) < 0.01
    np.testing.assert_allclose(found.pairs, back.pairs.T, atol=1e-5)
    assert all(unit and unit in first for unit in found.first)
    assert found.first[-1] == first.split()[-1][-len(found.first[-1]) :]


def test_a_token_s_part_is_its_integrated_jacobian(make_transformer: Callable[..., SentenceTransformer]) -> None:
    """Against Jacobians by reverse mode and a midpoint sum, of the pooled vectors alone."""
    model = make_transformer()
    found = explain(model, "cat", "dog river", steps=24)
    a, b = (_jacobian_parts(model, text) for text in ("cat", "dog river"))
    np.testing.assert_allclose(found.pairs, a @ b.T, atol=2e-3)


def _jacobian_parts(model: SentenceTransformer, text: str, steps: int = 200) -> np.ndarray:
    bert, tokenizer = model[0].model.eval(), model[0].tokenizer
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    table = bert.get_input_embeddings().weight.detach()
    x = table[ids[0]]
    r = x.clone()
    r[1:-1] = table[tokenizer.pad_token_id]
    shares = (torch.arange(steps)[:, None, None] + 0.5) / steps
    points = (r + shares * (x - r)).requires_grad_()
    pooled = bert(inputs_embeds=points).last_hidden_state.mean(1)
    slopes = [torch.autograd.grad(one.sum(), points, retain_graph=True)[0].mean(0) for one in pooled.T]
    with torch.no_grad():
        start, end = bert(inputs_embeds=torch.stack([r, x])).last_hidden_state.mean(1)
    parts = torch.einsum("kld,ld->lk", torch.stack(slopes), x - r)[1:-1]
    return ((parts + start / len(parts)) / end.norm()).numpy()


@pytest.mark.heavy
def test_a_transformer_reads_the_beginning_of_a_thousand_words(model: SentenceTransformer) -> None:
    found = explain(model, "the river and its bank " * 200, "a river", units=8, steps=16)
    assert found.left_out[0] > 500
    assert found.pairs.shape == (8, 2)
    assert abs(found.error) < 0.05


def test_the_page_is_one_file_with_the_texts_as_text() -> None:
    pairs = np.array([[0.5], [-0.25]])
    found = Explanation(("<b>", "&"), ("고양이",), pairs, 0.25, True)
    page = explanation_page(found, "a model")
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "고양이" in page
    assert "http" not in page
    assert "50.00" in page
