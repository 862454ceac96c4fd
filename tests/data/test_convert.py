"""Conversions: each keeps what was judged, accounts for every row, and is the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.data import Table, read_table
from nearfar.data.convert import (
    Converted,
    Relevance,
    convert_labels,
    convert_nli,
    convert_relevance,
    convert_scores,
    read_columns,
    read_relevance,
)
from nearfar.data.convert.sources import SHAPES
from nearfar.data.writing import write_table
from nearfar.errors import InputError
from tests.data.conftest import Write

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the folder of shared data sets is not beside the project"
)


def rows(made: Converted) -> list[tuple[str, ...]]:
    return list(zip(*(made.table.column(role) for role in made.table.roles), strict=True))


def nli(*judged: tuple[str, str, str], **options) -> Converted:
    premises, hypotheses, labels = ([row[place] for row in judged] for place in range(3))
    return convert_nli(premises, hypotheses, labels, **options)


E, N, C = "entailment", "neutral", "contradiction"


def test_rows_of_a_premise_are_put_together() -> None:
    made = nli(("p", "near", E), ("q", "x", N), ("p", "far", "Contradiction"), ("r", "lone", E), ("s", "alone", C))
    assert rows(made) == [("p", "near", "far")]
    assert made.table.roles == ("anchor", "positive", "negative")
    assert made.read == 5
    assert made.left_out == {
        "labelled 'neutral'": 1,
        "of an anchor without contradictions": 1,
        "of an anchor without a near text": 1,
    }


def test_several_positives_and_negatives_all_have_a_row() -> None:
    made = nli(*(("p", f"e{i}", E) for i in range(3)), ("p", "c0", C), ("p", "c1", C))
    assert rows(made) == [("p", "e0", "c0"), ("p", "e1", "c1"), ("p", "e2", "c0")]
    assert list(made.noted.values()) == [1]
    made = nli(("p", "e", E), *(("p", f"c{i}", C) for i in range(5)), negatives=2)
    assert rows(made) == [("p", "e", "c0", "c1"), ("p", "e", "c2", "c3"), ("p", "e", "c4", "c0")]
    assert made.table.negatives == ("negative_1", "negative_2")


def test_pairs_need_no_contradiction() -> None:
    made = nli(("p", "e", E), ("p", "c", C), ("q", "f", E), negatives=0)
    assert rows(made) == [("p", "e"), ("q", "f")]
    assert made.left_out == {"far, where no negatives are wanted": 1}


def test_labels_may_be_numbers() -> None:
    judged = [("p", "e", "0"), ("p", "n", "1"), ("p", "c", "2"), ("p", "u", "-1"), ("p", "d", "3")]
    made = nli(*judged, names={E: ["0"], C: ["2", "3"]})
    assert rows(made) == [("p", "e", "c"), ("p", "e", "d")]
    assert made.left_out == {"labelled '1'": 1, "labelled '-1'": 1}


def test_what_judges_disagree_on_counts_for_neither() -> None:
    judged = [("p", "x", E), ("p", "y", E), ("p", "x", C), ("p", "x", E), ("p", "c", C), ("p", "y", E), ("p", "p", E)]
    made = nli(*judged)
    assert rows(made) == [("p", "y", "c")]
    assert made.left_out == {"judged both near and far": 3, "repeated": 1, "of two equal texts": 1}


WORDS = st.sampled_from("abcdef")
JUDGED = st.lists(st.tuples(WORDS, WORDS, st.sampled_from([E, N, C])), min_size=1, max_size=40)


@given(JUDGED, st.integers(0, 2))
def test_nli_makes_nothing_up_and_accounts_for_all(judged: list[tuple[str, str, str]], negatives: int) -> None:
    try:
        made = nli(*judged, negatives=negatives)
    except InputError:
        return
    used = set()
    for anchor, positive, *far in rows(made):
        assert len({anchor, positive, *far}) == 2 + negatives
        assert (anchor, positive, E) in judged
        assert (anchor, positive, C) not in judged
        assert all((anchor, text, C) in judged and (anchor, text, E) not in judged for text in far)
        used |= {(anchor, positive), *((anchor, text) for text in far)}
    assert made.read == len(judged)
    assert made.read - sum(made.left_out.values()) == len(used)
    kept = {a for a, _ in used}
    clear = {(a, b) for a, b, label in judged if label == E and (a, b, C) not in judged and a != b and a in kept}
    assert clear <= used


def scored(*graded: tuple[str, str, float]) -> Table:
    names = ("sentence1", "sentence2", "score")
    return Table.from_columns(dict(zip(names, map(list, zip(*graded, strict=True)), strict=True)), "sts.tsv")


def test_scores_above_the_threshold_are_pairs() -> None:
    made = convert_scores(scored(("a", "b", 4), ("a", "c", 3.9), ("d", "e", 5), ("b", "a", 1)), near=4)
    assert rows(made) == [("a", "b"), ("d", "e")]
    assert made.left_out == {"scored below 4": 2}


def test_low_scores_of_either_sentence_are_negatives() -> None:
    table = scored(
        ("a", "b", 5), ("x", "a", 1), ("c", "d", 5), ("d", "y", 0), ("e", "f", 5), ("g", "h", 0), ("a", "i", 3)
    )
    made = convert_scores(table, near=4, far=1)
    assert rows(made) == [("a", "b", "x"), ("d", "c", "y")]
    assert made.left_out == {
        "of an anchor without far texts": 1,
        "of an anchor without a near text": 1,
        "scored below 4 and above 1": 1,
    }
    assert rows(convert_scores(table, near=4, far=1, negatives=0)) == [("a", "b"), ("c", "d"), ("e", "f")]


@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 5)), min_size=1, max_size=40), st.integers(0, 2))
def test_scores_keep_to_the_thresholds(graded: list[tuple[str, str, int]], negatives: int) -> None:
    try:
        made = convert_scores(scored(*graded), near=4, far=1, negatives=negatives)
    except InputError:
        return
    by_pair: dict[frozenset[str], list[int]] = {}
    for a, b, score in graded:
        by_pair.setdefault(frozenset((a, b)), []).append(score)
    for anchor, positive, *far in rows(made):
        assert max(by_pair[frozenset((anchor, positive))]) >= 4
        assert all(min(by_pair[frozenset((anchor, text))]) <= 1 for text in far)
        assert len({anchor, positive, *far}) == 2 + negatives
    assert 0 < made.read - sum(made.left_out.values()) <= len(graded)


def labelled(texts: list[str], labels: list[str]) -> Table:
    return Table.from_columns({"text": texts, "label": labels}, "labels.csv")


LABELLED = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("xyz")), min_size=1, max_size=60)


@given(LABELLED, st.integers(1, 4), st.integers(0, 3), st.integers(0, 99))
def test_labels_pair_texts_of_one_label(
    given_rows: list[tuple[int, str]], count: int, negatives: int, seed: int
) -> None:
    table = labelled([f"t{text}" for text, _ in given_rows], [label for _, label in given_rows])
    try:
        made = convert_labels(table, count=count, negatives=negatives, seed=seed)
    except InputError:
        return
    label_of: dict[str, set[str]] = {}
    for text, label in zip(table.column("text"), table.column("label"), strict=True):
        label_of.setdefault(text, set()).add(label)
    found = rows(made)
    for anchor, positive, *far, group in found:
        assert anchor != positive
        assert label_of[anchor] == {group}  # in a batch, rows of one label must not push each other
        assert label_of[anchor] == label_of[positive]
        assert len(label_of[anchor]) == 1
        assert len(set(far)) == negatives
        assert all(len(label_of[text]) == 1 and label_of[text] != label_of[anchor] for text in far)
    assert len({row[:2] for row in found}) == len(found)
    sizes = Counter(label for labels in label_of.values() if len(labels) == 1 for label in labels)
    wanted = {t: min(count, sizes[min(ls)] - 1) for t, ls in label_of.items() if len(ls) == 1 and sizes[min(ls)] > 1}
    assert Counter(row[0] for row in found) == wanted
    assert Counter(row[1] for row in found) == wanted
    assert made.read - sum(made.left_out.values()) == len(wanted)
    assert rows(convert_labels(table, count=count, negatives=negatives, seed=seed)) == found


def test_another_seed_draws_other_texts() -> None:
    table = labelled([f"t{i}" for i in range(60)], ["x", "y"] * 30)
    found = [rows(convert_labels(table, negatives=1, seed=seed)) for seed in (0, 1)]
    assert found[0] != found[1]
    assert [row[0] for row in found[0]] == table.column("text")


def test_labels_say_what_is_left_out() -> None:
    made = convert_labels(labelled(list("aabbcdef"), list("xxxyxyzx")), count=3)
    assert made.left_out == {"of a text of several labels": 2, "repeated": 1, "of the only text of their label": 2}
    assert made.noted == {"texts with fewer than 3 others of their label": 3}


QUERIES = {"q1": "first", "q2": "second", "q3": "third"}
DOCUMENTS = {f"d{i}": f"document {i}" for i in range(30)} | {"copy": "document 1", "empty": ""}
JUDGEMENTS = [("q1", "d1", 2.0), ("q1", "d2", 1.0), ("q1", "d3", 0.0), ("q2", "d4", 1.0), ("q2", "empty", 1.0)]


def test_judged_negatives_come_first_and_drawn_ones_fill_up() -> None:
    made = convert_relevance(Relevance(QUERIES, DOCUMENTS, JUDGEMENTS), negatives=2, seed=1)
    found = rows(made)
    assert [row[:2] for row in found] == [("first", "document 1"), ("first", "document 2"), ("second", "document 4")]
    assert found[0][2] == "document 3"
    for query, _, *far in found:
        judged = {DOCUMENTS[document] for q, document, _ in JUDGEMENTS if QUERIES[q] == query}
        assert len(set(far)) == 2
        assert set(far) <= set(DOCUMENTS.values()) - {""}
        assert not set(far) & (judged - {"document 3"})
    assert made.left_out == {"of a document without text": 1}
    assert made.noted == {"queries without a judgement": 1, "negatives drawn, not judged": 5}
    assert rows(convert_relevance(Relevance(QUERIES, DOCUMENTS, JUDGEMENTS), negatives=2, seed=1)) == found
    assert rows(convert_relevance(Relevance(QUERIES, DOCUMENTS, JUDGEMENTS), negatives=2, seed=2)) != found


def test_without_drawing_only_judged_ones_count() -> None:
    made = convert_relevance(Relevance(QUERIES, DOCUMENTS, JUDGEMENTS), draw=False)
    assert rows(made) == [("first", "document 1", "document 3"), ("first", "document 2", "document 3")]
    assert made.left_out["of an anchor without documents judged not relevant"] == 1


def test_thresholds_of_relevance() -> None:
    made = convert_relevance(Relevance(QUERIES, DOCUMENTS, JUDGEMENTS), near=2, far=0, draw=False)
    assert rows(made) == [("first", "document 1", "document 3")]
    assert made.left_out["of a relevance above 0 and below 2"] == 2


def test_unknown_ids_are_counted() -> None:
    judgements = [*JUDGEMENTS, ("q9", "d1", 1.0), ("q1", "d99", 1.0)]
    made = convert_relevance(Relevance(QUERIES, DOCUMENTS, judgements), negatives=0)
    assert made.left_out["of a query that is not there"] == made.left_out["of a document that is not there"] == 1


def test_a_small_corpus_gives_what_it_has() -> None:
    with pytest.raises(
        InputError, match=r"found no row to make from 1, .*1 of an anchor with 2 documents .*, fewer than 3"
    ):
        convert_relevance(Relevance({"q": "a"}, {"1": "b", "2": "c", "3": "d"}, [("q", "1", 1.0)]), negatives=3)


TREC = "q1 0 d1 1\nq1\t0\td2\t0\n\nq2 Q0 d2 2\n"
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td2\t2\n"


@pytest.mark.parametrize(("name", "content"), [("qrels.tsv", QRELS), ("qrels.trec", TREC), ("qrels.txt.gz", TREC)])
def test_collections_of_several_layouts(name: str, content: str, write: Write) -> None:
    queries = write("queries.jsonl", '{"_id": "q1", "text": "eins"}\n{"_id": "q2", "text": "zwei"}\n')
    corpus = write("corpus.tsv", "docid\ttitle\ttext\nd1\tHead\tbody\nd2\tHead\tHead and body\nd3\t\t\n")
    found = read_relevance(queries, corpus, write(name, content))
    assert found.queries == {"q1": "eins", "q2": "zwei"}
    assert found.documents == {"d1": "Head body", "d2": "Head and body", "d3": ""}
    assert found.judgements == [("q1", "d1", 1.0), ("q1", "d2", 0.0), ("q2", "d2", 2.0)]


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: nli(("p", "e", "0"), ("p", "c", "2")), "nli: found labels '0', '2', wanted 'entailment' .--label"),
        (lambda: nli(("p", "e", E)), "nli: found labels 'entailment', wanted 'contradiction' "),
        (lambda: nli(("p", "e", E), names={C: ["2"]}), "found labels 'entailment', wanted '2'$"),
        (lambda: nli(("p", "e", E), names={"near": ["2"]}), "--label: found 'near', wanted entailment, neutral"),
        (lambda: nli(("p", "e", "0"), names={E: ["0"], C: ["0"]}), "--label: found '0' for entailment and contrad"),
        (lambda: nli(("p", "e", E), ("q", "c", C)), "found no row to make from 2, wanted at least one .1 of an"),
        (lambda: convert_nli(["a"], ["b"], []), "found 1 premises, 1 hypotheses, 0 labels"),
        (lambda: nli(("p", "e", E), negatives=-1), "negatives: found -1"),
        (lambda: convert_scores(labelled(["a"], ["b"]), near=1), "labels.csv: found text, label, wanted sentence1"),
        (lambda: convert_scores(scored(("a", "b", 1)), near=2), r"no row to make from 1, .* .1 scored below 2."),
        (lambda: convert_scores(scored(("a", "b", 1)), near=2, far=2), "far: found 2, wanted a number below near, 2"),
        (lambda: convert_scores(scored(("a", "b", 1)), near=2, negatives=1), "far: found none"),
        (lambda: convert_scores(scored(("a", "b", 1)), near=float("nan")), "near: found nan"),
        (lambda: convert_labels(scored(("a", "b", 1))), "sts.tsv: found sentence1, .* wanted text, label"),
        (lambda: convert_labels(labelled(["a", "b"], ["x", "x"]), count=0), "count: found 0"),
        (lambda: convert_labels(labelled(["a", "b"], ["x", "x"]), negatives=1), "found 0 texts of other labels"),
        (lambda: convert_labels(labelled(["a", "b"], ["x", "y"])), "no row to make from 2, .*2 of the only text"),
        (lambda: convert_labels(labelled(["a", "a"], ["x", "y"])), "no row to make from 2, .*2 of a text of several"),
        (lambda: convert_relevance(Relevance({}, {}, [("q", "d", 1.0)])), "no row to make from 1.*query that is not"),
        (lambda: convert_relevance(Relevance({}, {}, []), near=1, far=1), "far: found 1, wanted a number below"),
    ],
)  # fmt: skip
def test_mistakes_are_named(mistake, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mistake()


@needs_shared
@pytest.mark.parametrize("name", ["snli.en.dev", "kornli_xnli.ko.dev"])
def test_real_nli_makes_the_triples_of_the_paper(name: str, tmp_path: Path) -> None:
    (batch, *more) = read_columns([SHARED / f"nli/{name}.tsv"], SHAPES["nli"])
    columns = batch.to_pydict()
    for other in more:
        columns = {role: columns[role] + values for role, values in other.to_pydict().items()}
    made = convert_nli(columns["premise"], columns["hypothesis"], columns["label"])
    assert len(made.table) > 800
    write_table(tmp_path / "triples.tsv", made.table.batches())
    assert read_table(tmp_path / "triples.tsv").fingerprint == made.table.fingerprint
    judged = set(zip(*(columns[role] for role in ("premise", "hypothesis", "label")), strict=True))
    assert all((a, p, E) in judged and (a, n, C) in judged for a, p, n in rows(made))


@needs_shared
def test_a_real_collection() -> None:
    folder = SHARED / "retrieval/cranfield.en"
    collection = read_relevance(*(folder / f"{name}.tsv" for name in ("queries", "corpus", "qrels")))
    made = convert_relevance(collection, negatives=3)
    assert (len(made.table), made.read, made.left_out) == (1611, 1837, {"of a document without text": 1})
