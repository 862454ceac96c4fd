"""Adapters and frozen layers: what is learnt, and what becomes of it."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import nearfar as nf
from nearfar.encoders.adapters import freeze_lowest

Make = Callable[..., SentenceTransformer]
TABLE = nf.Table.from_columns(
    {
        "anchor": [f"a {noun} {verb}" for noun in "cat dog bird horse".split() for verb in ("sleeps", "runs")],
        "positive": [f"the {noun} {verb}" for noun in "cat dog bird horse".split() for verb in ("rests", "hurries")],
    }
)


def trained(model: SentenceTransformer, **values: Any) -> SentenceTransformer:
    settings = nf.Settings(steps=3, batch_size=8, held_out=0, warmup=0, **({"learning_rate": 1e-3} | values))
    return nf.train(TABLE, model=model, settings=settings).model


def test_only_adapters_are_learnt_and_then_they_are_part_of_the_weights(make_transformer: Make, tmp_path: Path) -> None:
    model = make_transformer()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names: set[str] = set()
    step = torch.optim.AdamW.step

    def watched(optimiser: torch.optim.AdamW, *args: Any) -> Any:
        params = {parameter for group in optimiser.param_groups for parameter in group["params"]}
        names.update(name for name, parameter in model.named_parameters() if parameter in params)
        frozen = {name.replace("base_layer.", ""): each for name, each in model.state_dict().items()}
        assert all(torch.equal(before[name], frozen[name]) for name in before)
        return step(optimiser, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        trained(model, lora=2)
    assert names
    assert all("lora_" in name for name in names)
    after = model.state_dict()
    assert after.keys() == before.keys()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"weight"}
    assert len(moved) == 36  # six linear layers in each of six, and not the pooler, which has no part in the mean
    model.save(str(tmp_path / "saved"))
    opened = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    texts = TABLE.column("anchor")
    assert np.array_equal(opened.encode(texts), model.encode(texts))
    assert not list(tmp_path.glob("saved/adapter*"))
    assert abs(opened.encode(texts) - make_transformer().encode(texts)).max() > 1e-3


def test_merged_adapters_say_what_they_said_beside_the_weights(make_transformer: Make) -> None:
    from nearfar.encoders.adapters import add_lora, merge_adapters

    model = make_transformer()
    plain = model.encode(TABLE.column("anchor"))
    add_lora(model, 3, alpha=5.0, targets=("query", "value"))
    assert np.allclose(model.encode(TABLE.column("anchor")), plain)  # they start from nothing
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name)
        if "lora_B" in name:
            parameter.data.normal_(std=0.2)
    beside = model.encode(TABLE.column("anchor"))
    merge_adapters(model)
    assert not any("lora" in name for name, _ in model.named_parameters())
    np.testing.assert_allclose(model.encode(TABLE.column("anchor")), beside, atol=1e-5)
    assert abs(beside - plain).max() > 1e-2


@pytest.mark.parametrize(("freeze", "learnt"), [(0, {0, 1, 2, 3, 4, 5}), (4, {4, 5}), (-1, {5})])
def test_frozen_layers_stay_bit_for_bit(make_transformer: Make, freeze: int, learnt: set[int]) -> None:
    model = make_transformer()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = trained(model, freeze=freeze).state_dict()
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {int(name.split(".layer.")[1].split(".")[0]) for name in moved} == learnt  # and no embedding


def test_frozen_layers_have_no_adapters_that_learn(make_transformer: Make) -> None:
    from nearfar.encoders.adapters import add_lora

    model = make_transformer()
    add_lora(model, 2)
    freeze_lowest(model, -2)
    layers = {
        name.split(".layer.")[1][0]
        for name, each in model.named_parameters()
        if each.requires_grad and ".layer." in name
    }
    assert layers == {"4", "5"}


@pytest.mark.parametrize("freeze", [6, -7])
def test_more_layers_than_there_are(make_transformer: Make, freeze: int) -> None:
    with pytest.raises(nf.InputError, match=f"freeze: found {freeze}, wanted -6 to 5"):
        trained(make_transformer(), freeze=freeze)


def test_targets_that_are_not_there(make_transformer: Make) -> None:
    with pytest.raises(nf.InputError, match="lora_targets: found q_proj, which does not fit"):
        trained(make_transformer(), lora=2, lora_targets=["q_proj"])


def test_without_peft(make_transformer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "peft":
            raise ImportError(name)
        return plain(name, *args)

    model = make_transformer()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(nf.InputError, match=r"wanted it installed: pip install 'nearfar\[lora\]'"):
        trained(model, lora=2)


@pytest.mark.parametrize("setting", ["lora", "freeze", "chunk_tokens", "keep_mib"])
def test_a_static_encoder_has_no_layers(setting: str) -> None:
    with pytest.raises(nf.InputError, match=f"{setting}: found 1, wanted none for a static encoder"):
        nf.train(TABLE, settings=nf.Settings(steps=1, batch_size=4, held_out=0, **{setting: 1}))
