"""`nearfar train --encoder words`, and what `evaluate` and `nearest` do with what comes of it."""

from __future__ import annotations

import io
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from nearfar import WordVectors
from tests.commands.conftest import Run
from tests.commands.killing import Line, assert_same_folder, killed_at_random
from tests.words.made import SUBJECTS, corpus

SMALL = ("--encoder", "words", "--width", 16, "--threads", 1, "--subsample", 0, "--learning-rate", 0.1)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of a line a text."""
    path = tmp_path_factory.mktemp("text") / "c.txt"
    path.write_text("\n".join(corpus(1_000)), "utf-8")
    return path


@pytest.fixture
def similar(tmp_path: Path) -> Path:
    """Pairs of words with scores, and one that is not known."""
    path = tmp_path / "similar.tsv"
    rows = [(a, b, int((a in SUBJECTS[0]) == (b in SUBJECTS[0]))) for a, b in zip(*SUBJECTS, strict=True)]
    rows += [(a, b, 1) for words in SUBJECTS for a, b in itertools.pairwise(words)] + [("lion", "crown", 1)]
    path.write_text("word1\tword2\tscore\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in rows), "utf-8")
    return path


def test_train_evaluate_nearest(run: Run, text: Path, similar: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    result = run("train", text, "-o", out, *SMALL, "--eval", similar)
    assert result.status == 0, result.err
    assert "words a second" in result.out.replace("\n", " ")
    assert result.out.count("epoch ") == 5
    record = json.loads((out / "nearfar.json").read_text("utf-8"))
    assert record["settings"]["objective"] == "neg"
    assert record["words"] == 10_000
    assert record["vocabulary"] == 16
    assert len(record["history"]) == 5
    assert "<svg" in (out / "report.html").read_text("utf-8")
    assert {"model.safetensors", "tokenizer.json", "outputs.npy"} <= {path.name for path in out.iterdir()}
    card = (out / "README.md").read_text("utf-8")
    assert "16 numbers for each of 16 words" in card
    assert "| words | 22 | spearman |" in card
    assert "| lora" not in card
    assert ModelCard(card).data.tags
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "similar.tsv"]
    result = run("evaluate", out, similar, "--json", tmp_path / "f.json")
    assert result.status == 0, result.err
    (found,) = json.loads((tmp_path / "f.json").read_text("utf-8"))["measurements"]
    assert found["task"] == "words"
    assert found["figures"]["spearman"] > 0.7
    assert found["figures"]["coverage"] == pytest.approx(22 / 23)
    result = run("nearest", out, "lion", "+", "tiger", "-", "hammer", "--count", 3)
    assert result.status == 0, result.err
    assert all(any(word in line for word in SUBJECTS[0]) for line in result.out.splitlines() if "0." in line)
    assert result.out.count("0.") == 3
    assert run("export", out, "-o", tmp_path / "v.txt", "--format", "word2vec").status == 0
    first, *lines = (tmp_path / "v.txt").read_text("utf-8").splitlines()
    assert first == "16 16"
    assert len(lines) == 16
    result = run("nearest", out, "lionn")
    assert result.status == 2
    assert "did you mean lion" in result.err


def test_any_encoder_is_measured_on_words_and_analogies(run: Run, model: Path, similar: Path, tmp_path: Path) -> None:
    analogies = tmp_path / "a.csv"
    analogies.write_text("a,b,c,d\ncat,cats,dog,dogs\nriver,rivers,bridge,bridges\n", "utf-8")
    result = run("evaluate", model, similar, analogies, "--json", tmp_path / "f.json")
    assert result.status == 0, result.err
    of_words, of_analogies = json.loads((tmp_path / "f.json").read_text("utf-8"))["measurements"]
    assert of_words["figures"]["coverage"] <= 1
    assert set(of_analogies["figures"]) == {"3cosadd", "3cosmul", "coverage"}
    refused = run("train", analogies, "-o", tmp_path / "m")
    assert refused.status == 2
    assert "measured on" in refused.err


def test_a_killed_run_goes_on_and_ends_the_same(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("\n".join(corpus(40_000)), "utf-8")
    words = ["train", path, *SMALL, "--epochs", 8]
    assert run(*words, "-o", tmp_path / "whole").status == 0
    line = Line(tmp_path / "m", [*words, "--checkpoint-every", 1])
    assert killed_at_random(line, random.Random(0), longest=0.1)
    refused = run(*line.words, "-o", line.out)
    assert refused.status == 2
    assert "--resume" in refused.err
    kept = sorted(tmp_path.glob("m.checkpoints/*/*"))
    refused = run(*line.words, "-o", line.out, "--resume", "--window", 3)
    assert "window was 5, is 3" in refused.err
    assert sorted(tmp_path.glob("m.checkpoints/*/*")) == kept
    done = run(*line.words, "-o", line.out, "--resume")
    assert done.status == 0, done.err
    assert "goes on from" in done.out
    assert_same_folder(line.out, tmp_path / "whole")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["c.txt", "m", "whole"]


def test_the_recorded_run_wants_the_recorded_corpus(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("\n".join(corpus(200)), "utf-8")
    assert run("train", path, "-o", tmp_path / "m", *SMALL, "--epochs", 2).status == 0
    again = ("train", "--config", tmp_path / "m/nearfar.json")
    assert run(*again, "-o", tmp_path / "same").status == 0
    assert_same_folder(tmp_path / "same", tmp_path / "m")
    assert run(*again, "-o", tmp_path / "fewer", "--min-count", 100).status == 0
    path.write_text("\n".join(corpus(201)), "utf-8")
    result = run(*again, "-o", tmp_path / "other")
    assert result.status == 2
    assert "found 2,010 words with fingerprint" in result.err.replace("\n", " ")
    assert "the data has changed" in result.err
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("other")]
    result = run(*again, path, "-o", tmp_path / "other")
    assert result.status == 0
    assert "other data than recorded" in result.out.replace("\n", " ")


def test_standard_input_of_any_bytes(run: Run, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"caf\xe9 lion\n" + text.read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    result = run("train", "-", "-o", tmp_path / "m", *SMALL, "--epochs", 1, "--objective", "nce")
    assert result.status == 0, result.err
    assert "1 line is no UTF-8" in result.out
    assert "line 1" in result.out
    assert np.load(tmp_path / "m/biases.npy").shape == (17,)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"again again\n" * 50, (), "the word 'again' alone"),
        (b"a b c\nb c d\nc d e\nc d\n", (), "--min-count: found 5, which leaves no two words; wanted 3 or less"),
        (b"", (), "no word"),
        (b"a b\n" * 9, ("--objective", "triplet"), "wanted one of words: neg, nce, infonce"),
        (b"a b\n" * 9, ("--batch-size", 8), "--batch-size"),
        (b"a b\n" * 9, ("--open",), "--open: found it with words"),
        (b"a b\n" * 9, ("--where", "x=y"), "--where: found it for plain text"),
    ],
)
def test_bad_input(content: bytes, options: tuple[object, ...], said: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(content)
    result = run("train", path, "-o", tmp_path / "m", "--encoder", "words", *options)
    assert result.status == 2
    assert said in result.err
    assert result.err.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["c.txt"]


def test_words_are_trained_by_train_alone(run: Run, text: Path) -> None:
    result = run("rate", text, "--encoder", "words")
    assert result.status == 2
    assert "wanted it in nearfar train" in result.err


def test_a_corpus_that_is_not_there_leaves_nothing(run: Run, tmp_path: Path) -> None:
    for source in (tmp_path / "nothing.txt", tmp_path):
        assert run("train", source, "-o", tmp_path / "m", "--encoder", "words").status == 2
        assert not list(tmp_path.iterdir())


@pytest.mark.heavy
def test_one_line_of_fifty_megabytes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    words = " ".join(corpus(20_000)) + " "
    path.write_text(words * (50_000_000 // len(words) + 1), "utf-8")
    result = run("train", path, "-o", tmp_path / "m", *SMALL, "--epochs", 1)
    assert result.status == 0, result.err
    vectors = WordVectors.open(tmp_path / "m")
    assert {near for near, _ in vectors.nearest("lion", count=7)} == set(SUBJECTS[0]) - {"lion"}
