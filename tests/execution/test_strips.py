"""The memory law, what is computed and when, and the second backward."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

import nearfar as nf
from tests.objectives.subjects import SUBJECTS

WIDTH = 8


def make(kind: str, count: int) -> tuple[list[Tensor], nf.Contrast]:
    """Leaves and a contrast of about `count` items."""
    draw = torch.Generator().manual_seed(count)
    first, second = (torch.randn(count, WIDTH, generator=draw).requires_grad_() for _ in range(2))
    if kind == "labelled":
        return [first], nf.labelled(first, torch.arange(count) // 4)
    if kind == "pairs-groups":
        return [first, second], nf.pairs(first, second, groups=torch.arange(count) // 2)
    return [first, second], getattr(nf, kind)(first, second)


EVERYWHERE = [
    pytest.param(subject.make, kind, id=f"{subject.name}-{kind}")
    for subject in SUBJECTS
    for kind in ("pairs", "pairs-groups", "views", "labelled")
    if subject.suits(kind.split("-")[0])
]
EVERYWHERE.append(pytest.param(lambda: nf.InfoNCELoss(symmetric=True), "pairs", id="infonce-symmetric-pairs"))
every_objective = pytest.mark.parametrize(("build", "kind"), EVERYWHERE)


class Kept:
    """A tensor that a node of the graph holds on to."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@contextmanager
def saved_for_backward() -> Iterator[Callable[[], list[Tensor]]]:
    """Yields a function that lists the tensors saved in the block whose graph is still alive."""
    saved: list[weakref.ref[Kept]] = []

    def pack(tensor: Tensor) -> Kept:
        kept = Kept(tensor)
        saved.append(weakref.ref(kept))
        return kept

    with saved_tensors_hooks(pack, lambda kept: kept.tensor):
        yield lambda: [kept.tensor for ref in saved if (kept := ref()) is not None]


@every_objective
def test_bytes_saved_for_backward_grow_with_the_batch_and_not_its_square(build: Callable, kind: str) -> None:
    sizes = []
    for count in (64, 128, 256):
        _, contrast = make(kind, count)
        with nf.execution(strip_rows=16), saved_for_backward() as saved:
            loss = build()(contrast)
        assert loss.requires_grad
        assert max(tensor.numel() for tensor in saved()) <= len(contrast.candidates) * 1.5 * WIDTH
        sizes.append(sum(tensor.nbytes for tensor in saved()))
    assert sizes[1] - sizes[0] == pytest.approx(sizes[0], rel=0.02)
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1], rel=0.02)


class Watch(TorchDispatchMode):
    """Counts operations and remembers the largest tensor that one of them made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.largest = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.calls[function.overloadpacket.__name__] += 1
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor):
                self.largest = max(self.largest, part.untyped_storage().nbytes())
        return result

    @property
    def products(self) -> int:
        return sum(self.calls[name] for name in ("mm", "addmm", "addmm_", "matmul", "bmm"))


@every_objective
def test_no_tensor_is_larger_than_max_bytes_or_the_embeddings(build: Callable, kind: str) -> None:
    """Forward and backward of 256 items, whose score matrix would be 256 KiB (1 MiB for views)."""
    leaves, contrast = make(kind, 256)
    max_bytes = 2**14
    with Watch() as watch, nf.execution(max_bytes=max_bytes):
        torch.autograd.grad(build()(contrast), leaves)
    # Numbers of columns are twice as wide as scores, and distances live in a space that is 4 columns wider.
    assert watch.largest <= max(2 * max_bytes, 1.5 * contrast.candidates.nbytes)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_three_products_a_strip_with_gradients_and_one_without(similarity: str) -> None:
    leaves, contrast = make("pairs", 32)
    strips = len(contrast) // 8
    objective = nf.InfoNCELoss(similarity=similarity)
    with Watch() as watch:
        loss = objective(contrast, strip_rows=8)
    assert watch.products == 3 * strips
    with Watch() as watch:
        torch.autograd.grad(loss, leaves)
    assert watch.products == 0  # all of it was done while the strip was there

    with torch.no_grad(), Watch() as watch:
        value = objective(contrast, strip_rows=8)
    assert watch.products == strips
    assert not value.requires_grad
    torch.testing.assert_close(value, loss.detach())


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_of_a_strip_is_saved_without_gradients(reduction: str) -> None:
    _, contrast = make("pairs", 32)
    with torch.no_grad(), saved_for_backward() as saved:
        value = nf.InfoNCELoss(reduction=reduction)(contrast)
    assert not saved()
    assert not value.requires_grad


def test_inputs_without_gradient_give_a_loss_without_one() -> None:
    _, contrast = make("pairs", 8)
    loss = nf.InfoNCELoss()(nf.pairs(contrast.anchors.detach(), contrast.candidates.detach()))
    assert not loss.requires_grad


@every_objective
def test_a_second_backward_is_an_error(build: Callable, kind: str) -> None:
    _, contrast = make(kind, 8)
    loss = build()(contrast)
    loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@every_objective
def test_a_second_derivative_is_an_error_rather_than_wrong(build: Callable, kind: str) -> None:
    """As a gradient penalty would ask for; the gradient is a stored number, whose own is not known."""
    leaves, contrast = make(kind, 8)
    loss = build()(contrast)
    with pytest.raises(RuntimeError, match="differentia"):  # noqa: PT012 - either step may refuse
        (gradient, *_) = torch.autograd.grad(loss, leaves, create_graph=True)
        gradient.square().sum().backward()


def test_a_retained_graph_gives_the_same_gradient_twice() -> None:
    leaves, contrast = make("pairs", 8)
    loss = nf.InfoNCELoss()(contrast)
    once = torch.autograd.grad(loss, leaves, retain_graph=True)
    twice = torch.autograd.grad(loss, leaves)
    for first, second in zip(once, twice, strict=True):
        assert torch.equal(first, second)


@every_objective
def test_the_inputs_are_left_as_they_were(build: Callable, kind: str) -> None:
    """Strips are worked on in place; the embeddings are not."""
    leaves, contrast = make(kind, 8)
    before = [leaf.detach().clone() for leaf in leaves]
    build()(contrast, strip_rows=3).backward()
    assert all(torch.equal(leaf, old) for leaf, old in zip(leaves, before, strict=True))


def test_a_contrast_can_be_used_again() -> None:
    leaves, contrast = make("labelled", 12)
    first = torch.autograd.grad(nf.InfoNCELoss()(contrast), leaves)
    second = torch.autograd.grad(nf.InfoNCELoss()(contrast), leaves)
    assert torch.equal(first[0], second[0])


def test_non_contiguous_embeddings() -> None:
    wide = torch.randn(WIDTH, 24, generator=torch.Generator().manual_seed(0), requires_grad=True)
    turned = wide.T
    (gradient,) = torch.autograd.grad(nf.InfoNCELoss()(nf.pairs(turned[::2], turned[1::2])), wide)
    copy = wide.detach().T.contiguous().requires_grad_()
    (wanted,) = torch.autograd.grad(nf.InfoNCELoss()(nf.pairs(copy[::2], copy[1::2])), copy)
    torch.testing.assert_close(gradient, wanted.T)
