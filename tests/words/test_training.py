"""A run: what it learns, that it can be repeated, stopped and gone on with."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nearfar as nf
from nearfar.data import Table
from nearfar.errors import InputError, Stopped
from nearfar.training import Checkpoints
from nearfar.words import Moment, WordOutcome, WordVectors, kernels, learning, train_words, training
from nearfar.words.learning import kept_share
from nearfar.words.plan import resolved
from tests.words.made import SUBJECTS, corpus


@pytest.fixture(autouse=True)
def _small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "RUN", 2_000)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as a file."""
    path = tmp_path_factory.mktemp("corpus") / "c.txt"
    path.write_text("\n".join(corpus()), "utf-8")
    return path


def trained(path: Path, checkpoints: Checkpoints | None = None, **values: Any) -> WordOutcome:
    """A small run on one thread."""
    settings = nf.Settings(**{"width": 16, "epochs": 4, "threads": 1, "subsample": 0.0, "learning_rate": 0.1} | values)
    return train_words(path, settings=settings, checkpoints=checkpoints)


def learnt(outcome: WordOutcome) -> bool:
    """Whether each word's nearest seven are those of its subject."""
    return all(
        {near for near, _ in outcome.vectors.nearest(word, count=7)} == set(words) - {word}
        for words in SUBJECTS
        for word in words
    )


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", ["neg", "nce", "infonce"])
def test_words_of_one_subject_come_near_each_other(objective: str, architecture: str, path: Path) -> None:
    outcome = trained(path, objective=objective, architecture=architecture)
    assert learnt(outcome)
    assert outcome.words == 20_000
    assert not outcome.vectors.vectors[0].any()
    losses = [entry["loss"] for entry in outcome.history]
    assert len(losses) == 4
    assert losses[-1] < losses[0]


def test_two_threads_learn_as_well(path: Path) -> None:
    assert learnt(trained(path, threads=2))


def test_subwords_place_words_that_were_never_met(path: Path) -> None:
    outcome = trained(path, subwords=True, epochs=8)
    vectors = outcome.vectors
    assert learnt(outcome)
    assert "tigers" not in vectors
    assert vectors.nearest("tigers", count=1)[0][0] == "tiger"


def test_a_run_on_one_thread_is_repeated_bit_for_bit(path: Path) -> None:
    first, again, other = trained(path), trained(path), trained(path, seed=1)
    np.testing.assert_array_equal(first.vectors.vectors, again.vectors.vectors)
    assert not np.array_equal(first.vectors.vectors, other.vectors.vectors)


@pytest.mark.parametrize("options", [{}, {"subwords": True, "objective": "nce"}], ids=["neg", "nce of subwords"])
def test_a_stopped_run_goes_on_and_ends_the_same(options: dict[str, Any], path: Path, tmp_path: Path) -> None:
    wanted = trained(path, **options)
    asked = [False] * 13 + [True] * 100
    place = Checkpoints(tmp_path / "k", stop=lambda: asked.pop(0))
    with pytest.raises(Stopped, match="to go on"):
        trained(path, place, **options)
    ids = tmp_path / "k/corpus/ids.int32"
    written = ids.stat().st_mtime_ns
    outcome = trained(path, Checkpoints(tmp_path / "k", resume=True), **options)
    assert ids.stat().st_mtime_ns == written  # the corpus was not read again
    assert any("goes on from" in note for note in outcome.notes)
    np.testing.assert_array_equal(outcome.vectors.vectors, wanted.vectors.vectors)
    np.testing.assert_array_equal(outcome.biases, wanted.biases)
    strip = [{name: entry[name] for name in ("step", "loss")} for entry in wanted.history]
    assert [{name: entry[name] for name in ("step", "loss")} for entry in outcome.history] == strip


def test_another_corpus_is_no_place_to_go_on(path: Path, tmp_path: Path) -> None:
    asked = [False] * 5 + [True] * 100
    with pytest.raises(Stopped):
        trained(path, Checkpoints(tmp_path / "k", stop=lambda: asked.pop(0)))
    other = tmp_path / "c.txt"
    other.write_text("\n".join(corpus(seed=5)), "utf-8")
    with pytest.raises(InputError, match="another run"):
        trained(other, Checkpoints(tmp_path / "k", resume=True))


def test_tables_are_measured_after_each_epoch(path: Path) -> None:
    names = [word for words in SUBJECTS for word in words[:3]]
    pairs = [(a, b, float((a in SUBJECTS[0]) == (b in SUBJECTS[0]))) for a in names for b in names if a < b]
    table = Table.from_columns(dict(zip(("word1", "word2", "score"), zip(*pairs, strict=True), strict=True)))
    moments: list[Moment] = []
    outcome = train_words(
        path,
        settings=nf.Settings(width=16, epochs=2, threads=1, subsample=0.0, learning_rate=0.1),
        evaluate_on=[table],
        watch=moments.append,
    )
    assert [len(entry["measurements"]) for entry in outcome.history] == [1, 1]
    assert outcome.measurements[0].figures["spearman"] > 0.7
    assert [moment.epoch for moment in moments if moment.epoch] == [1, 2]
    assert moments[-1].progress == 1


def test_an_interrupt_keeps_what_there_is(path: Path) -> None:
    def watch(moment: Moment) -> None:
        if moment.runs == 3:
            raise KeyboardInterrupt

    outcome = train_words(path, settings=nf.Settings(width=16, threads=1), watch=watch)
    assert outcome.interrupted
    assert outcome.vectors.vectors.any()


def test_too_high_a_rate_is_told(path: Path) -> None:
    with pytest.raises(InputError, match="--learning-rate: found 1e"):
        trained(path, learning_rate=1e30)


def test_what_has_no_place_in_words_is_refused() -> None:
    for values, said in (
        ({"objective": "triplet"}, "neg, nce, infonce"),
        ({"queue": 5}, "--queue"),
        ({"steps": 5}, "--steps"),
        ({"objective": "neg", "temperature": 0.1}, "no temperature"),
        ({"view": ["crop"]}, "--view: found"),
        ({"patience": 3}, "--patience"),
        ({"lora": 8}, "--lora"),
        ({"window": 10**9}, "--window: found 1,000,000,000, wanted 10,000 or less"),
        ({"noise": 10**8}, "--noise"),
    ):
        with pytest.raises(InputError, match=said):
            resolved(nf.Settings(**values))
    assert resolved(nf.Settings()).objective == "neg"
    assert resolved(nf.Settings(objective="infonce")).temperature == 1


def test_frequent_words_are_left_out_as_word2vec_does() -> None:
    kept = kept_share(np.array([0, 1, 999_999]), 1e-3)
    assert kept[1] == 1
    assert kept[2] == pytest.approx(1e-3**0.5 + 1e-3, rel=1e-3)
    assert kept_share(np.array([0, 5]), 0.0).tolist() == [1, 1]


def test_nce_starts_normalised(path: Path) -> None:
    outcome = trained(path, objective="nce", learning_rate=1e-9)
    assert np.exp(outcome.biases[1:]).sum() == pytest.approx(1, abs=1e-3)


def test_it_is_compiled_once_whatever_runs(path: Path, tmp_path: Path) -> None:
    for values in ({"architecture": "cbow"}, {"objective": "nce", "subwords": True}, {"objective": "infonce"}):
        trained(path, epochs=1, **values)
    asked = iter([False] * 8 + [True] * 99)
    with pytest.raises(Stopped):
        trained(path, Checkpoints(tmp_path, stop=lambda: next(asked)), epochs=1)
    trained(path, Checkpoints(tmp_path, resume=True), epochs=1)  # with vectors that were read from a file
    assert len(kernels.learn_run.nopython_signatures) == 1


def test_who_waits_for_the_compiler_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = threading.Event()
    monkeypatch.setattr(training, "compile_", lambda: told.wait(60))
    monkeypatch.setattr(training, "PATIENCE", 0.0)
    moments: list[Moment] = []

    def watch(moment: Moment) -> None:
        moments.append(moment)
        if moment.stage == "compiling":
            told.set()

    train_words(path, settings=nf.Settings(width=16, epochs=1, threads=1, subsample=0.0), watch=watch)
    assert told.is_set()
    assert [moment.note for moment in moments if moment.stage == "compiling"] == [training.COMPILING]
    stages = [moment.stage for moment in moments]
    assert stages[0] == "reading, line 2,000"
    assert stages[-1] == "training"


def test_vectors_that_do_not_fit_into_memory_are_refused_before_they_are_made(path: Path) -> None:
    with pytest.raises(InputError, match=r"--width: found 1,000,000,000, which takes 1.* MiB for 16 words"):
        trained(path, width=10**9)


def test_a_run_that_learns_nothing_is_an_error(path: Path) -> None:
    with pytest.raises(InputError, match="wanted a larger corpus or --subsample 0"):
        trained(path, subsample=1e-300)


def test_a_run_that_is_refused_leaves_nothing(path: Path, tmp_path: Path) -> None:
    def check(corpus: Mapping[str, Any]) -> None:
        assert corpus["rows"] == 20_000
        raise InputError("not this one")

    with pytest.raises(InputError, match="not this one"):
        train_words(path, check=check, checkpoints=Checkpoints(tmp_path / "c"))
    assert not list(tmp_path.iterdir())


def test_vectors_outlive_the_folder_that_they_were_made_in(path: Path, tmp_path: Path) -> None:
    outcome = trained(path)
    outcome.vectors.save(tmp_path)
    assert sorted(WordVectors.open(tmp_path).words) == sorted(SUBJECTS[0] + SUBJECTS[1])
