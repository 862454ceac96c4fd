"""What `write_table` writes, `read_table` reads back; whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data import read_table
from nearfar.data.writing import write_table
from nearfar.errors import InputError

NAMES = ("t.jsonl", "t.ndjson", "t.csv", "t.tsv", "t.parquet", "t.jsonl.gz", "t.csv.zst", "t.tsv.gz")
BATCHES = (
    {"sentence1": ["한국어 문장", 'a "quoted", one'], "sentence2": ["b", "\u2028 odd 🎈"], "score": [0.5, 1.0]},
    {"sentence1": [], "sentence2": [], "score": []},
    {"sentence1": ["c"], "sentence2": ["مرحبا"], "score": np.array([2.25])},
)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    assert write_table(tmp_path / name, iter(BATCHES)) == 3
    table = read_table(tmp_path / name)
    assert table.kind == "scored"
    for role in table.roles:
        assert table.column(role) == [value for batch in BATCHES for value in batch[role]]
    assert [path.name for path in tmp_path.iterdir()] == [name]


readable = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.parquet"])
@given(texts=st.lists(readable, min_size=1))
def test_any_text_survives(name: str, texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / name
    write_table(path, [{"anchor": texts, "positive": texts}])
    assert read_table(path).column("positive") == texts


def test_tsv_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    batch = {"anchor": ["a", "b\tc"], "positive": ["d", "e"]}
    with pytest.raises(InputError, match=r"row 2: found a tab or a line break in 'b\\tc'.+\.jsonl"):
        write_table(tmp_path / "t.tsv", [batch])
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    write_table(path, [{"text": ["old"]}])
    with pytest.raises(InputError, match="found a file"):
        write_table(path, [{"text": ["new"]}])

    def failing():
        yield {"text": ["new"]}
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(path, failing(), overwrite=True)
    assert read_table(path).column("text") == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["t.jsonl"]
    write_table(path, [{"text": ["new"]}], overwrite=True)
    assert read_table(path).column("text") == ["new"]


@pytest.mark.parametrize(
    ("name", "batches", "message"),
    [
        ("t.xlsx", [{"text": ["a"]}], r"found format \.xlsx, wanted \.jsonl"),
        ("t.parquet.gz", [{"text": ["a"]}], "found format .parquet.gz"),
        ("t.jsonl", [{"text": []}], "found no row"),
        ("t.csv", [{"text": ["a"]}, {"label": ["a"]}], "found roles label, wanted text"),
        ("t.parquet", [{"text": ["a"]}, {"text": [1]}], "wanted the types of the first rows"),
        ("none/t.csv", [{"text": ["a"]}], "could not be written"),
    ],
)
def test_a_fault_names_the_file(name: str, batches: list, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        write_table(tmp_path / name, batches)
    assert not list(tmp_path.iterdir())
