"""`ContrastiveEncoder`: scikit-learn's own checks, what it is trained on, and its place in pipelines and searches."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import nearfar as nf
from nearfar.integrations.sklearn import ContrastiveEncoder

SMALL: dict[str, Any] = {"steps": 4, "width": 8, "vocabulary": 150, "batch_size": 16}


class OfNumbers(ContrastiveEncoder):
    """Reads rows of numbers as words, since the checks know no texts."""

    def fit(self, X: Any, y: Any = None) -> ContrastiveEncoder:
        words = in_words(X)
        super().fit(words, y)
        self.columns_ = np.asarray(X).shape[1]
        return self

    def transform(self, X: Any) -> Any:
        words = in_words(X)
        if hasattr(self, "columns_") and np.asarray(X).shape[1] != self.columns_:
            raise ValueError(f"found {np.asarray(X).shape[1]} columns")
        return super().transform(words)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags


def in_words(X: Any) -> Any:
    """A text a row, for rows of numbers; anything else as it is."""
    if issparse(X) or np.asarray(X).ndim != 2:
        return X
    return [" ".join(f"c{place} v{cell}" for place, cell in enumerate(row)) for row in np.asarray(X).tolist()]


def does_not_apply(estimator: BaseEstimator) -> dict[str, str]:
    """Checks that mean numbers by their rows, each with the reason."""
    return {
        "check_n_features_in": "texts have no features to count",
        "check_n_features_in_after_fitting": "texts have no features to count",
        "check_estimators_empty_data_messages": "texts have no features of which there could be none",
        "check_estimators_nan_inf": "a text can be neither NaN nor infinite",
        "check_fit2d_predict1d": "one dimension is what texts have",
    }


@parametrize_with_checks([OfNumbers(**SMALL | {"steps": 2})], expected_failed_checks=does_not_apply)
def test_scikit_learns_checks(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


def test_what_it_is_given_is_what_it_says_it_takes() -> None:
    tags = ContrastiveEncoder().__sklearn_tags__().input_tags
    assert (tags.string, tags.one_d_array, tags.two_d_array) == (True, True, False)


def test_parameters_are_those_of_settings_with_their_defaults() -> None:
    fields = nf.Settings.model_fields
    for name, value in ContrastiveEncoder().get_params().items():
        default = fields[name].default
        assert value == (tuple(default) if isinstance(default, list) else 0 if name == "held_out" else default), name


TOPICS = {
    "weather": ("rain snow wind storm sun cloud frost fog".split(), "falls rises comes goes stays".split()),
    "kitchen": ("soup bread salt pepper onion butter rice tea".split(), "boils bakes cools burns smells".split()),
    "music": ("violin piano drum flute song choir tune harp".split(), "sounds plays echoes fades rings".split()),
}


def sentences(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts of a topic each, and the topics."""
    draw = random.Random(seed)
    topics = [draw.choice(list(TOPICS)) for _ in range(count)]
    parts = [(draw.choice(TOPICS[topic][0]), draw.choice(TOPICS[topic][1])) for topic in topics]
    return [f"the {noun} {verb} {draw.choice(['today', 'again', 'slowly'])}" for noun, verb in parts], topics


def test_pipeline_and_grid_search() -> None:
    """Words of a topic that never stand together come near each other by their labels alone."""
    texts, topics = sentences(240)
    pipeline = Pipeline([("encode", ContrastiveEncoder(width=16, vocabulary=200)), ("judge", LogisticRegression())])
    grid = {"encode__objective": ["supcon", "infonce"], "encode__epochs": np.array([1, 12])}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(texts[:160], topics[:160])
    assert search.score(texts[160:], topics[160:]) > 0.95
    assert search.best_estimator_["encode"].settings_.epochs in (1, 12)
    assert search.best_estimator_["encode"].transform(texts).shape == (240, 16)


def test_labels_bring_texts_together() -> None:
    texts, topics = sentences(120)
    same = np.equal.outer(np.array(topics), np.array(topics))
    gaps = []
    for labels, objective in ((None, "infonce"), (topics, "supcon")):
        encoder = ContrastiveEncoder(objective=objective, epochs=20, width=16, vocabulary=200).fit(texts, labels)
        vectors = encoder.transform(texts)
        cosines = vectors @ vectors.T
        gaps.append(cosines[same].mean() - cosines[~same].mean())
    assert gaps[1] > gaps[0] + 0.1


ROWS = [(f"question {n} of {n % 5}", f"answer {n}", f"another {n}") for n in range(40)]
TRAINED_ON = {
    "texts": ([row[0] for row in ROWS], None, {}),
    "an array of texts": (np.array([row[0] for row in ROWS]), None, {"objective": "ntxent"}),
    "a column of texts": (pd.Series([row[0] for row in ROWS]), None, {"view": ("crop", "typo")}),
    "a frame of one column": (pd.DataFrame({"a": [row[0] for row in ROWS]}), None, {}),
    "pairs": ([row[:2] for row in ROWS], None, {}),
    "an array of pairs": (np.array([row[:2] for row in ROWS]), None, {"batches": "no-duplicates"}),
    "triples in a frame": (pd.DataFrame(ROWS, columns=["a", "p", "n"]), None, {"objective": "triplet"}),
    "scores": ([row[:2] for row in ROWS], np.arange(40) / 40, {"objective": "cosent"}),
    "numbers of classes": ([row[0] for row in ROWS], np.arange(40) % 2, {"objective": "supcon"}),
    "booleans": ([row[0] for row in ROWS], pd.Series([n % 2 == 0 for n in range(40)]), {"batches": "per-class"}),
}


@pytest.mark.parametrize("case", TRAINED_ON)
def test_what_it_trains_on(case: str) -> None:
    X, y, options = TRAINED_ON[case]
    encoder = ContrastiveEncoder(**SMALL | options).fit(X, y)
    assert encoder.settings_.steps == 4
    vectors = encoder.transform(["question 3", "answer 5", ""])
    assert (vectors.shape, vectors.dtype) == ((3, 8), np.float32)
    np.testing.assert_array_equal(vectors, encoder.model_.encode(["question 3", "answer 5", ""]))


def test_pairs_come_near_each_other_though_they_share_no_word() -> None:
    texts = list(dict.fromkeys(sentences(80, seed=2)[0]))
    pairs = [(text, " ".join(word[::-1] for word in text.split())) for text in texts]
    encoder = ContrastiveEncoder(epochs=30, width=32).fit(pairs)
    first, second = (encoder.transform(list(column)) for column in zip(*pairs, strict=True))
    assert np.mean(np.argmax(first @ second.T, axis=1) == np.arange(len(pairs))) > 0.9


def test_copies_give_the_same_vectors_and_other_seeds_others() -> None:
    texts, topics = sentences(60)
    encoder = ContrastiveEncoder(**SMALL, seed=3, objective="supcon").fit(texts, topics)
    vectors = encoder.transform(texts)
    np.testing.assert_array_equal(vectors, pickle.loads(pickle.dumps(encoder)).transform(texts))
    np.testing.assert_array_equal(vectors, clone(encoder).fit(texts, topics).transform(texts))
    assert not np.array_equal(vectors, clone(encoder).set_params(seed=4).fit(texts, topics).transform(texts))


def test_names_of_features_and_frames() -> None:
    texts, topics = sentences(40)
    encoder = ContrastiveEncoder(**SMALL, objective="supcon").set_output(transform="pandas").fit(texts, topics)
    names = encoder.get_feature_names_out()
    assert names.tolist() == [f"contrastiveencoder{n}" for n in range(8)]
    frame = encoder.transform(pd.Series(texts, index=range(100, 140)))
    assert frame.columns.tolist() == names.tolist()
    table = pd.DataFrame({"text": texts, "length": [len(text) for text in texts]})
    mixed = make_column_transformer((ContrastiveEncoder(**SMALL), "text"), remainder="passthrough")
    assert mixed.fit_transform(table).shape == (40, 9)


def test_global_random_states_are_left_alone() -> None:
    draws = []
    for fit in (False, True):
        random.seed(5), np.random.seed(5), torch.manual_seed(5)
        if fit:
            ContrastiveEncoder(**SMALL).fit([row[0] for row in ROWS])
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


TEXTS = [row[0] for row in ROWS]
BAD: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "one text": ("question", None, {}, "X: found 'question', wanted a list"),
    "a number": ([1, 2], None, {}, "X: found 1 in row 0, wanted a text"),
    "nothing": ([], None, {}, "X: found 0 sample"),
    "a generator": ((text for text in TEXTS), None, {}, "wanted a list"),
    "uneven rows": ([("a", "b"), ("c",)], None, {}, "found 1 texts in row 1, wanted 2 as in row 0"),
    "an empty text": (["a", " "], None, {}, "row 2.*found an empty text"),
    "numbers for triples": (ROWS, np.arange(40.0), {"objective": "cosent"}, "rows of 3 texts"),
    "measures for labels": (TEXTS, np.arange(40) + 0.5, {}, "found continuous values, wanted labels"),
    "labels of another length": (TEXTS, [1, 2], {}, "inconsistent numbers of samples"),
    "one label": (TEXTS, ["a"] * 40, {"objective": "supcon"}, "one label only"),
    "an objective of other data": (TEXTS, ["a", "b"] * 20, {"objective": "cosent"}, "CoSENTLoss"),
    "an unknown objective": (TEXTS, None, {"objective": "infonse"}, "infonce"),
    "a wrong width": (TEXTS, None, {"width": 0}, "ContrastiveEncoder: width: found 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    X, y, options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        ContrastiveEncoder(**SMALL | options).fit(X, y)


def test_only_texts_can_be_transformed_and_only_after_fit() -> None:
    encoder = ContrastiveEncoder(**SMALL)
    with pytest.raises(NotFittedError):
        encoder.transform(TEXTS)
    with pytest.raises(ValueError, match="rows of 2 texts, wanted single texts"):
        encoder.fit(TEXTS).transform([row[:2] for row in ROWS])
    with pytest.raises(ValueError, match="rows of 2 texts"):
        make_pipeline(clone(encoder).set_params(objective="cosent"), LogisticRegression()).fit(
            [row[:2] for row in ROWS], np.arange(40) % 2
        )
