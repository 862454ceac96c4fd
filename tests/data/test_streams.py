"""Streams: every row once a pass, in an order that can be repeated, in bounded memory, never written to disk."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data import Stream, read_stream, read_table
from nearfar.errors import InputError
from tests.data.conftest import Write


def rows(count: int) -> Stream:
    return Stream.from_rows(lambda: ({"anchor": f"a{i}", "positive": f"p{i}"} for i in range(count)))


def numbers(stream: Stream, **options: Any) -> list[int]:
    """The anchors of a pass, as numbers; fails where a row has come apart."""
    found: list[int] = []
    for batch in stream.batches(options.pop("batch_size", 7), **options):
        assert [text[1:] for text in batch["anchor"]] == [text[1:] for text in batch["positive"]]
        found += [int(text[1:]) for text in batch["anchor"]]
    return found


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 80), st.integers(0, 100))
def test_every_row_once_a_pass(count: int, batch_size: int, buffer: int, seed: int) -> None:
    sizes = [len(batch["anchor"]) for batch in rows(count).batches(batch_size, buffer=buffer, seed=seed)]
    assert sizes == [batch_size] * (count // batch_size) + [count % batch_size] * (count % batch_size > 0)
    assert sorted(numbers(rows(count), buffer=buffer, seed=seed)) == list(range(count))


def test_the_order_is_of_seed_epoch_and_buffer_alone() -> None:
    first = numbers(rows(3000), buffer=500, seed=3, epoch=2)
    np.random.seed(0)
    assert numbers(rows(3000), buffer=500, seed=3, epoch=2, batch_size=100) == first
    others = [
        numbers(rows(3000), **{"buffer": 500, "seed": 3, "epoch": 2} | other)
        for other in ({"epoch": 1}, {"seed": 4}, {"buffer": 400})
    ]
    assert all(other != first for other in others)


def test_rows_are_shuffled_as_far_as_the_buffer_goes() -> None:
    found = np.array(numbers(rows(5000), buffer=1000))
    early = np.arange(5000) - found
    assert early.min() >= -1000
    assert abs(np.corrcoef(found[:1000], np.arange(1000))[0, 1]) < 0.6
    assert np.mean(found[1:] == found[:-1] + 1) < 0.01
    whole = np.array(numbers(rows(5000), buffer=5000))
    assert abs(np.corrcoef(whole, np.arange(5000))[0, 1]) < 0.05
    assert numbers(rows(50), buffer=1) == list(range(50))


def test_files_come_in_another_order_each_epoch(tmp_path: Path) -> None:
    """So that files sorted by what they hold are not met in the same order again and again."""
    for number in range(8):
        lines = (f"a{number * 100 + row}\tp{number * 100 + row}\n" for row in range(100))
        (tmp_path / f"{number}.tsv").write_text("anchor\tpositive\n" + "".join(lines))
    stream = read_stream(tmp_path)
    begins = {epoch: [row // 100 for row in numbers(stream, buffer=20, epoch=epoch)][:50] for epoch in range(6)}
    assert len({tuple(sorted(set(begin))) for begin in begins.values()}) > 2
    assert numbers(stream, buffer=20, epoch=3) == numbers(read_stream(tmp_path), buffer=20, epoch=3)
    assert sorted(numbers(stream, buffer=20, epoch=3)) == list(range(800))
    assert numbers(stream, buffer=1, epoch=3) == list(range(800))


def test_skipped_batches_are_those_that_a_run_has_done() -> None:
    whole = list(rows(100).batches(8, buffer=20, seed=1))
    assert list(rows(100).batches(8, buffer=20, seed=1, skip=5)) == whole[5:]
    assert list(rows(100).batches(8, buffer=20, seed=1, skip=13)) == []


def test_memory_is_that_of_the_buffer() -> None:
    long = "text " * 40
    stream = Stream.from_rows(lambda: ({"text": f"{long}{i}"} for i in range(150_000)))  # over 30 MB of characters
    tracemalloc.start()
    try:
        count = sum(len(batch["text"]) for batch in stream.batches(100, buffer=1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 150_000
    assert peak < 3e6


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv.gz", "t.tsv.zst", "t.parquet", "folder"])
def test_a_stream_has_the_rows_of_the_table_and_writes_nothing(name: str, write: Write, cache: Path) -> None:
    table = {"anchor": [f"a{i}" for i in range(2500)], "positive": [f"p{i}" for i in range(2500)]}
    if name == "t.parquet":
        datasets.Dataset.from_dict(table).to_parquet(str(path := write(name, "")))
    elif name == "t.jsonl":
        made = ({"anchor": a, "positive": p} for a, p in zip(*table.values(), strict=True))
        path = write(name, "".join(json.dumps(row) + "\n" for row in made))
    else:
        between = "," if "csv" in name else "\t"
        lines = [between.join(row) + "\n" for row in [("anchor", "positive"), *zip(*table.values(), strict=True)]]
        if name == "folder":
            write("folder/2.tsv", lines[0] + "".join(lines[2001:]))
            path = write("folder/1.tsv", "".join(lines[:2001])).parent
        else:
            path = write(name, "".join(lines))
    stream = read_stream(path)
    assert numbers(stream, buffer=1) == list(range(2500))
    assert sorted(numbers(stream)) == list(range(2500))
    assert not list(cache.rglob("*.arrow"))
    whole = read_table(path)
    assert (stream.kind, stream.roles, stream.source) == (whole.kind, whole.roles, whole.source)


def test_columns_and_where_are_those_of_a_table(write: Write) -> None:
    path = write("t.jsonl", "".join(json.dumps({"q": f"q{i}", "a": f"a{i}", "ok": i % 2}) + "\n" for i in range(9)))
    options = {"columns": {"anchor": "q", "positive": ["answer", "a"]}, "where": {"ok": ["1"]}}
    (batch,) = read_stream(path, **options).batches(9, buffer=1)
    assert batch == {"anchor": ["q1", "q3", "q5", "q7"], "positive": ["a1", "a3", "a5", "a7"]}
    given = [{"q": "x", "a": "y", "ok": 1}, {"q": "z", "a": "w", "ok": 0}]
    (batch,) = Stream.from_rows(lambda: given, **options).batches(9)
    assert batch == {"anchor": ["x"], "positive": ["y"]}


def test_head_is_a_table_of_the_first_rows() -> None:
    table = rows(5000).head(1500)
    assert (len(table), table.kind, table.column("anchor")[-1]) == (1500, "pairs", "a1499")
    assert len(rows(3).head(10)) == 3


@pytest.mark.parametrize("count", [10, 299, 300, 100_000])
def test_a_sample_holds_rows_of_every_file(count: int, tmp_path: Path) -> None:
    sizes = {"a": 1000, "b": 20, "c": 400}
    for name, size in sizes.items():
        (tmp_path / f"{name}.txt").write_text("".join(f"{name} {row}\n" for row in range(size)), "utf-8")
    found = Counter(text[0] for text in read_stream(tmp_path).sample(count).column("text"))
    assert found.total() == min(count, sum(sizes.values()))
    share = count // len(sizes)
    for name, size in sizes.items():
        assert found[name] >= min(size, share) / 2
    assert read_stream(tmp_path / "a.txt").sample(7).fingerprint == read_stream(tmp_path / "a.txt").head(7).fingerprint


def test_scores_stay_numbers() -> None:
    stream = Stream.from_rows(lambda: [{"sentence1": "a", "sentence2": "b", "score": 3}])
    assert next(stream.batches(2)) == {"sentence1": ["a"], "sentence2": ["b"], "score": [3.0]}


def test_a_hub_name_is_streamed(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    asked = []

    def load_dataset(name: str, split: str, streaming: bool) -> datasets.IterableDataset:
        asked.append((name, split, streaming))
        found = datasets.Dataset.from_dict({"text": [f"t{i}" for i in range(30)], "label": [0, 1] * 15})
        return found.cast_column("label", datasets.ClassLabel(names=["no", "yes"])).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("nearfar.data.parts.reachable", lambda: True)
    stream = read_stream("owner/name", split="validation")
    for epoch in (0, 1):
        texts = [text for batch in stream.batches(4, epoch=epoch) for text in batch["text"]]
        assert sorted(texts) == sorted(f"t{i}" for i in range(30))
    assert stream.head(2).column("label") == ["no", "yes"]
    assert asked == [("owner/name", "validation", True)]


def typed(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))


def test_standard_input_passes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "".join(json.dumps({"text": f"text {i}"}) + "\n" for i in range(200_000)))
    stream = read_stream("-")
    assert (stream.kind, stream.source) == ("texts", "-")
    assert stream.head(100_000).column("text")[-1] == "text 99999"
    texts = Counter(text for batch in stream.batches(64) for text in batch["text"])
    assert texts == Counter(f"text {i}" for i in range(200_000))
    for again in (lambda: next(stream.batches(64)), lambda: stream.head(1)):
        with pytest.raises(InputError, match=r"-: found a second pass over standard input, wanted one: .* file"):
            again()


def test_standard_input_of_a_process() -> None:
    code = "from nearfar.data import read_stream; print(sum(len(b['text']) for b in read_stream('-').batches(4)))"
    lines = '{"text": "하나"}\n\n{"text": "둘"}\n'
    done = subprocess.run([sys.executable, "-c", code], input=lines.encode(), capture_output=True, check=True)
    assert done.stdout.split() == [b"2"]


def drain(stream: Stream) -> int:
    return sum(1 for _ in stream.batches(10))


def test_a_fault_in_the_middle_names_file_and_row(write: Write) -> None:
    lines = ["anchor\tpositive", *(f"a{i}\tp{i}" for i in range(2500)), "c\t ", "d\te"]
    stream = read_stream(path := write("t.tsv", "\n".join(lines)))
    with pytest.raises(InputError, match=rf"^{path}: row 2501 \(line 2502\), column 'positive': found an empty text"):
        drain(stream)
    assert next(stream.batches(10, buffer=100))["anchor"]


def test_a_fault_in_rows_of_python_names_the_row() -> None:
    def make(last: Any) -> Iterator[Any]:
        yield from ({"text": "a"} for _ in range(2000))
        yield last

    for last, message in (({"text": 5}, "queue: row 2001, column 'text': found 5"), (7, "queue: row 2001: found 7")):
        with pytest.raises(InputError, match=message):
            drain(Stream.from_rows(lambda last=last: make(last), source="queue"))


def test_rows_that_cannot_be_had_again_are_a_fault() -> None:
    once = iter([{"text": "a"}, {"text": "b"}])
    with pytest.raises(InputError, match="rows: found no row"):
        drain(Stream.from_rows(lambda: once))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: read_stream([]), "found no source"),
        (lambda: read_stream(["-", "-"]), "-: found standard input beside other sources"),
        (lambda: read_stream("nowhere.tsv"), "nowhere.tsv: found no such file"),
        (lambda: read_stream("-", columns={"ancor": "x"}), "role 'ancor'.* did you mean anchor"),
        (lambda: Stream.from_rows(list), "rows: found no row"),
        (lambda: Stream.from_rows(lambda: [{"a": "b"}]), "rows: found columns 'a', wanted"),
        (lambda: Stream.from_rows(lambda: [{"text": "b"}], where={"text": ["c"]}), "rows: found text 'b', wanted"),
        (lambda: rows(3).batches(0), "batch_size: found 0, wanted at least 1"),
        (lambda: rows(3).batches(2, buffer=0), "buffer: found 0"),
        (lambda: rows(3).batches(2, skip=-1), "skip: found -1"),
        (lambda: rows(3).head(0), "count: found 0"),
    ],
)
def test_mistakes_are_named(mistake, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mistake()


@pytest.mark.parametrize(("content", "message"), [("", "-: found no row"), ("[1]\n", r"-: line 1: found \[1\]")])
def test_faults_of_standard_input(content: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, content)
    with pytest.raises(InputError, match=message):
        read_stream("-")


def test_a_stream_is_read_as_it_is_needed() -> None:
    """One without an end gives its first batches."""

    def endless() -> Iterator[dict[str, str]]:
        number = 0
        while True:
            yield {"text": f"t{number}"}
            number += 1

    found = list(islice(Stream.from_rows(endless).batches(5, buffer=50), 3))
    assert [len(batch["text"]) for batch in found] == [5, 5, 5]
