"""Compositions: chance depends on seed, row and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nearfar.data.views import TextView, Views
from nearfar.data.views.draws import READY, RowRandom, choose, row_keys, row_randoms, uniforms
from tests.data.views.conftest import CHINESE, ENGLISH, KOREAN, ODD

TEXTS = [ENGLISH, KOREAN, CHINESE, *ODD.values()] * 3
ROWS = range(len(TEXTS))


def test_a_row_does_not_depend_on_its_batch(text_views: dict[str, TextView]) -> None:
    views = Views(tuple(text_views.values()))
    whole = list(zip(*views.pairs(TEXTS, ROWS, seed=1, epoch=2), strict=True))
    backwards = views.pairs(TEXTS[::-1], ROWS[::-1], seed=1, epoch=2)
    assert list(zip(*backwards, strict=True))[::-1] == whole
    assert [views.pair(text, seed=1, row=row, epoch=2) for row, text in enumerate(TEXTS)] == whole


@pytest.mark.parametrize("other", [{"seed": 2}, {"epoch": 1}, {"seed": -1}, {"seed": 2**70}])
def test_seed_and_epoch_change_the_draw(other: dict[str, int]) -> None:
    views, same = Views.parse(["crop:keep=0.5"]), {"seed": 1, "epoch": 0}
    texts = [" ".join(map(str, range(100)))] * 50
    first, second = (views.pairs(texts, range(50), **given)[1] for given in (same, same | other))
    assert first == views.pairs(texts, range(50), **same)[1]
    assert sum(one == two for one, two in zip(first, second, strict=True)) < 10


def test_views_follow_each_other() -> None:
    """A view in the second place changes what the first made, as it would by itself in that place."""
    text = " ".join(map(str, range(40)))
    anchor, positive = Views.parse(["crop:keep=0.5", "mask:share=0.2,token=#"]).pair(text, seed=0, row=0, epoch=0)
    assert anchor == text
    assert Views.parse(["crop:keep=0.5"]).pair(text, seed=0, row=0, epoch=0)[1].count(" ") == positive.count(" ") == 19
    assert positive.count("#") == 4
    anchor, positive = Views.parse(["span:longest=10", "mask:token=#"]).pair(text, seed=0, row=0, epoch=0)
    assert anchor in text
    assert "#" in positive
    assert "#" not in anchor


def test_probability_is_the_share_of_rows() -> None:
    views = Views.parse(["delete:probability=0.3"])
    anchors, positives = views.pairs([ENGLISH] * 5000, range(5000), seed=3, epoch=0)
    changed = sum(one != two for one, two in zip(anchors, positives, strict=True))
    assert abs(changed - 1500) < 5 * (5000 * 0.3 * 0.7) ** 0.5
    assert views.unchanged["delete"] == 0  # left out by chance is not counted


def test_what_could_not_be_changed_is_counted() -> None:
    views = Views.parse(["delete", "typo"])
    anchors, positives = views.pairs(["cat", "😀", "a b"], range(3), seed=0, epoch=0)
    assert views.unchanged == {"delete": 2, "typo": 1}
    assert anchors[1] == positives[1] == "😀"


def test_embedding_views_are_kept_aside() -> None:
    views = Views.parse(["dropout", "crop"])
    assert [view.name for view in views.in_embedding] == ["dropout"]
    assert [view.name for view in views.in_text] == ["crop"]
    assert views.pair("a", seed=0, row=0, epoch=0) == ("a", "a")


def test_numbers_are_uniform_and_rows_independent() -> None:
    numbers = uniforms(row_keys(range(20_000), seed=5, epoch=0, place=0), 0, 4)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(np.hstack([numbers[:-1], numbers[1:]]).T) - np.eye(8)).max() < 0.04
    assert len(np.unique(numbers)) == numbers.size


def test_a_row_has_as_many_numbers_as_a_view_wants() -> None:
    for random in row_randoms([7, 8], seed=0, epoch=0, place=0):
        found = [random.random() for _ in range(1000)]
    assert found == uniforms(row_keys([8], seed=0, epoch=0, place=0), 0, 1000)[0].tolist()
    assert len(set(found)) == 1000 > READY
    assert sorted(random.sample(range(9), 9)) == list(range(9))  # what random.Random has works too


@pytest.mark.parametrize(("size", "count"), [(1, 1), (5, 1), (5, 2), (5, 5), (50, 7)])
def test_choices_are_distinct_and_even(size: int, count: int) -> None:
    random, times = RowRandom(), np.zeros(size)
    for number in range(3000):
        found = choose(random.start(number * 977, []), size, count)
        assert found == sorted(set(found))
        assert len(found) == count
        times[found] += 1
    if count < size:
        assert stats.chisquare(times).pvalue > 1e-4
