"""Feeds: a position says all, streams take turns, and views know only seed, row and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import nearfar as nf
from nearfar.data.batches import BatchPlan, Position, SourceRows, shuffled
from nearfar.data.streams import Stream, read_stream
from nearfar.data.views import Views
from nearfar.settings import Settings
from nearfar.training.feeds import Feed, StreamFeed, TableFeed
from nearfar.training.objectives import Objectives
from nearfar.training.ready import make_feed, make_model
from nearfar.training.sources import Batch, Passing, Streamed
from tests.training.made import encoder, pairs_table, texts

Seen = tuple[Position, str, list[list[list[int]]], list[list[int]]]


def stream(count: int, source: str) -> Stream:
    rows = [{"text": text} for text in texts(count, seed=len(source))]
    return Stream.from_rows(lambda: rows, source=source)


def feed(which: str) -> Feed:
    lone = nf.Table.from_columns({"text": texts(25, seed=9)})
    data = {
        "tables": [pairs_table(), lone],
        "views": [lone, pairs_table(30)],
        "streams": [stream(13, "one"), stream(26, "another")],
    }[which]
    names = ["dropout"] if which == "tables" else ["crop:keep=0.5"]
    settings = Settings(batch_size=4, steps=50, view=names, buffer=6, seed=3)
    return make_feed(data, encoder(), Objectives(nf.InfoNCELoss()), settings, Views.parse(names))


def seen(batches: Iterator[tuple[Position, Batch]], count: int) -> list[Seen]:
    return [
        (position, batch.source, [tokens.rows() for tokens in batch.tokens], [ids.tolist() for ids in batch.ids])
        for position, batch in islice(batches, count)
    ]


@pytest.mark.parametrize("which", ["tables", "views", "streams"])
def test_a_run_goes_on_as_if_it_had_never_stopped(which: str) -> None:
    whole = seen(feed(which).batches(), 40)
    assert whole[0][0] == Position()
    assert whole[-1][0].epoch >= 1
    for start in (0, 1, 7, 15, 29):
        assert seen(feed(which).batches(whole[start][0]), 40 - start) == whole[start:]


@pytest.mark.parametrize(("which", "rows"), [("tables", 45), ("views", 55), ("streams", 12 + 26)])
def test_every_row_comes_once_an_epoch_and_no_two_epochs_are_alike(which: str, rows: int) -> None:
    """Of a stream, all but a last row that is left alone."""
    whole = seen(feed(which).batches(), 60)
    epochs = [[part for part in whole if part[0].epoch == epoch] for epoch in (0, 1)]
    for epoch in epochs:
        firsts = [number for part in epoch for number in part[3][0]]
        assert len(set(firsts)) == len(firsts) == rows
    assert epochs[0] != epochs[1]
    assert feed(which).steps_in_epoch in (None, len(epochs[0]))


def test_streams_take_turns_until_one_is_out() -> None:
    """13 and 26 rows by 4: three batches of four of the one, its lone last row left out, and seven of the other."""
    whole = seen(feed("streams").batches(), 20)
    first = [part for part in whole if part[0].epoch == 0]
    assert [part[1] for part in first] == ["one", "another"] * 3 + ["another"] * 4
    assert [len(part[2][0]) for part in first] == [4] * 9 + [2]


def test_streams_without_a_batch_are_named() -> None:
    passing = Passing("lonely", "pairs", encoder(), Views.parse(["dropout"]), 0)
    lonely = StreamFeed([Streamed(stream(1, "lonely"), passing, 10, 0)], 4)
    with pytest.raises(nf.InputError, match="lonely: found no batch of two rows or more"):
        next(lonely.batches())


def test_views_depend_on_seed_row_and_epoch_alone() -> None:
    some, learner = texts(12), encoder()

    def made(rows: list[int], epoch: int = 0, seed: int = 0) -> list[list[int]]:
        passing = Passing("t", "pairs", learner, Views.parse(["crop:keep=0.5", "swap"]), seed)
        return passing.batch({"text": [some[row] for row in rows]}, rows, epoch).tokens[1].rows()

    whole = made(list(range(12)))
    for rows in ([3], [11, 0], [5, 4, 3, 2]):
        assert made(rows) == [whole[row] for row in rows]
    assert made(list(range(12)), epoch=1) != whole
    assert made(list(range(12)), seed=1) != whole


def test_a_guide_is_asked_once_for_what_stands_on_both_sides() -> None:
    asked: list[list[str]] = []

    def guide(some: list[str]) -> np.ndarray:
        asked.append(list(some))
        return np.eye(len(some), dtype=np.float32)

    passing = Passing("t", "pairs", encoder(), Views.parse(["crop"]), 0, guide)  # type: ignore[arg-type]
    batch = passing.batch({"text": texts(3)}, range(3), 0)
    assert asked == [texts(3)]
    assert batch.guide is not None
    assert [part.tolist() for part in batch.guide] == [np.eye(3).tolist()] * 2
    batch = passing.batch({"anchor": ["a", "b"], "positive": ["c", "d"], "negative": ["e", "f"]}, range(2), 0)
    assert asked[1:] == [["a", "b"], ["c", "d"], ["e", "f"]]
    assert batch.guide is not None
    assert len(batch.guide) == 3


class Numbers:
    """A source whose batches are their rows."""

    def batch(self, rows: np.ndarray, epoch: int) -> np.ndarray:
        return rows


def test_an_epoch_is_ordered_once() -> None:
    """Asking for its length beforehand costs nothing: batches by cluster embed the whole table."""
    asked = []

    def order(rows: np.ndarray, generator: np.random.Generator, batch_size: int) -> list[np.ndarray]:
        asked.append(len(rows))
        return shuffled(rows, generator, batch_size)

    feed = TableFeed([Numbers()], BatchPlan([SourceRows(20, order)], 4), moving=True)  # type: ignore[list-item]
    assert (feed.steps_in_epoch, feed.steps_in_epoch) == (5, 5)
    first = list(islice(feed.batches(), 6))
    assert len(asked) == 2
    plan = BatchPlan([SourceRows(20)], 4)
    for (position, rows), (wanted, _, other) in zip(first, islice(plan.batches(), 6), strict=False):
        assert position == wanted
        np.testing.assert_array_equal(rows, other)


def test_a_static_encoder_is_built_from_all_files_of_a_stream(tmp_path: Path) -> None:
    for name, word in (("a", "abcdef"), ("b", "стуфхц")):
        (tmp_path / f"{name}.txt").write_text("".join(f"{word} {row}\n" for row in range(500)), "utf-8")
    model = make_model([read_stream(tmp_path)], Settings(vocabulary=200, width=4, sample=100))
    assert {"abcdef", "стуфхц"} <= model.tokenizer.get_vocab().keys()
