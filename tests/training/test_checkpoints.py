"""Checkpoints on disk: whole or not at all, noticed when they are not what was written, free of pickle."""

from __future__ import annotations

import json
import pickletools
import resource
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError

import nearfar as nf
from nearfar.training import checkpoints, keeping
from nearfar.training.checkpoints import checkpoints_in, prune, read, write
from nearfar.training.packing import pack, unpack
from nearfar.training.randomness import random_state, set_random_state
from tests.training.made import pairs_table

STATE: dict[str, Any] = {
    "weights": torch.arange(6.0).reshape(2, 3),
    "halves": torch.arange(4, dtype=torch.bfloat16),
    "count": torch.tensor(3.0),
    "ids": np.arange(5, dtype=np.int64),
    "nothing": [],
    "words": ["a", "한", None, 1, 0.1, True],
}
SETTINGS = nf.Settings(vocabulary=100, width=8, batch_size=6, held_out=0.0, steps=6, checkpoint_every=1, keep=3)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "new/step-000007", STATE, {"step": 7})
    state, record = read(tmp_path / "new/step-000007")
    assert record["step"] == 7
    assert state["words"] == STATE["words"]
    assert state["nothing"] == []
    assert np.array_equal(state["ids"], STATE["ids"])
    for name in ("weights", "halves", "count"):
        assert torch.equal(state[name], STATE[name])
        assert state[name].dtype == STATE[name].dtype


def test_tensors_of_one_memory_are_written_each(tmp_path: Path) -> None:
    whole = torch.arange(10.0)
    write(
        tmp_path / "step-000001", {"whole": whole, "tied": whole, "part": whole[2:4], "turned": whole.view(2, 5).T}, {}
    )
    state, _ = read(tmp_path / "step-000001")
    assert torch.equal(state["tied"], whole)
    assert torch.equal(state["part"], whole[2:4])
    assert torch.equal(state["turned"], whole.view(2, 5).T)


Leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
Trees = st.recursive(Leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc/"), inner), max_leaves=8)


@given(Trees)
def test_any_state_of_plain_values_comes_back(tree: Any) -> None:
    packed, tensors = pack(tree)
    assert not tensors
    assert unpack(json.loads(json.dumps(packed)), tensors) == tree


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    import random

    def draw() -> list[Any]:
        return [torch.rand(3).tolist(), np.random.standard_normal(3).tolist(), random.gauss(0, 1), random.random()]

    draw()  # leaves NumPy and Python with half a pair of normal numbers
    np.random.standard_normal()
    write(tmp_path / "step-000001", random_state(), {})
    wanted = draw()
    draw()
    set_random_state(read(tmp_path / "step-000001")[0])
    assert draw() == wanted


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints that a run of six steps left, three of them."""
    folder = tmp_path_factory.mktemp("run")
    nf.train(pairs_table(), settings=SETTINGS, checkpoints=nf.Checkpoints(folder))
    return folder


def copied(folder: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, to / "run"))


def test_the_last_are_kept_and_nothing_else(three: Path) -> None:
    assert sorted(path.name for path in three.iterdir()) == ["step-000004", "step-000005", "step-000006"]
    assert sorted(path.name for path in (three / "step-000006").iterdir()) == ["checkpoint.json", "state.safetensors"]


def test_nothing_is_pickled(three: Path) -> None:
    for path in three.rglob("*"):
        if path.is_file():
            with pytest.raises(ValueError, match=r"opcode|pickle|at position"):
                pickletools.dis(path.read_bytes(), out=StringIO())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def _edit(path: Path) -> None:
    path.write_text(path.read_text("utf-8").replace('"step": 6', '"step": 5', 1), "utf-8")


DAMAGES = {
    "tensors cut off": ("state.safetensors", _cut, "bytes, wanted the"),
    "tensors changed": ("state.safetensors", _flip, "checksum"),
    "no tensors": ("state.safetensors", Path.unlink, "cannot be read"),
    "record cut off": ("checkpoint.json", _cut, "no whole record"),
    "record changed": ("checkpoint.json", _edit, "changed after it was written"),
    "record of another kind": ("checkpoint.json", lambda path: path.write_text("[1]"), "no whole record"),
    "no record": ("checkpoint.json", Path.unlink, "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_taken_when_asked(
    damage: str, three: Path, tmp_path: Path
) -> None:
    name, spoil, wanted = DAMAGES[damage]
    folder = copied(three, tmp_path)
    spoil(folder / "step-000006" / name)
    with pytest.raises(nf.InputError, match=wanted) as error:
        nf.train(pairs_table(), settings=SETTINGS, checkpoints=nf.Checkpoints(folder, resume=True))
    assert str(folder / "step-000006") in str(error.value)
    assert "--resume-from step-000005" in str(error.value)
    assert len(checkpoints_in(folder)) == 3
    found = nf.train(pairs_table(), settings=SETTINGS, checkpoints=nf.Checkpoints(folder, resume_from="step-000005"))
    wanted_state = nf.train(pairs_table(), settings=SETTINGS).model.state_dict()
    for key, tensor in found.model.state_dict().items():
        assert torch.equal(tensor, wanted_state[key])


def test_an_unknown_checkpoint_is_answered_with_those_there(three: Path) -> None:
    with pytest.raises(nf.InputError, match=r"no checkpoint step-000099.*step-000004, step-000005, step-000006"):
        nf.train(pairs_table(), settings=SETTINGS, checkpoints=nf.Checkpoints(three, resume_from="step-000099"))


def _full_for_tensors(*args: object) -> None:
    raise SafetensorError("No space left on device (os error 28)")


@pytest.mark.parametrize("where", ["tensors", "record", "sync"])
def test_a_full_disk_leaves_the_earlier_ones(
    where: str, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    folder = copied(three, tmp_path)
    name, fault = {"tensors": ("save_file", _full_for_tensors), "record": ("_checksum", full), "sync": ("_sync", full)}[
        where
    ]
    _full_at_last_step(folder, name, fault, monkeypatch)
    assert [path.name for path in checkpoints_in(folder)] == ["step-000004", "step-000005", "step-000006"]
    assert len(list(folder.iterdir())) == 3
    nf.train(pairs_table(), settings=SETTINGS, checkpoints=nf.Checkpoints(folder, resume=True))


def _full_at_last_step(folder: Path, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on from the checkpoint before the last; the disk is full when the last one is to be written again."""
    given_up = nf.Checkpoints(folder, resume_from="step-000005")
    plain = checkpoints.read

    def read_then_full(place: Path) -> Any:
        found = plain(place)
        monkeypatch.setattr(checkpoints, name, fault)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("nearfar.training.keeping.read", read_then_full)
        with pytest.raises(nf.InputError, match=r"step-000006: .*No space left.*--resume goes on from .*step-000005"):
            nf.train(pairs_table(), settings=SETTINGS, checkpoints=given_up)
    monkeypatch.undo()


def test_a_limit_of_the_real_system_is_an_error_too(three: Path, tmp_path: Path) -> None:
    """Files may not grow beyond a few bytes: the write itself fails, halfway."""
    folder = copied(three, tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(nf.InputError, match=r"step-000007: the checkpoint cannot be written"):
            write(folder / "step-000007", {"weights": torch.ones(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(list(folder.iterdir())) == 3
    read(folder / "step-000006")


def test_without_a_number_of_steps_the_clock_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five minutes; and where one takes long, a fiftieth of the time at most."""
    now = [0.0]
    monkeypatch.setattr(keeping, "time", SimpleNamespace(monotonic=lambda: now[0]))
    plain = checkpoints.write

    def slow(*arguments: Any) -> None:
        plain(*arguments)
        now[0] += 20

    monkeypatch.setattr(keeping, "write", slow)
    settings = SETTINGS.model_copy(update={"checkpoint_every": None})
    keeper = keeping.Keeper(nf.Checkpoints(tmp_path), settings, {})
    found = []
    for step in range(1, 80):
        now[0] += 60
        if keeper.due(step):
            found.append(step)
            keeper.write(step, STATE)
    assert found == [5, 22, 39, 56, 73]


def test_what_a_killed_process_left_is_cleared_away(three: Path, tmp_path: Path) -> None:
    folder = copied(three, tmp_path)
    (folder / ".step-000007.partial").mkdir()
    (folder / ".step-000003.old").mkdir()
    (folder / "notes.txt").write_text("mine", "utf-8")
    assert [path.name for path in checkpoints_in(folder)] == ["step-000004", "step-000005", "step-000006"]
    prune(folder, 6, keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", "step-000005", "step-000006"]
    nf.Checkpoints(folder).remove()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
