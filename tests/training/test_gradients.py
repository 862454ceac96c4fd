"""Clipping, accumulation, precision."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from hypothesis import given
from hypothesis import strategies as st

import nearfar as nf
from nearfar.training.gradients import clip_, norm_of
from nearfar.training.precision import check_precision, make_accelerator
from tests.training.made import pairs_table


def parameters(seed: int) -> list[torch.Tensor]:
    """A dense and a sparse gradient; the latter's rows come twice, as they do after two batches."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.zeros(3, 2, requires_grad=True)
    dense.grad = torch.randn(3, 2, generator=generator)
    table = torch.zeros(5, 2, requires_grad=True)
    values = torch.randn(4, 2, generator=generator)
    table.grad = torch.sparse_coo_tensor(torch.tensor([[0, 3, 3, 1]]), values, (5, 2))
    return [dense, table, torch.zeros(2, requires_grad=True)]


def whole(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.grad.to_dense().flatten() for part in parts if part.grad is not None])


@given(st.integers(0, 1000), st.floats(0.01, 20))
def test_clipping_keeps_the_direction_and_bounds_the_norm(seed: int, largest: float) -> None:
    parts = parameters(seed)
    before = whole(parts)
    assert norm_of(parts) == pytest.approx(before.norm().item(), rel=1e-5)
    assert clip_(parts, largest) == pytest.approx(before.norm().item(), rel=1e-5)
    wanted = before * min(1, largest / before.norm().item())
    torch.testing.assert_close(whole(parts), wanted)


def test_the_norm_that_is_told_is_that_before_clipping() -> None:
    def learnt(**options: float) -> float:
        settings = nf.Settings(
            steps=1, warmup=0.0, batch_size=8, vocabulary=100, width=8, held_out=0.0, watch_every=1, **options
        )
        return float(nf.train(pairs_table(), settings=settings).readings[0]["gradient_norm"])

    free = learnt()
    assert free > 0
    assert learnt(gradient_clip=free / 2) == pytest.approx(free)


def test_accumulation_is_the_mean_gradient_of_batches() -> None:
    """Two steps' batches of a plan as one step: half the optimiser steps, the mean of the two losses."""
    common = {"batch_size": 10, "vocabulary": 100, "width": 8, "held_out": 0.0, "watch_every": 1, "warmup": 0.0}
    still = {"learning_rate": 1e-30}
    every = nf.train(pairs_table(), settings=nf.Settings(epochs=2, **common, **still)).readings
    joined = nf.train(pairs_table(), settings=nf.Settings(epochs=2, accumulate=2, **common, **still)).readings
    assert (len(every), len(joined)) == (4, 2)
    losses = [entry["batch_loss"] for entry in every]
    assert joined[0]["batch_loss"] == pytest.approx(sum(losses[:2]) / 2, rel=1e-6)
    assert joined[1]["batch_loss"] == pytest.approx(sum(losses[2:]) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ({"epochs": 2}, "accumulate: found 11, wanted 10 or less: 2 epochs have 10 batches"),
        ({"steps": 3}, "accumulate: found 11, wanted 5 or less: an epoch has 5 batches"),
    ],
)
def test_more_batches_a_step_than_there_are_is_refused(end: dict[str, int], message: str) -> None:
    settings = nf.Settings(**end, accumulate=11, batch_size=4, held_out=0, vocabulary=200, width=4)
    with pytest.raises(nf.InputError, match=message):
        nf.train(pairs_table(20), settings=settings)
    nf.train(pairs_table(20), settings=settings.model_copy(update={"accumulate": 5}))
    with pytest.raises(nf.InputError, match="accumulate: found 1000000000, wanted less than or equal to 10000"):
        nf.Settings.build({"accumulate": 10**9})


def test_deepspeed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.DEEPSPEED)
    with pytest.raises(nf.InputError, match="accelerate: found DeepSpeed, wanted plain ranks or FSDP"):
        make_accelerator(None)


def test_precision_is_what_the_hardware_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_precision(None, "cpu") == "no"
    assert check_precision("bf16", "cpu") == "bf16"
    assert make_accelerator("bf16").mixed_precision == "bf16"
    assert make_accelerator("no").mixed_precision == "no"  # after another one in the same process
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as accelerate launch has it of its configuration
    assert (check_precision(None, "cpu"), check_precision("no", "cpu")) == ("bf16", "no")
    with pytest.raises(nf.InputError, match="precision: found fp16 on cpu, wanted no or bf16"):
        check_precision("fp16", "cpu")
    with pytest.raises(nf.InputError, match="precision: found bf16 on mps, wanted no"):
        check_precision("bf16", "mps")
