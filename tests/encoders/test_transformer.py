"""A transformer in the trainer: chunks and kept graphs change nothing but memory and time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

import nearfar as nf
from nearfar.encoders import memory, open_encoder
from nearfar.encoders.base import AtOnce
from nearfar.encoders.tokens import Tokens
from nearfar.encoders.transformer import TransformerEncoder

WORDS = "the cat a dog sleeps under river red house station talks about small child waits near old bridge".split()
TEXTS = [" ".join(random.Random(seed).choices(WORDS, k=1 + 7 * seed % 17)) for seed in range(16)]
AS_ONE, SOME = 10**9, 1_600_000

Make = Callable[..., SentenceTransformer]


@pytest.fixture(scope="module")
def encoder(make_transformer: Make) -> TransformerEncoder:
    made = open_encoder(make_transformer(), chunk_tokens=32, keep_bytes=0)
    assert isinstance(made, TransformerEncoder)
    return made


def learnt(encoder: TransformerEncoder, chunk_tokens: int, keep_bytes: int, texts: list[str] = TEXTS) -> list[Tensor]:
    """The embeddings of texts, the loss of their pairs, and each parameter's gradient."""
    encoder.chunk_tokens, encoder.keep_bytes = chunk_tokens, keep_bytes
    torch.manual_seed(7)
    embedded = encoder.embed(encoder.tokenise([texts]))
    loss = nf.InfoNCELoss()(nf.pairs(embedded[::2], embedded[1::2]))
    slopes = torch.autograd.grad(loss, encoder.parameters(), allow_unused=True, materialize_grads=True)
    return [embedded.detach(), loss.detach(), *slopes]


def at_once(encoder: TransformerEncoder, tokens: Tokens) -> Tensor:
    features: Mapping[str, Any] = encoder.model.tokenizer.pad({"input_ids": tokens.rows()}, return_tensors="pt")
    embedded: Tensor = encoder.model(dict(features))["sentence_embedding"]
    return embedded


def close(found: list[Tensor], wanted: list[Tensor]) -> None:
    top = max(float(each.abs().max()) for each in wanted[2:])
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5 * max(top, 1))


@pytest.mark.parametrize("chunk_tokens", [1, 40, AS_ONE])
@pytest.mark.parametrize("keep_bytes", [0, SOME, AS_ONE])
def test_without_dropout_chunks_change_nothing(encoder: TransformerEncoder, chunk_tokens: int, keep_bytes: int) -> None:
    encoder.model.eval()
    embedded = at_once(encoder, encoder.tokenise([TEXTS]))
    loss = nf.InfoNCELoss()(nf.pairs(embedded[::2], embedded[1::2]))
    slopes = torch.autograd.grad(loss, encoder.parameters(), allow_unused=True, materialize_grads=True)
    close(learnt(encoder, chunk_tokens, keep_bytes), [embedded.detach(), loss.detach(), *slopes])


def in_the_chunks(encoder: TransformerEncoder, texts: list[str], chunk_tokens: int) -> list[Tensor]:
    """By plain autograd over the chunks that are promised: longest first, as many as fit."""
    torch.manual_seed(7)
    tokens = encoder.tokenise([texts])
    order = sorted(range(len(texts)), key=lambda i: -tokens.lengths[i])
    parts, left = [], list(order)
    while left:
        count = max(1, chunk_tokens // int(tokens.lengths[left[0]]))
        parts.append(at_once(encoder, encoder.tokenise([[texts[i] for i in left[:count]]])))
        left = left[count:]
    assert len(parts) > 3
    embedded = torch.cat(parts)[torch.tensor(order).argsort()]
    loss = nf.InfoNCELoss()(nf.pairs(embedded[::2], embedded[1::2]))
    slopes = torch.autograd.grad(loss, encoder.parameters(), allow_unused=True, materialize_grads=True)
    return [embedded.detach(), loss.detach(), *slopes]


@pytest.mark.parametrize("keep_bytes", [0, SOME, AS_ONE])
def test_with_dropout_a_chunk_keeps_its_draws(encoder: TransformerEncoder, keep_bytes: int) -> None:
    encoder.model.train()
    wanted = in_the_chunks(encoder, TEXTS, 40)
    close(learnt(encoder, 40, keep_bytes), wanted)
    encoder.model.eval()
    assert (learnt(encoder, 40, keep_bytes)[0] - wanted[0]).abs().max() > 1e-2  # dropout was really on


def test_what_is_kept_changes_no_bit(encoder: TransformerEncoder) -> None:
    """Otherwise a run would depend on the memory that happened to be free."""
    for training in (True, False):
        encoder.model.train(training)
        bare, some, every = (learnt(encoder, 40, keep) for keep in (0, SOME, AS_ONE))
        for one, two, three in zip(bare, some, every, strict=True):
            assert torch.equal(one, two)
            assert torch.equal(one, three)


@pytest.mark.parametrize(("keep_bytes", "again"), [(0, "all"), (SOME, "some"), (AS_ONE, "none")])
def test_only_what_is_not_kept_is_encoded_again(encoder: TransformerEncoder, keep_bytes: int, again: str) -> None:
    encoder.model.train()
    calls: list[int] = []
    handle = encoder.model[0].register_forward_hook(lambda *call: calls.append(1))
    encoder.chunk_tokens, encoder.keep_bytes = 40, keep_bytes
    try:
        embedded = encoder.embed(encoder.tokenise([TEXTS]))
        first = len(calls)
        embedded.sum().backward()
    finally:
        handle.remove()
        encoder.model.zero_grad(set_to_none=True)
    second = len(calls) - first
    assert {"all": second == first, "some": 0 < second < first, "none": second == 0}[again]


def test_equal_texts_are_two_views_under_dropout_and_one_text_without(make_transformer: Make) -> None:
    texts = ["the cat sat", "a dog", "the cat sat"]
    for dropout in (0.1, 0.0):
        model = make_transformer(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout).train()
        encoder = open_encoder(model)
        rows: list[int] = []
        handle = model[0].register_forward_pre_hook(
            lambda module, given, rows=rows: rows.append(len(given[0]["input_ids"]))
        )
        first, _, third = encoder.embed(encoder.tokenise([texts]))
        handle.remove()
        assert rows == [1, 3 if dropout else 2]  # one alone, to see whether it is random
        assert torch.equal(first, third) == (not dropout)


def test_half_the_memory_ends_at_one_token(encoder: TransformerEncoder) -> None:
    encoder.chunk_tokens, encoder.keep_bytes = 5, 100
    assert [encoder.halve() for _ in range(3)] == [2, 1, None]
    assert encoder.keep_bytes == 12


def test_chunks_fit_the_memory_there_is(make_transformer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_transformer().eval()
    a_token = memory.bytes_a_token(model)
    assert 1e4 < a_token < 4e4  # six layers of a dozen vectors each
    before = torch.get_rng_state()
    found = []
    for tokens in (10**6, 3000, 1):
        monkeypatch.setattr(memory, "free_bytes", lambda device, tokens=tokens: int(a_token * tokens))
        found.append(memory.fitting_chunk(model))
    assert found == [memory.CHUNK_OF_CPU, 512, memory.LEAST_CHUNK]
    assert memory.room_for_graphs(model) == 0
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, is_memory: bool) -> None:
    assert memory.is_out_of_memory(error) is is_memory


def test_a_real_allocation_that_fails_is_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert memory.is_out_of_memory(caught.value)


def test_the_memory_of_a_container_is_shared_among_its_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    machine = memory.free_bytes(torch.device("cpu"))  # no container
    for name, value in (("memory.max", "3000000\n"), ("memory.current", "1000000\n")):
        (tmp_path / name).write_text(value)
    assert memory.free_bytes(torch.device("cpu")) == 2_000_000
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.free_bytes(torch.device("cpu")) == 500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes(torch.device("cpu")) == pytest.approx(machine / 4, rel=0.2)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_change_is_the_same_in_chunks_and_at_once(encoder: TransformerEncoder, at_once: bool) -> None:
    encoder.model.eval()
    encoder.chunk_tokens, encoder.keep_bytes = 40, 0
    scale = torch.linspace(0.5, 1.5, 32).requires_grad_()
    seen: list[int] = []

    def change(vectors: Tensor, mask: Tensor) -> Tensor:
        seen.append(len(vectors))
        return vectors * scale

    tokens = encoder.tokenise([TEXTS])
    embedded = encoder.embed(tokens, change=AtOnce(change) if at_once else change)
    assert (seen == [len(TEXTS)]) == at_once
    found = torch.autograd.grad(embedded[:, :3].sum(), [scale, *encoder.parameters()], allow_unused=True)
    with encoder.changing(
        change, features := encoder.model.tokenizer.pad({"input_ids": tokens.rows()}, return_tensors="pt")
    ):
        plain = encoder.model(dict(features))["sentence_embedding"]
    wanted = torch.autograd.grad(plain[:, :3].sum(), [scale, *encoder.parameters()], allow_unused=True)
    torch.testing.assert_close(embedded, plain, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
