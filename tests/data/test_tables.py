"""Tables: roles, kinds, mapping, filters, and the sources they come from."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import datasets
import numpy as np
import pytest

from nearfar.data import Table, read_table
from nearfar.data.readers import format_of
from nearfar.errors import InputError
from tests.data.conftest import Write

PAIRS = {"anchor": ["a", "b", "c"], "positive": ["d", "e", "f"]}


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("header", "row", "kind", "roles"),
    [
        ("text", "a", "texts", ("text",)),
        ("label\ttext\tid", "x\ta\t7", "labelled", ("text", "label")),
        ("score\tsentence2\tsentence1", "1\tb\ta", "scored", ("sentence1", "sentence2", "score")),
        ("sentence1\tsentence2\ttext", "a\tb\tc", "texts", ("text",)),
        ("negative\tpositive\tanchor", "c\tb\ta", "pairs", ("anchor", "positive", "negative")),
        ("negative_2\tnegative_1\tpositive\tanchor\ttext", "d\tc\tb\ta\te", "pairs",
         ("anchor", "positive", "negative_1", "negative_2")),
    ],
)  # fmt: skip
def test_columns_tell_the_kind(header: str, row: str, kind: str, roles: tuple[str, ...], write: Write) -> None:
    table = read_table(write("t.tsv", f"{header}\n{row}\n"))
    assert (table.kind, table.roles, len(table)) == (kind, roles, 1)
    assert table.text_roles == tuple(role for role in roles if role not in ("label", "score"))
    assert table.negatives == tuple(role for role in roles if role.startswith("negative"))


def test_values_are_strings_and_floats(write: Write) -> None:
    labelled = read_table(write("l.jsonl", lines(*({"text": "a", "label": x} for x in (1, True, "x", 2.5)))))
    assert labelled.column("label") == ["1", "true", "x", "2.5"]
    scored = read_table(write("s.csv", "sentence1,sentence2,score\na,b,4\nc,d,-1e-3\n"))
    assert scored.column("score") == [4.0, -0.001]
    assert scored.rows.features["score"].dtype == "float64"


def test_batches_and_select() -> None:
    table = Table.from_columns({"text": list("abcdefg"), "label": list("1112222")}, source="letters")
    assert [batch["text"] for batch in table.batches(3)] == [["a", "b", "c"], ["d", "e", "f"], ["g"]]
    some = table.select(np.array([6, 0, 0]))
    assert (some.column("text"), some.column("label")) == (["g", "a", "a"], ["2", "1", "1"])
    assert (some.kind, some.source, len(some)) == ("labelled", "letters", 3)
    assert len(table.select([])) == 0


def test_fingerprint_is_of_the_content() -> None:
    table = Table.from_columns(PAIRS)
    assert table.fingerprint == Table.from_columns(dict(reversed(PAIRS.items())), "elsewhere").fingerprint
    assert table.select([0, 1, 2]).fingerprint == table.fingerprint
    others = [
        table.select([1, 0, 2]),
        table.select([0, 1]),
        Table.from_columns({"anchor": PAIRS["positive"], "positive": PAIRS["anchor"]}),
        Table.from_columns(PAIRS | {"negative": ["g", "h", "i"]}),
        Table.from_columns({"anchor": ["a", "b", "cd"], "positive": ["d", "e", "f"]}),
    ]
    assert len({table.fingerprint, *(other.fingerprint for other in others)}) == 6


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"anchor": ["a"], "positive": ["b", "c"]}, r"lengths \{'anchor': 1, 'positive': 2\}"),
        ({"anchor": ["a"], "positive": [""]}, "memory: row 1, column 'positive': found an empty text"),
        ({"text": ["a", None]}, "memory: row 2, column 'text': found nothing"),
        ({"text": ["a", "\ud800"]}, "row 2, column 'text': found half a character"),
        ({"text": "abc"}, "found one text as column 'text', wanted a list"),
        ({"text": []}, "found no row"),
        ({}, "found no row"),
    ],
)
def test_columns_in_memory_are_checked_like_a_file(columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Table.from_columns(columns)


def test_mapping_takes_the_first_column_that_there_is(write: Write) -> None:
    path = write("t.tsv", "premise\thypothesis\tanchor\tlabel\nP\tH\tA\tL\n")
    table = read_table(path, columns={"anchor": ["question", "premise"], "positive": "hypothesis"})
    assert (table.kind, table.roles, table.column("anchor")) == ("pairs", ("anchor", "positive"), ["P"])
    table = read_table(path, columns={"anchor": "question", "positive": ["answer", "hypothesis"]})
    assert table.column("anchor") == ["A"]


def test_mapping_decides_between_kinds(write: Write) -> None:
    path = write("t.tsv", "anchor\tpositive\tbody\tclass\na\tb\tc\td\n")
    assert read_table(path).kind == "pairs"
    assert read_table(path, columns={"text": "body"}).kind == "texts"
    assert read_table(path, columns={"text": "body", "label": "class"}).kind == "labelled"
    same = read_table(path, columns={"sentence1": "body", "text": "anchor"})
    assert (same.kind, same.column("text")) == ("texts", ["a"])


def test_files_are_mapped_one_by_one(write: Write) -> None:
    first, second = write("1.tsv", "question\tanswer\na\tb\n"), write("2.csv", "answer,premise\nd,c\n")
    table = read_table([first, str(second)], columns={"anchor": ["question", "premise"], "positive": "answer"})
    assert (table.column("anchor"), table.column("positive")) == (["a", "c"], ["b", "d"])
    assert table.source == f"{first}, {second}"


def test_a_list_of_negatives_becomes_columns(write: Write) -> None:
    rows = [{"anchor": "a", "positive": "b", "negative": ["c", "d"]}, {"anchor": "e", "positive": "f", "hard": "g"}]
    table = read_table(write("t.jsonl", lines(rows[0], rows[0])))
    assert (table.negatives, table.column("negative_2")) == (("negative_1", "negative_2"), ["d", "d"])
    hard = {"anchor": "a", "positive": "b", "negative": "x", "hard": ["y"]}
    assert read_table(write("m.jsonl", lines(hard)), columns={"negative": "hard"}).column("negative_1") == ["y"]
    assert read_table(write("none.jsonl", lines(rows[0] | {"negative": []}))).negatives == ()
    assert read_table(write("s.jsonl", lines(rows[1])), columns={"negative": "hard"}).column("negative") == ["g"]


def test_where_keeps_rows_by_their_original_column(write: Write) -> None:
    path = write("t.jsonl", lines(*({"text": str(x), "label": x} for x in (1, "1", True, None, "e", 2))))
    assert read_table(path, where={"label": ["1", "true"]}).column("text") == ["1", "1", "True"]
    assert read_table(path, where={"label": ["e"], "other": ["x"]}, columns={"text": "label"}).column("text") == ["e"]
    plain = write("t.txt", "a\nb\n")
    assert len(read_table(plain, where={"label": ["x"]})) == 2


def test_where_leaves_out_rows_before_negatives_are_counted(write: Write) -> None:
    rows = [{"anchor": "a", "positive": "b", "negative": n, "k": k} for n, k in ((["c", "d"], 1), (["e"], 2))]
    table = read_table(write("t.jsonl", lines(*rows)), where={"k": ["2"]})
    assert (table.roles, table.column("negative_1")) == (("anchor", "positive", "negative_1"), ["e"])


def test_where_may_leave_nothing_of_one_file(write: Write) -> None:
    sources = [write(f"{name}.jsonl", lines({"text": name, "label": name})) for name in ("a", "b")]
    assert read_table(sources, where={"label": ["b"]}).column("text") == ["b"]


def test_where_leaves_out_rows_before_they_are_checked(write: Write) -> None:
    path = write("t.tsv", "anchor\tpositive\tlabel\na\t\t-\nb\tc\te\n")
    table = read_table(path, where={"label": ["e"]})
    assert (table.column("anchor"), table.roles) == (["b"], ("anchor", "positive"))


def test_a_folder_is_its_files_in_order(write: Write, tmp_path: Path) -> None:
    write("d/b.txt", "3\n")
    write("d/a.jsonl.gz", lines({"text": "1"}, {"text": "2"}))
    write("d/.hidden.txt", b"\xff")
    write("d/README.md", "not data")
    write("d/c.txt/inner.txt", "a folder in the folder")
    table = read_table(tmp_path / "d")
    assert (table.column("text"), table.source) == (["1", "2", "3"], str(tmp_path / "d"))


def test_a_saved_data_set(tmp_path: Path) -> None:
    saved = datasets.Dataset.from_dict(PAIRS | {"id": [1, 2, 3]})
    saved.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": saved.select([0]), "test": saved.select([1, 2])}).save_to_disk(str(tmp_path / "two"))
    assert read_table(tmp_path / "one").fingerprint == Table.from_columns(PAIRS).fingerprint
    assert read_table(tmp_path / "two").column("anchor") == ["a"]
    assert read_table(tmp_path / "two", split="test").column("anchor") == ["b", "c"]
    with pytest.raises(InputError, match=r"two: found the splits train, test, wanted dev"):
        read_table(tmp_path / "two", split="dev")


def test_labels_of_a_data_set_have_their_names(tmp_path: Path) -> None:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    rows = {"text": ["a", "b", "c"], "label": [1, 0, -1]}  # -1 is how datasets writes that there is no label
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "d"))
    assert read_table(tmp_path / "d", where={"label": ["yes", "no"]}).column("label") == ["yes", "no"]
    with pytest.raises(InputError, match=r"row 3, column 'label': found nothing, wanted a label"):
        read_table(tmp_path / "d")


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, -1], "found row number -1, wanted 0 to 2"),
        ([3], "found row number 3, wanted 0 to 2"),
        ([True, False], r"found booleans of shape \(2,\), wanted \(3,\)"),
    ],
)
def test_selecting_what_is_not_there(indices: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Table.from_columns(PAIRS).select(indices)


@pytest.mark.parametrize("bars", [True, False])
def test_a_hub_name_is_loaded_by_datasets(bars: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, split: str, streaming: bool) -> datasets.Dataset:
        assert not streaming
        asked.append((name, split, datasets.are_progress_bars_disabled()))
        return datasets.Dataset.from_dict(PAIRS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr("nearfar.data.parts.reachable", lambda: True)
    (datasets.enable_progress_bars if bars else datasets.disable_progress_bars)()
    assert read_table("owner/name").column("anchor") == PAIRS["anchor"]
    assert len(read_table("owner/name", split="test")) == 3
    assert asked == [("owner/name", "train", True), ("owner/name", "test", True)]
    assert datasets.are_progress_bars_disabled() != bars
    datasets.enable_progress_bars()


def test_importing_is_light() -> None:
    code = "import sys, nearfar.data; print([name for name in ('datasets', 'pyarrow', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SHARED = Path(__file__).parents[3] / "shared" / "data"
NAMES = {
    "text": ["doc_id", "text", "sentence", "a", "definition"],  # by id, since one document of Cranfield has no text
    "label": ["label", "coarse", "topic", "section"],
    "anchor": ["anchor", "premise", "question", "question1", "ko"],
    "positive": ["positive", "hypothesis", "answer", "question2", "en"],
    "sentence1": ["sentence1", "word1"],
    "sentence2": ["sentence2", "word2"],
    "score": ["score", "label", "relevance"],
}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the folder of shared data sets is not beside the project")
def test_real_tables_are_read_whole() -> None:
    paths = [path for path in sorted(SHARED.rglob("*")) if format_of(path) in (".tsv", ".txt")]
    assert paths
    for path in (path for path in paths if path.name != "qrels.tsv"):  # ids alone: no text to read
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            rows = sum(1 for line in file if line.strip()) - (".tsv" in path.suffixes)
        assert len(read_table(path, columns=NAMES)) == rows, path
