"""An objective and a weight for each table, and a teacher's scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.data.groups import number_texts
from nearfar.data.streams import Stream
from nearfar.data.views import Views
from nearfar.encoders import build_static
from nearfar.objectives import parse_objective
from nearfar.training.contrasting import Contrasting
from nearfar.training.objectives import Objectives, by_source
from nearfar.training.ready import make_feed
from nearfar.training.teaching import open_teacher
from tests.training.made import encoder, pairs_table, texts

SMALL = {"vocabulary": 100, "width": 8, "batch_size": 10, "steps": 4, "held_out": 0.0}


def scored() -> nf.Table:
    every = texts(40)
    columns = {"sentence1": every[:20], "sentence2": every[20:], "score": [float(n % 5) for n in range(20)]}
    return nf.Table.from_columns(columns, "data/dev.tsv")


def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(objective, kind of contrast) of each step to come."""
    calls: list[tuple[str, str]] = []
    for kind in (nf.InfoNCELoss, nf.CoSENTLoss, nf.MarginMSELoss):
        plain = kind.__call__

        def noted(self, contrast, *, strip_rows=None, plain=plain):
            calls.append((type(self).__name__, contrast.kind))
            return plain(self, contrast, strip_rows=strip_rows)

        monkeypatch.setattr(kind, "__call__", noted)
    return calls


@pytest.mark.parametrize("given", ["settings", "sequence", "mapping"])
def test_each_table_has_its_objective(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = seen(monkeypatch)
    tables = [pairs_table(), scored()]
    infonce, cosent = nf.InfoNCELoss(), nf.CoSENTLoss(temperature=0.1)
    objective = {"sequence": [infonce, cosent], "mapping": {"memory": infonce, "dev.tsv": cosent}}.get(given)
    settings = nf.Settings(**SMALL, objective_for=["dev.tsv=cosent:temperature=0.1"] if given == "settings" else [])
    nf.train(tables, objective=objective, settings=settings)
    assert set(calls) == {("InfoNCELoss", "pairs"), ("CoSENTLoss", "graded")}
    assert len(calls) == 4


def test_a_weight_makes_batches_come_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = seen(monkeypatch)
    settings = nf.Settings(**SMALL | {"steps": 40}, objective_for=["dev.tsv=cosent"], weight_for=["dev.tsv=3"])
    nf.train([pairs_table(), scored()], settings=settings)
    names = [name for name, _ in calls]
    assert names.count("CoSENTLoss") == pytest.approx(3 * names.count("InfoNCELoss"), rel=0.25)


def test_options_of_an_objective_are_read() -> None:
    assert parse_objective("infonce:temperature=0.2,symmetric=True") == nf.InfoNCELoss(temperature=0.2, symmetric=True)
    assert parse_objective("triplet:mining=hard") == nf.TripletLoss(mining="hard")
    with pytest.raises(nf.InputError, match="found option 'temp', wanted one of temperature"):
        parse_objective("infonce:temp=1")
    with pytest.raises(nf.InputError, match="temperature: found -1"):
        parse_objective("infonce:temperature=-1")


def test_a_table_is_named_by_its_path_or_its_file() -> None:
    sources = ["a/dev.tsv", "b/dev.tsv", "b/train.tsv"]
    assert by_source("weight_for", ["b/dev.tsv=2", "train.tsv=3"], sources) == {"b/dev.tsv": "2", "b/train.tsv": "3"}
    for word, message in (
        ("dev.tsv=2", "found dev.tsv, which several are called, wanted one of a/dev.tsv"),
        ("c.tsv=2", "found c.tsv, wanted one of a/dev.tsv"),
        ("2", "found '2', wanted SOURCE=VALUE"),
    ):
        with pytest.raises(nf.InputError, match=message):
            by_source("weight_for", [word], sources)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    build_static(lambda: [texts(60)], width=16, vocabulary=100).save(str(folder))
    return folder


def test_a_teacher_grades_positives_and_negatives(teacher: Path) -> None:
    """Scores and contrast against the teacher's own vectors, row by row, for a table and for what passes by."""
    table = pairs_table(negatives=True)
    settings = nf.Settings(**SMALL, objective="marginmse", teacher=str(teacher), teacher_scale=2.0)
    student = encoder()
    feed = make_feed([table], student, Objectives(nf.MarginMSELoss()), settings, Views.parse(["dropout"]))
    _, batch = next(feed.batches())
    vectors = {role: nf.open_model(teacher).encode(table.column(role)) for role in table.roles}
    numbers = number_texts(table, "anchor").tolist()
    for place, row in enumerate(numbers.index(number) for number in batch.ids[0]):
        wanted = [2 * vectors["anchor"][row] @ vectors[role][row] for role in ("positive", "negative")]
        np.testing.assert_allclose(batch.marks[place], wanted, atol=1e-5)
    contrast = Contrasting(student, False)(batch)
    assert contrast.kind == "graded"
    own = torch.stack([student.embed(column) for column in batch.tokens[1:]], dim=1)
    assert contrast.own is not None
    torch.testing.assert_close(torch.cat(contrast.own, 1), own)


def test_margins_come_nearer_to_the_teachers(teacher: Path) -> None:
    steps = {"steps": 60, "width": 16, "learning_rate": 0.02, "watch_every": 1}
    settings = nf.Settings(**SMALL | steps, objective="marginmse", teacher=str(teacher))
    losses = [entry["batch_loss"] for entry in nf.train(pairs_table(negatives=True), settings=settings).readings]
    assert sum(losses[-5:]) < sum(losses[:5]) / 2


def test_a_teacher_may_be_a_cross_encoder(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *dict.fromkeys(word for text in texts(60) for word in text.split())]
    split = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    split.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=split, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    teach = open_teacher(nf.Settings(teacher=str(tmp_path)))
    assert teach is not None
    anchors, positives, negatives = texts(9)[:3], texts(9)[3:6], texts(9)[6:]
    found = teach(anchors, [positives, negatives])
    judge = CrossEncoder(str(tmp_path))
    for place, column in enumerate((positives, negatives)):
        np.testing.assert_allclose(found[:, place], judge.predict(list(zip(anchors, column, strict=True))), atol=1e-6)


def test_what_a_teacher_cannot_do_is_said(teacher: Path) -> None:
    with pytest.raises(nf.InputError, match="found no teacher, which MarginMSELoss cannot learn from; wanted anchor"):
        nf.train(pairs_table(negatives=True), settings=nf.Settings(**SMALL, objective="marginmse"))
    with pytest.raises(nf.InputError, match="found anchor and positive alone, which MarginMSELoss"):
        nf.train(pairs_table(), settings=nf.Settings(**SMALL, objective="marginmse", teacher=str(teacher)))
    with pytest.raises(nf.InputError, match=r"--teacher: found .*, wanted none: it grades pairs for marginmse"):
        nf.train(pairs_table(), settings=nf.Settings(**SMALL, teacher=str(teacher)))
    with pytest.raises(nf.InputError, match="found no teacher, which MarginMSELoss"):
        nf.train(scored(), settings=nf.Settings(**SMALL, objective="marginmse", matryoshka=[4]))


def taught_columns(count: int, negatives: int) -> dict[str, list[Any]]:
    """Pairs with negatives, and with scores that tell each row and candidate."""
    every = texts((2 + negatives) * count)
    names = ["negative"] if negatives == 1 else [f"negative_{place + 1}" for place in range(negatives)]
    columns: dict[str, list[Any]] = {"anchor": every[:count], "positive": every[count : 2 * count]}
    for place, name in enumerate(names, start=2):
        columns[name] = every[place * count : (place + 1) * count]
    for place, name in enumerate(["positive", *names]):
        columns[f"{name}_score"] = [row + place / 10 for row in range(count)]
    return columns


@pytest.mark.parametrize("negatives", [1, 2])
@pytest.mark.parametrize("kind", ["table", "stream"])
def test_scores_of_a_teacher_may_stand_in_the_table(kind: str, negatives: int) -> None:
    columns = taught_columns(20, negatives)
    table = nf.Table.from_columns(columns)
    assert table.text_roles == ("anchor", "positive", *table.negatives)
    assert len(table.taught) == 1 + negatives
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    stream = Stream.from_rows(lambda: rows)
    settings = nf.Settings(**SMALL, objective="marginmse", teacher_scale=0.5)
    student = encoder()
    data = table if kind == "table" else stream
    feed = make_feed([data], student, Objectives(nf.MarginMSELoss()), settings, Views.parse(["dropout"]))
    _, batch = next(feed.batches())
    assert batch.kind == "graded"
    places = np.round(2 * batch.marks[:, 0]).astype(int)  # the score of a positive is its row's number
    assert len(set(places.tolist())) == len(batch.tokens[0])
    np.testing.assert_allclose(batch.marks, 0.5 * (places[:, None] + np.arange(1 + negatives) / 10), rtol=1e-6)
    wanted = student.tokenise([[columns["anchor"][place] for place in places]])
    assert [*batch.tokens[0].rows()] == [*wanted.rows()]


def test_scores_in_a_table_are_learnt_and_elsewhere_do_no_harm(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = seen(monkeypatch)
    columns = taught_columns(20, 1)
    table = nf.Table.from_columns(columns)
    plain = nf.Table.from_columns({role: values for role, values in columns.items() if not role.endswith("score")})
    for objective, kind in (("marginmse", "graded"), ("cosent", "graded"), ("infonce", "pairs")):
        nf.train(table, settings=nf.Settings(**SMALL, objective=objective))
        assert calls.pop()[1] == kind
    models = [nf.train(one, settings=nf.Settings(**SMALL)).model.state_dict() for one in (table, plain)]
    assert all(map(torch.equal, models[0].values(), models[1].values()))


def test_lists_of_negatives_may_have_lists_of_scores(tmp_path: Path) -> None:
    row = {"anchor": "a cat", "positive": "a tom", "negative": ["a dog", "a car"], "positive_score": 3}
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(row | {"negative_score": [2, place]}) + "\n" for place in (1, 0)), "utf-8")
    table = nf.read_table(path)
    assert table.taught == ("positive_score", "negative_1_score", "negative_2_score")
    assert table.column("negative_2_score") == [1.0, 0.0]
    path.write_text(json.dumps(row | {"negative_score": [2]}) + "\n", "utf-8")
    with pytest.raises(nf.InputError, match=r"line 1, column 'negative_score': found 1 scores, wanted a list of 2"):
        nf.read_table(path)
    path.write_text(json.dumps(row | {"negative_score": [2, "x"]}) + "\n", "utf-8")
    with pytest.raises(nf.InputError, match=r"line 1, column 'negative_2_score': found 'x', wanted a number"):
        nf.read_table(path)


def test_scores_of_some_candidates_alone_are_none(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("anchor\tpositive\tnegative\tpositive_score\tce\na cat\ta tom\ta dog\t1\t0\n", "utf-8")
    assert not nf.read_table(path).taught
    assert nf.read_table(path, columns={"negative_score": "ce"}).column("negative_score") == [0.0]
    with pytest.raises(nf.InputError, match="found a column for positive_score, wanted one for negative_score beside"):
        nf.read_table(path, columns={"positive_score": "ce"})


def margin_columns(rows: int, negatives: int) -> dict[str, list[Any]]:
    """The same with margins in the place of the scores that they are differences of."""
    columns = taught_columns(rows, negatives)
    names = [role.removesuffix("_score") for role in columns if role.startswith("negative") and role.endswith("_score")]
    margins = {
        name.replace("negative", "margin"): [
            near - far for near, far in zip(columns["positive_score"], columns[f"{name}_score"], strict=True)
        ]
        for name in names
    }
    return {role: values for role, values in columns.items() if not role.endswith("_score")} | margins


@pytest.mark.parametrize("negatives", [1, 2])
@pytest.mark.parametrize("kind", ["table", "stream"])
def test_margins_of_a_teacher_are_as_good_as_its_scores(kind: str, negatives: int) -> None:
    settings = nf.Settings(**SMALL, objective="marginmse", teacher_scale=0.5)
    seen = []
    for columns in (taught_columns(20, negatives), margin_columns(20, negatives)):
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        data = nf.Table.from_columns(columns) if kind == "table" else Stream.from_rows(lambda rows=rows: rows)
        feed = make_feed([data], encoder(), Objectives(nf.MarginMSELoss()), settings, Views.parse(["dropout"]))
        _, batch = next(feed.batches())
        assert batch.kind == "graded"
        seen.append(batch.marks[:, :1] - batch.marks[:, 1:])
    np.testing.assert_allclose(*seen, rtol=1e-5)


def test_margins_are_for_margin_mse_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = seen(monkeypatch)
    table = nf.Table.from_columns(margin_columns(20, 1))
    for objective, kind in (("marginmse", "graded"), ("infonce", "pairs")):
        nf.train(table, settings=nf.Settings(**SMALL, objective=objective))
        assert calls.pop()[1] == kind
    with pytest.raises(nf.InputError, match="CoSENTLoss has no place for"):  # it compares scores of different rows
        nf.train(table, settings=nf.Settings(**SMALL, objective="cosent"))


def test_margins_are_found_by_name_and_as_lists(tmp_path: Path) -> None:
    row = {"anchor": "a cat", "positive": "a tom", "negative": ["a dog", "a car"]}
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(row | {"margin": [1, 2.5]}) + "\n", "utf-8")
    assert nf.read_table(path).taught == ("margin_1", "margin_2")
    path.write_text(json.dumps(row | {"margin": [1]}) + "\n", "utf-8")
    with pytest.raises(nf.InputError, match=r"line 1, column 'margin': found 1 margins, wanted a list of 2"):
        nf.read_table(path)
    path = tmp_path / "t.tsv"
    path.write_text("anchor\tpositive\tnegative\tlabel\na cat\ta tom\ta dog\t1.5\n", "utf-8")
    assert not nf.read_table(path).taught
    assert nf.read_table(path, columns={"margin": "label"}).column("margin") == [1.5]
    with pytest.raises(nf.InputError, match="found a column for margin_2, wanted one for margin beside it"):
        nf.read_table(path, columns={"margin_2": "label"})
    path.write_text("anchor\tpositive\tnegative\tmargin\na cat\ta tom\ta dog\twide\n", "utf-8")
    with pytest.raises(nf.InputError, match=r"column 'margin': found 'wide', wanted a number"):
        nf.read_table(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": "pairs.tsv"}, "data: found 'pairs.tsv', wanted a table"),
        ({"data": None}, "data: found nothing, wanted a table"),
        ({"data": []}, "data: found none"),
        ({"data": [pairs_table(), 3]}, "data: found 3, wanted a table"),
        ({"evaluate_on": "dev.tsv"}, "evaluate_on: found 'dev.tsv', wanted a table"),
        ({"objective": "infonce"}, "objective: found 'infonce', wanted one, as nearfar.InfoNCELoss()"),
        ({"objective": nf.InfoNCELoss}, "objective: found <class .*, wanted one, as"),
        ({"objective": [nf.InfoNCELoss(), 1]}, "objective: found 2, wanted 1, one for each source"),
        ({"objective": {"memory": None}}, "objective: found nothing, wanted one, as"),
    ],
)
def test_what_is_no_table_or_objective_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(nf.InputError, match=message):
        nf.train(**{"data": pairs_table(), "settings": nf.Settings(**SMALL)} | given)
