"""`nearfar train`: what it writes, what it refuses, how it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentence_transformers
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tests.commands.conftest import FAST, Run


def test_folder_holds_model_record_and_report(model: Path) -> None:
    record = json.loads((model / "nearfar.json").read_text("utf-8"))
    assert {"settings", "data", "versions", "history", "best_step", "seconds"} <= record.keys()
    assert record["settings"]["seed"] == 0
    assert record["data"][0]["rows"] == 240
    assert 20 <= record["evaluate_on"][0]["rows"] <= 48
    assert len(record["data"][0]["fingerprint"]) >= 16
    assert record["history"][0]["step"] == 0
    assert all("mrr@10" in m for entry in record["history"] for m in entry["measurements"])
    page = (model / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 3
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "src=" not in page
    assert page.count("<link") == page.count('<link rel="icon" href="data:,">')  # which keeps a browser from asking


def test_plain_sentence_transformers_gives_the_same_vectors(model: Path, tmp_path: Path) -> None:
    texts = ["the cat sleeps on the river", "우리 선생님 finds 그 학교", "", "🙂"]
    script = (
        "import json, sys, numpy as np\n"
        "from sentence_transformers import SentenceTransformer\n"
        "vectors = SentenceTransformer(sys.argv[1], device='cpu').encode(json.loads(sys.argv[2]))\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'nearfar']\n"
        "np.save(sys.argv[3], vectors)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(model), json.dumps(texts), str(tmp_path / "plain.npy")], check=True
    )
    from nearfar import open_model
    from nearfar.encoders import open_encoder

    encoder = open_encoder(open_model(model, device="cpu"))
    ours = encoder.embed(encoder.tokenise([texts])).detach().numpy()
    np.testing.assert_allclose(ours, np.load(tmp_path / "plain.npy"), atol=1e-6)


def test_same_seed_same_model_bit_for_bit(run: Run, tables: dict[str, Path], model: Path, tmp_path: Path) -> None:
    for name, seed in (("again", 0), ("other", 1)):
        assert run("train", tables["pairs.tsv"], "-o", tmp_path / name, *FAST, "--seed", seed).status == 0
    first, again, other = (
        load_file(folder / "model.safetensors")["embedding.weight"]
        for folder in (model, tmp_path / "again", tmp_path / "other")
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_several_tables_of_different_roles(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    names = ("pairs.tsv", "texts.txt", "labels.csv")
    result = run("train", *(tables[n] for n in names), "-o", tmp_path / "m", "--eval", tables["sts.jsonl"], *FAST)
    assert result.status == 0, result.err
    assert "spearman" in result.out
    kinds = [table["kind"] for table in json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))["data"]]
    assert kinds == ["pairs", "texts", "labelled"]


def test_ntxent_on_texts_and_steps(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    result = run("train", tables["texts.txt"], "-o", tmp_path / "m", "--objective", "ntxent", *FAST, "--steps", 3)
    assert result.status == 0, result.err
    assert json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))["settings"]["steps"] == 3


VIEWED = {
    "text": ["crop:keep=0.6", "typo:probability=0.5"],
    "embedding": ["cutoff:kind=features", "gaussian", "mixup"],
    "adversarial": ["delete", "adversarial:epsilon=0.1"],
}


@pytest.mark.parametrize("names", VIEWED.values(), ids=VIEWED)
def test_views_are_trained_with_recorded_and_repeated(
    names: list[str], run: Run, tables: dict[str, Path], tmp_path: Path
) -> None:
    options = [word for name in names for word in ("--view", name)]
    words = (tables["texts.txt"], "--eval", tables["sts.jsonl"], *FAST)
    assert run("train", "-o", tmp_path / "m", *words, *options).status == 0
    settings = json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))["settings"]
    assert [view.partition(":")[0] for view in settings["view"]] == [name.partition(":")[0] for name in names]
    assert settings["token_dropout"] == 0
    again = run("train", "-o", tmp_path / "again", *words[:3], "--config", tmp_path / "m/nearfar.json")
    assert again.status == 0, again.err
    first, second = (
        load_file(f / "model.safetensors")["embedding.weight"] for f in (tmp_path / "m", tmp_path / "again")
    )
    assert np.array_equal(first, second)


MADE = {
    "no text twice": ["pairs.tsv", "--batches", "no-duplicates"],
    "of one length": ["texts.txt", "--batches", "length"],
    "near texts": ["pairs.tsv", "--batches", "cluster"],
    "classes": ["labels.csv", "--batches", "per-class", "--per-class", 2],
    "two tables alike": ["pairs.tsv", "texts.txt", "--source-temperature", 5],
    "queue": ["pairs.tsv", "--queue", 40],
    "queue of views": ["texts.txt", "--queue", 40, "--objective", "ntxent"],
    "queue of labels": ["labels.csv", "--queue", 40],
    "mixed": ["pairs.tsv", "--mixed", 2],
    "mixed and symmetric": ["pairs.tsv", "--mixed", 2, "--objective", "lifted"],
    "mined": ["pairs.tsv", "--mine-every", 3, "--mine-count", 2],
    "stream": ["pairs.tsv", "texts.txt", "--stream", "--steps", 9, "--view", "crop"],
}


@pytest.mark.parametrize("words", MADE.values(), ids=MADE)
def test_contrastive_data_is_made_in_each_way(
    words: list[str], run: Run, tables: dict[str, Path], tmp_path: Path
) -> None:
    given = [tables.get(str(word), word) for word in words]
    for name in ("m", "again"):
        result = run("train", *given, "-o", tmp_path / name, "--eval", tables["sts.jsonl"], *FAST)
        assert result.status == 0, result.err
    if "--mine-every" in words:
        assert "step 4:" in result.out
        assert "stale until step 6" in result.out
    first, second = (load_file(tmp_path / f / "model.safetensors")["embedding.weight"] for f in ("m", "again"))
    assert np.array_equal(first, second)


def test_a_guide_is_a_second_model(run: Run, tables: dict[str, Path], model: Path, tmp_path: Path) -> None:
    for name in ("pairs.tsv", "texts.txt", "labels.csv"):
        words = (tables[name], "-o", tmp_path / name, "--guide", model, "--guide-margin", 0.1, *FAST)
        result = run("train", *words, "--eval", tables["sts.jsonl"])
        assert result.status == 0, result.err


def test_standard_input_is_a_stream(tables: dict[str, Path], tmp_path: Path) -> None:
    """Rows pass once: a run that would need a second pass says so."""
    rows = "".join(json.dumps({"text": line}) + "\n" for line in tables["texts.txt"].read_text("utf-8").splitlines())
    words = [sys.executable, "-m", "nearfar", "train", "-", "--stream", *FAST, "--eval", tables["sts.jsonl"]]
    for steps, status in ((3, 0), (50, 2)):
        line = [str(word) for word in (*words, "--steps", steps, "-o", tmp_path / str(steps))]
        done = subprocess.run(line, input=rows, capture_output=True, text=True)
        assert done.returncode == status, done.stderr
    assert "second pass over standard input" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["3"]
    assert json.loads((tmp_path / "3/nearfar.json").read_text("utf-8"))["data"][0]["rows"] is None


def test_a_stream_wants_an_end(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    result = run("train", tables["pairs.tsv"], "--stream", "-o", tmp_path / "m", "--epochs", 1)
    assert result.status == 2
    assert "--steps or --minutes" in result.err


def test_trained_model_is_a_start(run: Run, tables: dict[str, Path], model: Path, tmp_path: Path) -> None:
    result = run("train", tables["pairs.tsv"], "-o", tmp_path / "m", "--encoder", model, *FAST)
    assert result.status == 0, result.err
    history = json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))["history"]
    assert history[0]["measurements"][0]["mrr@10"] > 0.2


BAD = {
    "missing file": (["no.tsv"], ["no.tsv"]),
    "no column": (["odd.tsv"], ["odd.tsv", "anchor"]),
    "empty": (["empty.jsonl"], ["empty.jsonl"]),
    "broken json": (["broken.jsonl"], ["broken.jsonl", "2"]),
    "fields": (["fields.csv"], ["fields.csv", "3"]),
    "utf-8": (["latin.txt"], ["latin.txt", "UTF-8"]),
    "empty text": (["hole.tsv"], ["hole.tsv", "positive"]),
    "one row": (["one.tsv"], ["one.tsv", "at least 2"]),
    "scores": (["scores.tsv"], ["scores.tsv", "--column anchor=sentence1"]),
    "one label": (["label.csv"], ["label.csv", "one label"]),
    "encoder": (["good.tsv", "--encoder", "./nowhere"], ["nowhere", "folder"]),
    "encoder name": (["good.tsv", "--encoder", "nobody/nothing"], ["nobody/nothing"]),
    "encoder folder": (["good.tsv", "--encoder", "."], ["modules.json"]),
    "objective": (["good.tsv", "--objective", "infonse"], ["infonse", "infonce"]),
    "view": (["good.tsv", "--view", "crip"], ["view", "crip", "did you mean crop", "dropout"]),
    "view of pairs": (["good.tsv", "--view", "crop"], ["--view", "crop", "lone texts"]),
    "option of a view": (["good.tsv", "--view", "crop:kep=1"], ["--view crop", "kep", "did you mean keep"]),
    "batches": (["good.tsv", "--batches", "sorted"], ["batches", "sorted", "'no-duplicates'"]),
    "classes of pairs": (["good.tsv", "--batches", "per-class"], ["good.tsv", "found no labels", "per-class"]),
    "mining of labels": (["labels.csv", "--mine-every", 2], ["--mine-every: found 2", "no pairs"]),
    "weight of no table": (["good.tsv", "--weight-for", "no.tsv=2"], ["nearfar: --weight-for: found no.tsv"]),
    "momentum": (["good.tsv", "--momentum", 1], ["nearfar: --momentum: found 1.0, wanted less than 1"]),
    "guide": (["good.tsv", "--guide", "./nowhere"], ["nowhere", "folder"]),
    "stream in clusters": (["good.tsv", "--stream", "--batches", "cluster"], ["batches", "cluster", "streams"]),
    "option": (["good.tsv", "--bogus"], ["--bogus"]),
    "temperature": (["good.tsv", "--temperature", "-1"], ["--temperature: found -1", "greater than 0"]),
    "not a number": (["good.tsv", "--epochs", "many"], ["--epochs: found 'many'", "integer"]),
    "column": (["good.tsv", "--column", "anchor"], ["--column", "anchor"]),
    "role": (["good.tsv", "--column", "ancor=a"], ["ancor", "anchor"]),
    "where": (["good.tsv", "--where", "anchor=nobody"], ["anchor", "nobody"]),
    "column of no table": (["good.tsv", "--column", "anchor=ancor"], ["--column anchor", "'ancor'", "good.tsv"]),
    "filter of no table": (["good.tsv", "--where", "lable=x"], ["--where", "'lable'", "'anchor', 'positive'"]),
    "broken evaluation": (
        ["good.tsv", "--eval", "high.tsv", "--column", "anchor=sentence1", "--column", "positive=sentence2"],
        ["high.tsv", "row 2 (line 3)", "'score'", "'high'"],
    ),
    "config": (["good.tsv", "--config", "bad.toml"], ["bad.toml", "toml"]),
    "config of no settings": (["good.tsv", "--config", "five.json"], ["five.json", "int", "a table of settings"]),
    "config of the wrong type": (["good.tsv", "--config", "true.toml"], ["true.toml: steps", "True", "integer"]),
    "config without end": (["good.tsv", "--config", "inf.toml"], ["inf.toml: temperature", "inf", "finite"]),
    "config beside a bad option": (["good.tsv", "--config", "ok.toml", "--seed", -1], ["nearfar: --seed: found -1"]),
    "name too long": (["good.tsv", "-o", "x" * 300], ["name too long"]),
    "config key": (["good.tsv", "--config", "key.toml"], ["temprature", "temperature"]),
    "ntxent with negatives": (["triple.tsv", "--objective", "ntxent"], ["triple.tsv", "negatives"]),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    texts = {
        "odd.tsv": "question\tanswer\na\tb\n",
        "empty.jsonl": "",
        "broken.jsonl": '{"anchor": "a", "positive": "b"}\n{"anchor": "a", "posit\n',
        "fields.csv": "anchor,positive\na,b\nc\n",
        "hole.tsv": "anchor\tpositive\na\tb\nc\t \n",
        "one.tsv": "anchor\tpositive\na\tb\n",
        "scores.tsv": "sentence1\tsentence2\tscore\na\tb\t1\nc\td\t0\n",
        "label.csv": "text,label\na,x\nb,x\n",
        "labels.csv": "text,label\na,x\nb,y\n",
        "good.tsv": "anchor\tpositive\na b\tb c\nc d\td e\ne f\tf g\n",
        "triple.tsv": "anchor\tpositive\tnegative\na\tb\tc\nd\te\tf\n",
        "bad.toml": "epochs = = 2\n",
        "key.toml": "temprature = 0.1\n",
        "high.tsv": "sentence1\tsentence2\tscore\na\tb\t1\nc\td\thigh\n",
        "five.json": '{"settings": 5}',
        "true.toml": "steps = true\n",
        "inf.toml": "temperature = inf\n",
        "ok.toml": "steps = 3\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "latin.txt").write_bytes(b"plain\ncaf\xe9\n")
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_two(
    case: str, run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words, wanted = BAD[case]
    monkeypatch.chdir(bad)
    before = sorted(bad.iterdir())
    result = run("train", "-o", tmp_path / "out", "--steps", 1, *words)
    assert result.status == 2, result.err
    assert len(result.err.strip().splitlines()) == 1, result.err
    for word in wanted:
        assert word in result.err
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.iterdir()) == []
    assert sorted(bad.iterdir()) == before


def test_full_folder_is_refused_and_untouched(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("keep", "utf-8")
    result = run("train", tables["pairs.tsv"], "-o", tmp_path / "out", *FAST)
    assert result.status == 2
    assert "--overwrite" in result.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]
    assert run("train", tables["pairs.tsv"], "-o", tmp_path / "out", *FAST, "--overwrite").status == 0
    assert (tmp_path / "out/modules.json").exists()
    assert not (tmp_path / "out/mine.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_data_is_never_overwritten(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "data/pairs.tsv"
    path.parent.mkdir()
    path.write_bytes(tables["pairs.tsv"].read_bytes())
    for words in (["train", path], ["train", path.parent], ["train", tables["pairs.tsv"], "--eval", path]):
        result = run(*words, "-o", path.parent, *FAST, "--overwrite")
        assert result.status == 2
        assert "found the folder of the data" in result.err
    assert [p.name for p in path.parent.iterdir()] == ["pairs.tsv"]


def test_a_link_is_followed(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "real")
    for words in ((), ("--overwrite",)):
        result = run("train", tables["pairs.tsv"], "-o", tmp_path / "out", *FAST, *words)
        assert result.status == 0, result.err
        assert (tmp_path / "real/modules.json").exists()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "real"]


def test_the_working_folder_is_refused_at_once(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", tables["pairs.tsv"], "-o", ".", *FAST)
    assert (result.status, result.out) == (2, "")
    assert ".: found a folder that cannot be replaced" in result.err


def test_folders_made_for_a_failed_run_are_removed(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    result = run("train", tables["pairs.tsv"], "-o", tmp_path / "new/deep/out", "--encoder", "./nowhere")
    assert result.status == 2
    assert list(tmp_path.iterdir()) == []


def test_other_tables_of_eval_are_read_like_the_data(run: Run, tmp_path: Path) -> None:
    rows = [(f"the cat {n}", f"a cat {n}", "ad"[n % 2]) for n in range(60)]
    text = "premise\thypothesis\tlabel\n" + "".join("\t".join(row) + "\n" for row in rows)
    for name in ("data.tsv", "dev.tsv"):
        (tmp_path / name).write_text(text, "utf-8")
    words = ("--column", "anchor=premise", "--column", "positive=hypothesis", "--where", "label=a")
    result = run("train", tmp_path / "data.tsv", "--eval", tmp_path / "dev.tsv", "-o", tmp_path / "m", *words, *FAST)
    assert result.status == 0, result.err
    record = json.loads((tmp_path / "m/nearfar.json").read_text("utf-8"))
    assert [table["rows"] for table in (*record["data"], *record["evaluate_on"])] == [30, 30]


def test_a_place_that_cannot_be_written_is_known_at_once(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    result = run("train", tables["pairs.tsv"], "-o", tmp_path / "file/out", *FAST)
    assert result.status == 2
    assert len(result.err.strip().splitlines()) == 1
    assert "step" not in result.out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_leaves_nothing(
    run: Run, tables: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nearfar.training import output

    def full(*args: object, **kwargs: object) -> None:
        with open("/dev/full", "w") as file:
            file.write("x")

    def full_for_tensors(*args: object, **kwargs: object) -> None:
        raise SafetensorError("No space left on device (os error 28)")

    for place, name, fault in (
        (output, "write_page", full),
        (sentence_transformers.SentenceTransformer, "save", full_for_tensors),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fault)
            result = run("train", tables["pairs.tsv"], "-o", tmp_path / "out", *FAST)
        assert result.status == 2
        assert "No space left" in result.err
        assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tables: dict[str, Path]) -> None:
    words = [sys.executable, "-m", "nearfar", "train", "no.tsv", "-o", "out", "--debug"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "Traceback" in done.stderr
    assert done.returncode != 0


def test_interrupted_run_keeps_the_best_model(tables: dict[str, Path], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "nearfar", "train", tables["pairs.tsv"], "-o", tmp_path / "out", *FAST]
    words += ["--minutes", 5, "--epochs", 10_000_000, "--evaluations", 5000]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs are deaf to it
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([str(word) for word in words], preexec_fn=heard, **pipes) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step"):
                break
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "interrupted" in out
    assert str(tmp_path / "out") in out.replace("\n", "")
    record = json.loads((tmp_path / "out/nearfar.json").read_text("utf-8"))
    assert record["interrupted"] is True
    assert (tmp_path / "out/model.safetensors").exists()


def test_a_run_that_tells_nothing_says_so(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    words = ("--steps", 3, "--batch-size", 32, "--vocabulary", 400, "--width", 16)
    found = run("train", tables["pairs.tsv"], "-o", tmp_path / "m", *words, "--watch-every", 4)
    assert found.status == 0, found.err
    assert "step 0: nothing is measured, so that the last model is kept, be it the best or not: no --eval" in found.out
    assert "--held-out 0.09 would do" in found.out
    assert "step 0: no step is looked into: --watch-every 4 is more than the 3 steps of the run" in found.out
    assert "the last model (step 3) is in" in found.out
    found = run("train", tables["pairs.tsv"], "-o", tmp_path / "n", *words, "--held-out", 0.09)
    assert "nothing is measured" not in found.out
    assert "no step is looked into" not in found.out


def test_a_log_has_a_line_for_a_message(run: Run, tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / ("a-name-of-some-length-" * 5) / ":cat:"
    found = run("train", tables["pairs.tsv"], "-o", out, *FAST, "--watch-every", 1)
    assert found.status == 0, found.err
    said, _, _ = found.out.partition("┏")
    lines = [line for line in said.splitlines() if line.strip()]
    assert all(line.startswith(("step ", "trained in ")) for line in lines), lines
    assert f"is in {out}" in lines[-1]
