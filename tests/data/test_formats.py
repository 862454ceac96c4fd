"""Every format, plain and compressed, gives the rows that were written."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from nearfar.data import Table, read_table
from tests.data.conftest import Write

ROWS = [("a cat", "고양이"), ("two,\tfields", 'a "dog"'), ("naïve\0 café", "line one"), ("x", "y")]
TABLE = {"anchor": [first.replace("\t", " ") for first, _ in ROWS], "positive": [second for _, second in ROWS]}


def as_csv(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([names, *rows])
    return file.getvalue().encode()


def as_tsv(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in [names, *rows]).encode()


def as_lines(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bytes:
    return "".join(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows).encode()


def as_array(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bytes:
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1).encode()


def as_parquet(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[Sequence[Sequence[str]], Sequence[str]], bytes]] = {
    "t.csv": as_csv,
    "t.tsv": as_tsv,
    "t.jsonl": as_lines,
    "t.ndjson": as_lines,
    "lines.json": as_lines,
    "array.json": as_array,
    "t.parquet": as_parquet,
    "UPPER.v1.TSV": as_tsv,
}


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_one_table(name: str, compression: str, write: Write) -> None:
    rows = list(zip(*TABLE.values(), strict=True))
    path = write(name + compression, FORMATS[name](rows, list(TABLE)))
    table = read_table(path)
    assert {role: table.column(role) for role in table.roles} == TABLE
    assert (table.kind, table.source) == ("pairs", str(path))
    assert table.fingerprint == Table.from_columns(TABLE).fingerprint


@pytest.mark.parametrize("compression", ["", ".gz", ".zst"])
def test_plain_text_is_a_text_a_line(compression: str, write: Write) -> None:
    table = read_table(write(f"t.txt{compression}", '첫 줄\n\n  \nsecond\tline, "quoted"\u2028still\n\x0cthird'))
    assert table.kind == "texts"
    assert table.column("text") == ["첫 줄", 'second\tline, "quoted"\u2028still', "\x0cthird"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("t.txt", ["one", "", "two"]),
        ("t.tsv", ["text", "one", "", "two"]),
        ("t.csv", ["text", "one", "", '"two"']),
        ("t.jsonl", ['{"text": "one"}', " ", '{"text": "two"}']),
        ("t.json", ["[", '{"text": "one"},', '{"text": "two"}', "]"]),
    ],
)
def test_line_ends_byte_order_marks_and_blank_lines(
    name: str, lines: list[str], mark: str, end: str, write: Write
) -> None:
    for last in ("", end):
        assert read_table(write(name, mark + end.join(lines) + last)).column("text") == ["one", "two"]


def test_concatenated_gzip_and_zstd_are_read_to_the_end(write: Write, tmp_path: Path) -> None:
    for suffix in (".gz", ".zst"):
        twice = write(f"part.txt{suffix}", "one\n").read_bytes() + write(f"part.txt{suffix}", "two\n").read_bytes()
        (tmp_path / f"t.txt{suffix}").write_bytes(twice)
        assert read_table(tmp_path / f"t.txt{suffix}").column("text") == ["one", "two"]


def test_csv_quoting_keeps_line_ends_inside_quotes(write: Write) -> None:
    path = write("t.csv", b'text,label\r\n"one\r\ntwo, ""three""\n",a\r\nfour,b\r\n')
    table = read_table(path)
    assert table.column("text") == ['one\r\ntwo, "three"\n', "four"]
    assert table.column("label") == ["a", "b"]


def test_tsv_has_no_quoting(write: Write) -> None:
    assert read_table(write("t.tsv", 'text\n"one\n"two" \n')).column("text") == ['"one', '"two" ']


def test_csv_quotes_within_a_plain_field_are_text(write: Write) -> None:
    assert read_table(write("t.csv", 'text\nsay "hi" now\n')).column("text") == ['say "hi" now']


def test_a_field_longer_than_csvs_own_limit(write: Write) -> None:
    assert read_table(write("t.csv", f"text\n{'long ' * 60_000}\n")).column("text") == ["long " * 60_000]


def test_rows_beyond_one_block_keep_their_order(write: Write) -> None:
    texts = [f"{number} {'word ' * 60}" for number in range(12_000)]  # several megabytes, several thousand rows
    for name, content in {
        "t.txt": "\n".join(texts),
        "t.csv": "text\n" + "\n".join(texts),
        "t.parquet": as_parquet([[text] for text in texts], ["text"]),
    }.items():
        assert read_table(write(name, content)).column("text") == texts


WRITABLE = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())
IN_A_FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1).filter(
    lambda text: not text.isspace()
)


@given(st.lists(st.tuples(WRITABLE, WRITABLE), min_size=1, max_size=5))
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "array.json", "t.parquet"])
def test_any_text_comes_back(name: str, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    comes_back(tmp_path_factory.mktemp("any") / name, rows)


@given(st.lists(st.tuples(IN_A_FIELD, IN_A_FIELD), min_size=1, max_size=5))
def test_any_field_of_tsv_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]) -> None:
    comes_back(tmp_path_factory.mktemp("any") / "t.tsv", rows)


def comes_back(path: Path, rows: list[tuple[str, str]]) -> None:
    path.write_bytes(FORMATS[path.name](rows, ["anchor", "positive"]))
    table = read_table(path)
    assert list(zip(table.column("anchor"), table.column("positive"), strict=True)) == rows
