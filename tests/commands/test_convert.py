"""`nearfar convert`: judgements in, a table to train on out, and an account of every row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nearfar.data import read_table
from tests.commands.conftest import FAST, Run, sentences

NLI = "premise\thypothesis\tlabel\np\te\tentailment\np\tc\tcontradiction\nq\tf\tentailment\nq\tn\tneutral\n"
STS = "sentence1,sentence2,score\na,b,5\na,c,0\nd,e,4\n"
LABELS = "text,label\na,x\nb,x\nc,y\nd,y\n"
FILES = {
    "nli.tsv": NLI,
    "numbers.tsv": NLI.replace("entailment", "0").replace("contradiction", "2").replace("neutral", "1"),
    "sts.csv": STS,
    "labels.csv": LABELS,
    "other.csv": "q,a\nb,c\n",
    "broken.tsv": NLI + "one field\n",
    "folder/queries.tsv": "query_id\ttext\n1\tquery one\n2\tquery two\n",
    "folder/corpus.tsv": "doc_id\ttitle\ttext\n1\tA\tlong\n2\tB\tshort\n3\tC\tnew\n",
    "folder/qrels.tsv": "query_id\tdoc_id\trelevance\n1\t1\t1\n2\t2\t1\n1\t3\t0\n",
    "qrels.trec": "1 0 1 1\n2 0 2 1\n",
    "bad.trec": "1 0 1 1\n2 0 2\n",
    "twice.tsv": "query_id\ttext\n1\ta\n1\tb\n",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files above, in which the command runs."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def rows(name: str) -> list[tuple[str, ...]]:
    table = read_table(name)
    return list(zip(*(table.column(role) for role in table.roles), strict=True))


CASES: dict[str, tuple[str, list[tuple[str, ...]], list[str]]] = {
    "nli": ("nli.tsv", [("p", "e", "c")], ["left out 2: 1 of an anchor without contradictions; 1 labelled"]),
    "numbers": ("numbers.tsv --label entailment=0 --label contradiction=2", [("p", "e", "c")], ["2 of 4 rows"]),
    "nli pairs": ("nli.tsv --negatives 0", [("p", "e"), ("q", "f")], ["wrote 2 rows (anchor, positive)"]),
    "scores": ("sts.csv --near 4", [("a", "b"), ("d", "e")], ["left out 1: 1 scored below 4"]),
    "scores far": ("sts.csv --near 4 --far 1", [("a", "b", "c")], ["(anchor, positive, negative)"]),
    "labels": (
        "labels.csv",
        [("a", "b", "x"), ("b", "a", "x"), ("c", "d", "y"), ("d", "c", "y")],
        ["(anchor, positive, group)", "4 of 4 rows"],
    ),
    "folder": ("folder --no-draw", [("query one", "A long", "C new")], ["left out 1: 1 of an anchor without doc"]),
    "three": ("folder/queries.tsv folder/corpus.tsv qrels.trec --negatives 0",
              [("query one", "A long"), ("query two", "B short")], ["2 of 2 rows of qrels.trec"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_columns_say_what_it_is(name: str, here: Path, run: Run) -> None:
    words, wanted, printed = CASES[name]
    result = run("convert", *words.split(), "-o", "out.tsv")
    assert (result.status, result.err) == (0, "")
    assert rows("out.tsv") == wanted
    assert all(words in " ".join(result.out.split()) for words in printed), result.out
    assert all(text in result.out for text in wanted[0])


def test_drawn_texts_are_of_the_seed(here: Path, run: Run) -> None:
    (here / "many.csv").write_text("text,label\n" + "".join(f"t{i},{i % 3}\n" for i in range(60)))
    for name, seed in (("a.jsonl", 1), ("b.jsonl", 1), ("c.jsonl", 2)):
        assert run("convert", "many.csv", "-o", name, "--count", 2, "--negatives", 2, "--seed", seed).status == 0
    assert rows("a.jsonl") == rows("b.jsonl") != rows("c.jsonl")
    assert read_table("a.jsonl").roles == ("anchor", "positive", "negative_1", "negative_2", "group")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv.gz", "parquet"])
def test_what_is_written_can_be_trained_on(suffix: str, here: Path, run: Run) -> None:
    made = sentences(80, seed=3)
    judged = [{"premise": a, "hypothesis": b, "label": 0} for a, b in made]
    judged += [{"premise": a, "hypothesis": made[i - 1][1], "label": 2} for i, (a, _) in enumerate(made)]
    (here / "nli.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in judged), "utf-8")
    named = ("--label", "entailment=0", "--label", "contradiction=2")
    assert run("convert", "nli.jsonl", "-o", f"out.{suffix}", *named).status == 0
    assert len(rows(f"out.{suffix}")) == 80
    if suffix == "jsonl":
        assert run("train", f"out.{suffix}", "-o", "model", *FAST).status == 0


WRONG: dict[str, tuple[str, list[str]]] = {
    "columns": ("other.csv -o o.tsv", ["other.csv", "'q', 'a'", "premise, hypothesis and label", "text and label"]),
    "kind": ("nli.tsv -o o.tsv --from nil", ["--from", "'nil'", "nli, scores, labels, relevance"]),
    "option": ("nli.tsv -o o.tsv --near 3", ["--near", "nli", "--label, --negatives"]),
    "option of labels": ("labels.csv -o o.tsv --no-draw", ["--draw", "labels", "--count"]),
    "no threshold": ("sts.csv -o o.tsv", ["--near", "none"]),
    "crossed": ("sts.csv -o o.tsv --near 1 --far 4", ["far", "4", "below near, 1"]),
    "labels": ("numbers.tsv -o o.tsv", ["numbers.tsv", "'0', '2', '1'", "'entailment'", "--label entailment=NAME"]),
    "no such label": ("nli.tsv -o o.tsv --label entailment=7", ["'entailment', 'contradiction'", "'7'"]),
    "meaning": ("nli.tsv -o o.tsv --label near=0", ["--label", "'near'", "entailment, neutral, contradiction"]),
    "label word": ("nli.tsv -o o.tsv --label near", ["--label", "'near'", "NAME=VALUE"]),
    "negatives": ("nli.tsv -o o.tsv --negatives -1", ["negatives", "-1", "at least 0"]),
    "count": ("labels.csv -o o.tsv --count 0", ["count", "0", "at least 1"]),
    "nothing left": ("nli.tsv -o o.tsv --negatives 3", ["nli.tsv", "no row", "from 4", "fewer than 3"]),
    "row": ("broken.tsv -o o.tsv", ["broken.tsv", "row 5 (line 6)", "1 field"]),
    "missing": ("nowhere.tsv -o o.tsv", ["nowhere.tsv", "no such file"]),
    "role": ("nli.tsv -o o.tsv --column premis=premise", ["--column", "'premis'", "did you mean premise"]),
    "column": ("nli.tsv -o o.tsv --column premise=question", ["--column premise", "'question'", "'hypothesis'"]),
    "where": ("nli.tsv -o o.tsv --where genre=fiction", ["--where", "'genre'"]),
    "format": ("nli.tsv -o o.xlsx", ["o.xlsx", "format .xlsx", ".jsonl"]),
    "there": ("nli.tsv -o sts.csv", ["sts.csv", "--overwrite"]),
    "input": ("nli.tsv -o nli.tsv --overwrite", ["nli.tsv", "read as well"]),
    "no folder": ("nli.tsv -o no/o.tsv", ["no/o.tsv", "no folder"]),
    "no collection": ("nli.tsv -o o.tsv --from relevance", ["nli.tsv", "queries, corpus and qrels"]),
    "where of relevance": ("folder -o o.tsv --where query_id=1", ["--where", "relevance"]),
    "trec line": ("folder/queries.tsv folder/corpus.tsv bad.trec -o o.tsv", ["bad.trec", "line 2", "four fields"]),
    "id twice": ("twice.tsv folder/corpus.tsv qrels.trec -o o.tsv", ["twice.tsv", "query_id '1' twice"]),
    "order": ("folder/corpus.tsv folder/queries.tsv qrels.trec -o o.tsv", ["corpus.tsv", "'doc_id'", "query_id"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_line(name: str, here: Path, run: Run) -> None:
    words, wanted = WRONG[name]
    before = sorted(here.rglob("*"))
    result = run("convert", *words.split())
    assert result.status == 2
    assert result.err.startswith("nearfar: ")
    assert result.err.count("\n") == 1
    assert all(word in result.err for word in wanted), result.err
    assert sorted(here.rglob("*")) == before
