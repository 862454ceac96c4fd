"""What the benchmarks time side by side is one equation, by other people's code too."""

from __future__ import annotations

import pytest
import torch

from benchmarks.subjects import Pair, dense, sentence_transformers

PAIRS = [
    pytest.param(pair, id=f"{make.__name__}-{name}")
    for make in (dense, sentence_transformers)
    for name, pair in make(48, 32).items()
]


@pytest.mark.filterwarnings("ignore::UserWarning:sentence_transformers")
@pytest.mark.parametrize("pair", PAIRS)
def test_both_sides_are_the_same_loss_with_the_same_gradient(pair: Pair) -> None:
    ours, other, leaves = pair
    value, wanted = ours(), other()
    torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-5)
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    for slope, by_other in zip(found, torch.autograd.grad(wanted, leaves, allow_unused=True), strict=True):
        torch.testing.assert_close(slope, by_other, rtol=1e-4, atol=1e-5)
