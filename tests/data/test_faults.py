"""Every problem with data is one line that says where, what was found and what was wanted."""

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from nearfar.data import read_table
from nearfar.errors import InputError
from tests.data.conftest import Write, compressed

PAIR = '{"anchor": "a", "positive": "b"}\n'
SCORED = "sentence1,sentence2,score\na,b,1\n"

FAULTS: dict[str, tuple[str, str | bytes, list[str]]] = {
    "suffix": ("t.xlsx", "a", ["t.xlsx", "format .xlsx", ".jsonl", ".parquet", ".zst"]),
    "no suffix": ("readme", "a", ["readme", "none", ".tsv"]),
    "only a compression": ("t.gz", "a", ["t.gz", "none", ".tsv"]),
    "empty jsonl": ("t.jsonl", "", ["t.jsonl", "an empty file"]),
    "empty tsv": ("t.tsv", "", ["t.tsv", "an empty file"]),
    "empty array": ("t.json", "[]", ["t.json", "no row"]),
    "blank text": ("t.txt", "\n \n", ["t.txt", "no row"]),
    "mark alone": ("t.txt", b"\xef\xbb\xbf", ["t.txt", "no row"]),
    "header only": ("t.csv", "text\n", ["t.csv", "a header and no row"]),
    "columns": ("t.tsv", "q\tanswer\na\tb\n", ["t.tsv", "'q', 'answer'", "text and label", "--column anchor=NAME"]),
    "broken json": ("t.jsonl", PAIR + "\n" + '{"anchor": "a" "b"}\n', ["t.jsonl", "line 3", "column 16", "JSON"]),
    "broken array": ("t.json", '[\n{"text": "a"},\n{"text": }\n]', ["t.json", "line 3", "column 10", "JSON"]),
    "not an object": ("t.jsonl", PAIR + "[1, 2]\n", ["t.jsonl", "line 2", "[1, 2]", "object"]),
    "not an object in an array": ("t.json", '[{"text": "a"}, 7]', ["t.json", "row 2", "7", "object"]),
    "deep json": ("t.jsonl", "[" * 100_000, ["t.jsonl", "line 1", "JSON"]),
    "long number": ("t.jsonl", '{"text": ' + "1" * 5_000 + "}", ["t.jsonl", "line 1", "JSON"]),
    "missing key": ("t.jsonl", PAIR + '\n{"anchor": "c"}\n', ["t.jsonl", "line 3", "'positive'", "nothing"]),
    "null": ("t.jsonl", '{"anchor": "a", "positive": null}\n', ["line 1", "'positive'", "nothing", "a text"]),
    "not a text": ("t.jsonl", '{"text": 5}\n', ["t.jsonl", "line 1", "'text'", "5", "a text"]),
    "half a character": ("t.jsonl", '{"text": "\\ud83d"}\n', ["line 1", "'text'", "half a character"]),
    "empty tsv cell": ("t.tsv", "anchor\tpositive\na\tb\nc\t \n", ["t.tsv", "row 2 (line 3)", "'positive'", "empty"]),
    "empty csv cell": ("t.csv", 'text,label\n"a\nb",x\n\n" \n ",y\n', ["row 2 (line 5)", "'text'", "empty"]),
    "few fields": ("t.tsv", "anchor\tpositive\na\tb\nc\n", ["row 2 (line 3)", "1 field,", "2 ('anchor', 'positive')"]),
    "many fields": ("t.csv", "text,label\na,b,c\n", ["row 1 (line 2)", "3 fields", "wanted 2"]),
    "repeated column": ("t.csv", "text,label,text\na,b,c\n", ["t.csv", "line 1", "'text' twice"]),
    "open quote": ("t.csv", 'text\na\n"b\nc\n', ["t.csv", "line 3", "broken CSV"]),
    "stray quote": ("t.csv", 'text\n"a"b\n', ["t.csv", "line 2", "broken CSV"]),
    "not utf-8": ("t.txt", b"plain\ncaf\xe9\n", ["t.txt", "line 2", "0xe9", "UTF-8"]),
    "not utf-8 in gzip": ("t.tsv.gz", b"text\nplain\ncaf\xe9\n", ["t.tsv.gz", "line 3", "0xe9", "UTF-8"]),
    "utf-16": ("t.tsv", "text\na\n".encode("utf-16"), ["t.tsv", "line 1", "UTF-8"]),
    "parquet": ("t.parquet", "PAR1 not at all", ["t.parquet", "Parquet"]),
    "score": ("t.csv", SCORED + "c,d,high\n", ["t.csv", "row 2 (line 3)", "'score'", "'high'", "a number"]),
    "empty score": ("t.csv", SCORED + "c,d,\n", ["row 2 (line 3)", "'score'", "''", "a number"]),
    "infinite score": ("t.csv", SCORED + "c,d,inf\n", ["row 2 (line 3)", "'inf'", "finite"]),
    "underscored score": ("t.csv", SCORED + "c,d,1_0\n", ["row 2 (line 3)", "'1_0'", "a number"]),
    "boolean score": ("t.jsonl", '{"sentence1": "a", "sentence2": "b", "score": true}', ["line 1", "True", "a number"]),
    "null label": ("t.jsonl", '{"text": "a", "label": null}', ["line 1", "'label'", "nothing", "a label"]),
    "list as label": ("t.jsonl", '{"text": "a", "label": [1]}', ["line 1", "'label'", "[1]", "a label"]),
    "empty label": ("t.tsv", "text\tlabel\na\t\n", ["row 1 (line 2)", "'label'", "''", "a label"]),
    "not a number as label": ("t.jsonl", '{"text": "a", "label": NaN}', ["line 1", "'label'", "nan", "a label"]),
    "line end in a header": ("t.csv", '"text\nx",label\na\n', ["row 1 (line 3)", "wanted 2 ('text\\nx', 'label')"]),
    "many columns": ("t.tsv", "\t".join(map(str, range(999))) + "\na\n", ["1 field,", "'7' and 991 more"]),
    "no role among many": ("t.tsv", ("\t".join(map(str, range(999))) + "\n") * 2, ["'0', '1'", "'7' and 991 more"]),
    "gap": ("t.tsv", "anchor\tpositive\tnegative_2\na\tb\tc\n", ["t.tsv", "negative_2", "from 1 without a gap"]),
    "two namings": (
        "t.tsv",
        "anchor\tpositive\tnegative\tnegative_1\na\tb\tc\td\n",
        ["t.tsv", "both negative and negative_1"],
    ),
    "uneven lists": (
        "t.jsonl",
        "".join(json.dumps({"anchor": "a", "positive": "b", "negative": n}) + "\n" for n in (["c", "d"], ["e"])),
        ["t.jsonl", "line 2", "'negative'", "1 negatives", "2 as in the first row"],
    ),
    "list and number": (
        "t.jsonl",
        '{"anchor": "a", "positive": "b", "negative": ["c"], "negative_2": "d"}',
        ["t.jsonl", "both a list negative and negative_2"],
    ),
    "empty negative": (
        "t.jsonl",
        '{"anchor": "a", "positive": "b", "negative": ["c", " "]}',
        ["line 1", "'negative_2'", "empty"],
    ),
}  # fmt: skip


def fault(source: object, **options: object) -> str:
    """The one line that reading ends in."""
    with pytest.raises(InputError) as caught:
        read_table(source, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    return message


@pytest.mark.parametrize("case", FAULTS)
def test_broken_content(case: str, write: Write, cache: Path) -> None:
    name, content, wanted = FAULTS[case]
    if name == "t.gz":
        content = compressed(name, b"a")
    message = fault(write(name, content))
    for words in wanted:
        assert words in message, message
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["no.tsv", "./no", "/no/where", "~/no", "a/b/c", "data/no.jsonl.gz", "no.zst"])
def test_no_such_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fault(name).startswith(f"{name}: found no such file")


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing"])
def test_no_such_name_on_the_hub(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfar.data.parts.reachable", lambda: False)
    assert f"{name}: found neither a file, a folder nor a reachable hub data set" in fault(name)
    assert not datasets.config.HF_HUB_OFFLINE


def test_no_source_at_all() -> None:
    assert "no source" in fault([])
    assert "an empty name" in fault("")
    assert "name too long" in fault("x" * 300).lower()


def test_folder_without_data(write: Write, tmp_path: Path) -> None:
    write("d/readme.md", "x")
    write("d/.hidden.tsv", "text\na\n")
    assert f"{tmp_path / 'd'}: found a folder without a file" in fault(tmp_path / "d")


def test_folder_whose_only_match_is_a_folder(write: Write, tmp_path: Path) -> None:
    write("d/x.jsonl/inner.jsonl", PAIR)
    assert f"{tmp_path / 'd'}: found a folder without a file" in fault(tmp_path / "d")


def test_list_of_negatives_beside_a_mapped_one(write: Write) -> None:
    path = write("t.jsonl", '{"anchor": "a", "positive": "b", "negative": ["c"], "hard": "d"}')
    assert "both a list negative and negative_1" in fault(path, columns={"negative_1": "hard"})


def test_files_of_a_folder_must_agree(write: Write, tmp_path: Path) -> None:
    write("d/a.tsv", "anchor\tpositive\tnegative\na\tb\tc\n")
    other = write("d/b.tsv", "anchor\tpositive\na\tb\n")
    message = fault(tmp_path / "d")
    assert message.startswith(f"{other}: found anchor, positive, wanted anchor, positive, negative as in")
    assert "a.tsv" in message


@pytest.mark.parametrize(
    ("name", "start", "row", "bad", "place"),
    [
        ("t.txt", "", "text {}\n", b"caf\xe9\n", "line 200001"),
        ("t.jsonl", "", '{{"text": "{}"}}\n', b"{\n", "line 200001"),
        ("t.tsv", "text\tlabel\n", "{0}\t{0}\n", b"\tx\n", "row 200001 (line 200002)"),
        ("t.csv", "text,label\n", '"{0}\n",{0}\n', b",x\n", "row 200001 (line 400002)"),
    ],
)
def test_place_far_into_a_file(name: str, start: str, row: str, bad: bytes, place: str, write: Write) -> None:
    content = start + "".join(row.format(number) for number in range(200_000))
    assert place in fault(write(name, content.encode() + bad))


def test_an_array_that_memory_may_not_hold(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfar.data.readers.LONGEST_ARRAY", 20)
    assert "array of over 20 characters, wanted lines of objects" in fault(
        write("t.json", '[{"text": "a longer one"}]')
    )


def test_a_link_to_nothing_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").symlink_to(tmp_path / "gone.tsv")
    assert fault(tmp_path) == f"{tmp_path / 't.tsv'}: cannot be read (No such file or directory)"


def test_damaged_saved_data_set(write: Write, tmp_path: Path) -> None:
    write("d/state.json", "{")
    assert f"{tmp_path / 'd'}: found no readable saved data set" in fault(tmp_path / "d")


def test_data_set_that_breaks_off_is_no_fault_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "d"))

    def broken(*_: object) -> None:
        raise OSError("Invalid IPC stream")

    monkeypatch.setattr("nearfar.data.parts.numbered_blocks", broken)
    assert fault(tmp_path / "d") == f"{tmp_path / 'd'}: cannot be read (Invalid IPC stream)"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_damaged_compression(suffix: str, write: Write) -> None:
    path = write(f"t.txt{suffix}", "".join(f"text {number * 7919 % 10_007}\n" for number in range(20_000)))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:12] + b"\xff" * 100 + whole[112:], b"plain text\n"):
        path.write_bytes(damaged)
        assert f"{path}: cannot be read (" in fault(path)


def test_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"text": [f"text {number}" for number in range(5_000)]}), path)
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[:40] + b"\xff" * 2_000 + whole[2_040:], b""):
        path.write_bytes(damaged)
        assert str(path) in fault(path)


def test_no_permission(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("d/t.tsv", "text\na\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # by hand, since a superuser may read everything
    assert fault(path) == f"{path}: cannot be read (Permission denied)"
    assert fault(tmp_path / "d") == f"{path}: cannot be read (Permission denied)"
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert fault(tmp_path / "d") == f"{tmp_path / 'd'}: cannot be read (Permission denied)"


def test_unknown_role(write: Write) -> None:
    message = fault(write("t.txt", "a\n"), columns={"ancor": "text"})
    assert "'ancor'" in message
    assert "did you mean anchor?" in message
    assert "sentence1" in message


def test_no_row_left(write: Write) -> None:
    path = write("t.tsv", "text\tlabel\n" + "".join(f"a\t{number % 9}\n" for number in range(3_000)))
    for _ in range(2):  # the second time must not find a table of no rows in the cache
        message = fault(path, where={"label": ["x", "y"]})
        assert message == f"{path}: found label '0', '1', '2', '3', '4', wanted rows of label 'x' or 'y'"
