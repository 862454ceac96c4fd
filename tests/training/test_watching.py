"""What a run says of itself while it runs: readings, warnings, the journal, and when it ends early."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

import nearfar as nf
from nearfar.analysis import Measurement
from nearfar.contrasts import Contrast
from nearfar.encoders import build_static, memory
from nearfar.errors import InputError, Stopped
from nearfar.execution.settings import MAX_BYTES, current
from nearfar.training import Checkpoints, DivergedError, Outcome, room
from nearfar.training.alarms import Alarms, slow_measuring
from nearfar.training.choosing import chosen_figure
from nearfar.training.journal import read_journal
from nearfar.training.outcome import Reading, Step
from tests.commands.conftest import sentences
from tests.training.made import WORDS, texts, translations

SMALL: dict[str, Any] = {"vocabulary": 300, "width": 16, "batch_size": 32, "learning_rate": 0.02}


def table(count: int = 128, seed: int = 1) -> nf.Table:
    rows = sentences(count, seed)
    return nf.Table.from_columns({"anchor": [a for a, _ in rows], "positive": [b for _, b in rows]})


def noise(count: int = 128) -> nf.Table:
    """Pairs that have nothing to do with each other, of few words."""
    every = texts(2 * count)
    return nf.Table.from_columns({"anchor": every[:count], "positive": every[count:]})


def run(data: nf.Table, steps: int = 40, *, objective: Any = None, **options: Any) -> tuple[Outcome, list[Step]]:
    shown: list[Step] = []
    folder, checkpoints = options.pop("folder", None), options.pop("checkpoints", None)
    measured, model = options.pop("evaluate_on", [table(40, seed=2)]), options.pop("model", None)
    settings = nf.Settings(**{**SMALL, "steps": steps, **options})
    outcome = nf.train(
        data,
        objective=objective,
        model=model,
        settings=settings,
        evaluate_on=measured,
        watch=shown.append,
        folder=folder,
        checkpoints=checkpoints,
    )
    return outcome, shown


def causes(outcome: Outcome) -> list[str]:
    return [warning["cause"] for warning in outcome.warnings]


def test_readings_come_as_often_as_asked_and_change_nothing() -> None:
    often, shown = run(table(), watch_every=4)
    assert (
        [r["step"] for r in often.readings] == [4 * k for k in range(1, 11)] == [s.number for s in shown if s.reading]
    )
    never, _ = run(table(), watch_every=0)
    seldom, _ = run(table())
    assert never.readings == []
    assert [r["step"] for r in seldom.readings] == [1, 2, 4, 8, 16, 32]
    vectors = [one.model[0].embedding.weight for one in (often, never, seldom)]
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[0], vectors[2])


def test_readings_say_what_happened() -> None:
    outcome, shown = run(table(), steps=60, watch_every=1)
    first, last = outcome.readings[1], outcome.readings[-1]
    assert last["alignment"] < first["alignment"]
    assert 1 <= last["effective_rank"] <= last["rank_bound"] == 16
    assert all(0 < r["effective_negatives"] <= 31 for r in outcome.readings)
    assert all(r["gradient_norm"] > 0 for r in outcome.readings)
    rates = [r["learning_rate"] for r in outcome.readings]
    assert max(rates) == pytest.approx(0.02)
    assert rates[0] == 0
    assert shown[5].reading == Reading(**{k: outcome.readings[5][k] for k in Reading.__dataclass_fields__})
    assert outcome.warnings == []


def test_a_collapse_is_named_once() -> None:
    """Without a margin nothing is pushed; all words are near through some pair."""
    outcome, shown = run(noise(), steps=120, objective=nf.ContrastiveLoss(margin=1e-4), watch_every=5)
    assert causes(outcome) == ["collapse"]
    (said,) = [s for s in shown if s.warnings]
    assert "the space collapses" in said.warnings[0]
    assert said.number == outcome.warnings[0]["step"]
    assert outcome.readings[-1]["mean_cosine"] > 0.95


def unbounded() -> SentenceTransformer:
    """A static encoder whose vectors may be of any length."""
    return SentenceTransformer(modules=[build_static(lambda: [WORDS], width=16)[0]], device="cpu")


def test_an_exploding_gradient_is_named() -> None:
    """Vectors that grow without bound, and a gradient that grows with them."""
    options = {"learning_rate": 30.0, "warmup": 0.9, "watch_every": 1}
    outcome, _ = run(noise(), steps=60, objective=nf.NPairLoss(), model=unbounded(), evaluate_on=[noise(40)], **options)
    assert "gradient" in causes(outcome)
    assert "norm is" in next(w["message"] for w in outcome.warnings if w["cause"] == "gradient")


def doubled(times: int) -> nf.Table:
    rows = sentences(120, seed=3)
    anchors = [rows[k // times][0] for k in range(120)]
    return nf.Table.from_columns({"anchor": anchors, "positive": [b for _, b in rows]})


def contradicting() -> nf.Table:
    rows = [a for a, _ in sentences(40, seed=5)]
    return nf.Table.from_columns({"text": rows + rows, "label": ["one"] * 40 + ["two"] * 40})


DOUBTFUL: dict[str, tuple[Callable[[], nf.Table], list[str]]] = {
    "none": (table, []),
    "anchors of many rows": (lambda: doubled(30), ["duplicates"]),
    "texts of two labels": (contradicting, ["duplicates", "contradictions"]),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_doubtful_data_is_named(case: str) -> None:
    make, wanted = DOUBTFUL[case]
    outcome, _ = run(make(), steps=12, watch_every=1)
    assert causes(outcome) == wanted
    for warning in outcome.warnings:
        assert re.search(r"\d+% of the \d+ rows of a batch", warning["message"])
    assert causes(run(doubled(30), steps=12, watch_every=1, batches="no-duplicates")[0]) == []


class Spoilt(nf.InfoNCELoss):
    """InfoNCE, until a step."""

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> torch.Tensor:
        made = self.__dict__["made"] = self.__dict__.get("made", 0) + 1
        return super().__call__(contrast, strip_rows=strip_rows) * (float("nan") if made > 30 else 1)


def test_a_run_that_diverges_keeps_the_best_so_far(tmp_path: Path) -> None:
    where = r"step 31 \(batch 3 of epoch 8: 32 rows of memory\): the loss became nan"
    with pytest.raises(DivergedError, match=where) as raised:
        run(translations(128), objective=Spoilt(), evaluate_on=[translations(60, seed=1)], folder=tmp_path)
    outcome = raised.value.outcome
    assert 0 < outcome.best_step <= 30
    best = max(entry["measurements"][0]["mrr@10"] for entry in outcome.history)
    assert outcome.measurements[0].figures["mrr@10"] == pytest.approx(best)
    assert causes(outcome) == ["diverged"]
    assert read_journal(tmp_path / "history.jsonl")[-2]["kind"] == "warning"


def test_vectors_that_leave_the_numbers_are_a_divergence() -> None:
    with pytest.raises(DivergedError, match=r"NaN or infinit|became (nan|inf)") as raised:
        run(
            noise(),
            objective=nf.NPairLoss(),
            model=unbounded(),
            evaluate_on=[noise(40)],
            learning_rate=1e30,
            warmup=0.0,
        )
    assert re.search(r"learning rate of \S+e\+(29|30);", str(raised.value))
    assert np.isfinite(raised.value.outcome.model.encode("a cat")).all()


class Torn(nf.InfoNCELoss):
    """InfoNCE, whose gradient is NaN at the twelfth step while its loss is a number."""

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> torch.Tensor:
        made = self.__dict__["made"] = self.__dict__.get("made", 0) + 1
        loss = super().__call__(contrast, strip_rows=strip_rows)
        if made == 12:
            loss.register_hook(lambda gradient: gradient * float("nan"))
        return loss


def test_parameters_that_are_no_numbers_are_neither_kept_nor_saved(tmp_path: Path) -> None:
    """Where nothing is measured, too: neither as a checkpoint in the place of the last good one, nor as a model."""
    where = r"step 12 \(batch 4 of epoch 3: 32 rows of memory\): a parameter became NaN"
    settings: dict[str, Any] = {"evaluate_on": [], "steps": 12, "held_out": 0.0}
    with pytest.raises(DivergedError, match=where):
        run(translations(128), objective=Torn(), **settings)
    checkpoints = Checkpoints(tmp_path / "kept")
    with pytest.raises(DivergedError, match=f"{where}.*--resume goes on from .*step-000009"):
        run(translations(128), objective=Torn(), checkpoints=checkpoints, checkpoint_every=3, keep=1, **settings)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["step-000009"]


def test_patience_ends_a_run_that_does_not_improve() -> None:
    flat, _ = run(table(), steps=200, learning_rate=1e-12, evaluations=20, patience=3)
    assert flat.stopped_early
    assert (flat.history[-1]["step"], flat.best_step) == (30, 0)
    better, _ = run(translations(256), steps=40, patience=9, evaluate_on=[translations(60, seed=1)])
    assert not better.stopped_early
    assert better.history[-1]["step"] == 40


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"patience": 10}, "patience: found 10.*less than 10"),
        ({"patience": 3, "evaluate_on": [], "held_out": 0.0}, "patience: found 3.*nothing to measure on"),
        ({"metric": "ndcg@11"}, "metric: found 'ndcg@11', wanted one of memory:mrr@10"),
        ({"track": ["tensorbord"]}, "track: found 'tensorbord'.*; did you mean tensorboard?"),
        ({"track": ["xyz"]}, "track: found 'xyz', wanted one of .*all$"),
        ({"track": ["dvclive"]}, "track: found dvclive, wanted its package"),
        ({"track": ["tensorboard"]}, "log_folder: found None"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError, match=wanted):
        run(table(), **options)


MEASURED = (
    Measurement("sts", "data/dev.tsv", 9, {"spearman": 0.5, "pearson": 0.4}),
    Measurement("retrieval", "faq.tsv", 9, {"mrr@10": 0.1, "ndcg@10": 0.3}),
)


@pytest.mark.parametrize(
    ("metric", "figure"),
    [
        (None, 0.3),
        ("dev.tsv", 0.5),
        ("data/dev.tsv:pearson", 0.4),
        ("faq.tsv:ndcg@10", 0.3),
        ("pearson", 0.4),
    ],
)
def test_the_metric_decides(metric: str | None, figure: float) -> None:
    assert chosen_figure(MEASURED, metric) == pytest.approx(figure)


def test_the_best_model_is_best_by_the_metric() -> None:
    outcome, _ = run(translations(128), steps=60, metric="recall@1", evaluate_on=[translations(60, seed=1)])
    by_step = {entry["step"]: entry["measurements"][0]["recall@1"] for entry in outcome.history}
    assert outcome.best_step == max(by_step, key=lambda step: (by_step[step], -step))
    assert outcome.measurements[0].figures["recall@1"] == by_step[outcome.best_step]


def test_the_journal_has_every_line(tmp_path: Path) -> None:
    outcome, _ = run(table(), watch_every=3, folder=tmp_path, evaluations=4)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text("utf-8").splitlines()]
    of = {kind: [{k: v for k, v in one.items() if k != "kind"} for one in lines if one["kind"] == kind] for kind in (
        "reading", "measurement", "warning", "result")}  # fmt: skip
    assert of["reading"] == outcome.readings
    assert of["measurement"] == outcome.history
    assert of["warning"] == outcome.warnings
    assert of["result"][0]["measurements"][0]["figures"] == outcome.measurements[0].figures
    assert [one["step"] for one in lines[:-1]] == sorted(one["step"] for one in lines[:-1])


def test_a_run_that_is_taken_up_has_the_same_journal(tmp_path: Path) -> None:
    def part(folder: str, **options: Any) -> list[dict[str, Any]]:
        (tmp_path / folder).mkdir(exist_ok=True)
        count = [0]

        def stop() -> bool:
            count[0] += 1
            return count[0] == options.get("stop_at")

        settings = nf.Settings(**SMALL, steps=40, watch_every=3)
        nf.train(
            doubled(30), settings=settings, evaluate_on=[table(40, seed=2)], folder=tmp_path / folder,
            checkpoints=Checkpoints(tmp_path / "kept", resume=options.get("resume", False), stop=stop),
        )  # fmt: skip
        entries = read_journal(tmp_path / folder / "history.jsonl")
        return [{k: v for k, v in one.items() if k != "seconds"} for one in entries]

    whole = part("whole")
    with pytest.raises(Stopped):
        part("cut", stop_at=17)
    again = part("again", resume=True)
    order = [(one["step"], one["kind"]) for one in whole[:-1]]
    assert sorted(order) == sorted((one["step"], one["kind"]) for one in again[:-1])
    key = lambda one: (one["step"], one["kind"])  # noqa: E731
    assert sorted(again[:-1], key=key) == sorted(whole[:-1], key=key)
    assert again[-1] == whole[-1]


def test_tensorboard_is_told_everything(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    outcome, _ = run(table(), watch_every=4, folder=tmp_path, track=["tensorboard"])
    events = event_accumulator.EventAccumulator(str(tmp_path / "logs/nearfar"))
    events.Reload()
    for name in ("loss", "gradient_norm", "effective_rank", "uniformity"):
        seen = {event.step: event.value for event in events.Scalars(name)}
        assert seen == pytest.approx({r["step"]: r[name] for r in outcome.readings}, rel=1e-5)
    seen = {event.step: event.value for event in events.Scalars("memory/mrr@10")}
    assert seen == pytest.approx({h["step"]: h["measurements"][0]["mrr@10"] for h in outcome.history}, rel=1e-5)


def test_wandb_is_told_everything_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    outcome, _ = run(table(), watch_every=4, folder=tmp_path / "out", track=["wandb"])
    (file,) = (tmp_path / "out/logs/wandb").glob("offline-run-*/run-*.wandb")
    written = file.read_bytes()  # records of names and JSON, one after another
    for name in ("loss", "gradient_norm", "effective_rank", "uniformity"):
        assert name.encode() in written
        for reading in outcome.readings:
            assert json.dumps(reading[name]).encode() in written, (name, reading["step"])
    for entry in outcome.history:
        assert json.dumps(entry["measurements"][0]["mrr@10"]).encode() in written
    assert b"memory/mrr@10" in written
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # nothing where the user stands


def test_a_tracker_that_cannot_begin_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise RuntimeError("no account\nhere")

    monkeypatch.setattr("accelerate.Accelerator.init_trackers", refuse)
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with pytest.raises(InputError, match=r"track: found tensorboard, which cannot begin \(no account here\)"):
        run(table(), folder=tmp_path, track=["tensorboard"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lora_alpha": 8.0, "per_class": 2}, "--lora-alpha without --lora, --per-class without --batches per-class"),
        ({"teacher_scale": 2.0, "window": 3}, "--teacher-scale without --teacher, --window without --encoder words"),
        ({"queue": 8, "momentum": 0.5}, ""),
        ({}, ""),
    ],
)
def test_settings_that_change_nothing_are_said(options: dict[str, Any], said: str) -> None:
    _, shown = run(table(40), steps=2, **options)
    assert [step.note for step in shown if "changes nothing" in step.note] == (
        [f"changes nothing: {said}"] * bool(said)
    )


def test_a_budget_of_an_instant_makes_a_step_and_measures_it() -> None:
    outcome, shown = run(table(), steps=1000, minutes=1e-7)
    assert [s.number for s in shown] == [1]
    assert shown[0].progress == 1
    assert [entry["step"] for entry in outcome.history] == [0, 1]


def test_slow_measuring_is_said() -> None:
    assert slow_measuring(4.0, 10.0) == ""
    assert "60% of the time" in slow_measuring(6.0, 10.0)


def test_a_start_that_is_flat_is_no_collapse() -> None:
    alarms = Alarms()
    flat = Reading(0.1, 1.0, 0.1, -0.1, 0.97, 3.0, 128.0, 5.0, 0.0, 0.0)
    spread = Reading(0.1, 1.0, 0.1, -2.0, 0.3, 60.0, 128.0, 5.0, 0.0, 0.0)
    assert [alarms.check(flat, "pairs", 64, 0.05) for _ in range(4)] == [{}, {}, {}, {}]
    assert [alarms.check(one, "pairs", 64, 0.5) for one in (flat, spread, flat)] == [{}, {}, {}]
    assert list(alarms.check(flat, "pairs", 64, 0.6)) == ["collapse"]
    assert alarms.check(flat, "pairs", 64, 0.7) == {}


def test_strips_fit_the_memory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert room.strip_bytes("cpu") <= MAX_BYTES
    files = {"memory.max": 500, "memory.current": 420, "memory.stat": 0}
    for name, size in files.items():
        (tmp_path / name).write_text(f"{size * 2**20}\n", "utf-8")
    (tmp_path / "memory.stat").write_text(f"anon 5\nactive_file {30 * 2**20}\ninactive_file {20 * 2**20}\n", "utf-8")
    assert memory.free_bytes(torch.device("cpu")) <= 130 * 2**20
    assert room.strip_bytes("cpu") == 8 * 2**20
    (tmp_path / "memory.max").write_text("max\n", "utf-8")
    assert room.strip_bytes("cpu") <= MAX_BYTES


def test_strips_are_those_of_the_settings() -> None:
    seen: list[Any] = []

    class Looking(nf.InfoNCELoss):
        def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> torch.Tensor:
            seen.append(current())
            return super().__call__(contrast, strip_rows=strip_rows)

    few, _ = run(table(), steps=5, objective=Looking(), strip_rows=3, max_bytes=2**16)
    plain, _ = run(table(), steps=5)
    assert {(one.strip_rows, one.max_bytes) for one in seen} == {(3, 2**16)}
    assert plain.settings.max_bytes
    torch.testing.assert_close(few.model[0].embedding.weight, plain.model[0].embedding.weight, rtol=1e-3, atol=1e-5)
