"""The real command in this process, small tables of made-up sentences, and a small trained model."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nearfar.commands import main

SUBJECTS = (
    "the cat|a dog|my neighbour|the old teacher|a small child|우리 선생님|그 고양이|the chef|a pilot|the nurse".split(
        "|"
    )
)
VERBS = "sleeps on|looks at|talks about|walks around|waits near|draws|paints|forgets|remembers|finds".split("|")
PLACES = "the river|a red house|the station|그 학교|the kitchen|an empty street|the garden|a bridge|the market".split(
    "|"
)


@dataclass(frozen=True)
class Result:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command as the shell would."""

    def call(*words: object) -> Result:
        with pytest.raises(SystemExit) as leaving:
            main([str(word) for word in words])
        printed = capsys.readouterr()
        return Result(int(leaving.value.code or 0), printed.out, printed.err)

    return call


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Distinct sentences, each with a paraphrase of itself."""
    draw = random.Random(seed)
    every = [(s, v, p) for s in SUBJECTS for v in VERBS for p in PLACES]
    return [(f"{s} {v} {p}", f"near {p}, {s} {v} something") for s, v, p in draw.sample(every, count)]


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """pairs.tsv, texts.txt, labels.csv, sts.jsonl."""
    folder = tmp_path_factory.mktemp("tables")
    pairs = sentences(240, seed=1)
    paths = {name: folder / name for name in ("pairs.tsv", "texts.txt", "labels.csv", "sts.jsonl")}
    paths["pairs.tsv"].write_text("anchor\tpositive\n" + "".join(f"{a}\t{b}\n" for a, b in pairs), "utf-8")
    paths["texts.txt"].write_text("".join(f"{a}\n" for a, _ in pairs[:100]), "utf-8")
    paths["labels.csv"].write_text(
        "text,label\n" + "".join(f"{a},{next(s for s in SUBJECTS if a.startswith(s))}\n" for a, _ in pairs[:120]),
        "utf-8",
    )
    scored = [(a, b, 5.0) for a, b in pairs[:30]] + [
        (a, pairs[i + 40][1], i % 3) for i, (a, _) in enumerate(pairs[:30])
    ]
    paths["sts.jsonl"].write_text(
        "".join(json.dumps({"sentence1": a, "sentence2": b, "score": s}) + "\n" for a, b, s in scored), "utf-8"
    )
    return paths


FAST = ("--epochs", 2, "--batch-size", 32, "--vocabulary", 400, "--width", 16, "--evaluations", 2, "--held-out", 0.2)


@pytest.fixture(scope="session")
def model(tables: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `nearfar train` wrote."""
    out = tmp_path_factory.mktemp("models") / "small"
    with pytest.raises(SystemExit) as leaving:
        main([str(word) for word in ("train", tables["pairs.tsv"], "-o", out, *FAST)])
    assert leaving.value.code == 0
    return out


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures of pages go, for a person to look at."""
    return Path(os.environ.get("NEARFAR_SHOTS", tmp_path))
