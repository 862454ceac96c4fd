"""An encoder that is trained contrastively, as a transformer of scikit-learn.

from nearfar.integrations.sklearn import ContrastiveEncoder

make_pipeline(ContrastiveEncoder(epochs=20), LogisticRegression()).fit(texts, labels)
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from nearfar.data import Table
from nearfar.data.cells import shown
from nearfar.errors import InputError
from nearfar.settings import Precision, Settings, Subwords
from nearfar.training import train


@dataclass(eq=False, repr=False)
class ContrastiveEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Texts to vectors, by an encoder that `fit` trains.

    The parameters are those of `nearfar.Settings`, which says what each does, with the same defaults but for
    `held_out`: here nothing is held out of what `fit` is given, since cross-validation does that. Equal parameters
    and data give equal vectors, and `fit` leaves the global random states as they were.

    What `fit(X, y)` trains on:

    | X | y | contrast |
    | --- | --- | --- |
    | texts | None | each text and another view of it (`view`) |
    | texts | labels | equal labels are near |
    | rows of two texts | None | anchor and positive |
    | rows of three texts or more | None | anchor, positive and negatives |
    | rows of two texts | numbers | graded pairs, for the objectives cosent and angle |

    Attributes:
        model_: the trained `SentenceTransformer`.
        settings_: `nearfar.Settings` of the run, with every None resolved.
        n_features_out_: numbers in a vector.
    """

    encoder: str = "static"
    objective: str = "infonce"
    _: KW_ONLY
    temperature: float | None = None
    matryoshka: Sequence[int] = ()
    view: Sequence[str] = ("dropout",)
    epochs: int | None = None
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None
    chunk_tokens: int | None = None
    keep_mib: int | None = None
    lora: int | None = None
    lora_alpha: float | None = None
    freeze: int | None = None
    prompt: Sequence[str] = ()
    batches: str = "shuffled"
    per_class: int = 4
    learning_rate: float | None = None
    warmup: float = 0.1
    accumulate: int = 1
    gradient_clip: float | None = None
    precision: Precision | None = None
    evaluations: int = 10
    held_out: float = 0.0
    queue: int = 0
    momentum: float = 0.995
    mixed: int = 0
    guide: str | None = None
    guide_margin: float = 0.0
    mine_every: int | None = None
    mine_count: int = 1
    token_dropout: float | None = None
    weight_learning_rate: float | None = None
    sif: float = 3e-3
    width: int | None = None
    vocabulary: int | None = None
    tokenizer: Subwords = "wordpiece"
    seed: int = 0

    def fit(self, X: Any, y: Any = None) -> ContrastiveEncoder:
        """Train the encoder.

        Args:
            X: texts, or rows of texts: a list, an array, a column or a frame; see the table of the class.
            y: labels of texts, scores of pairs, or None.

        Raises:
            InputError: a ValueError: X is neither, y does not suit it, or the settings do not suit the data.
        """
        given = {name: plain(value) for name, value in self.get_params(deep=False).items()}
        settings = Settings.build(given, type(self).__name__)
        table = Table.from_columns(columns_of(X, y), source="X")
        with random_states_kept():
            outcome = train(table, settings=settings)
        self.model_, self.settings_ = outcome.model, outcome.settings
        self.n_features_out_ = int(outcome.model.get_embedding_dimension() or 0)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """``(n, n_features_out_)``: a vector a text.

        Raises:
            InputError: a ValueError: X is not a list, an array or a column of texts.
            NotFittedError: before `fit`.
        """
        check_is_fitted(self)
        rows = rows_of(X)
        if len(rows[0]) > 1:
            raise InputError(f"X: found rows of {len(rows[0])} texts, wanted single texts to transform")
        vectors: NDArray[np.float32] = self.model_.encode([text for (text,) in rows], show_progress_bar=False)
        return vectors.astype(np.float32, copy=False)

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn may expect: texts, and labels where there are some."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.transformer_tags.preserves_dtype = []
        return tags


def columns_of(X: Any, y: Any) -> dict[str, Sequence[Any]]:
    """The columns of a table by role: see the table of `ContrastiveEncoder`."""
    rows = rows_of(X)
    if len(rows) < 2:
        raise InputError("X: found 1 sample, wanted at least 2 to contrast with each other")
    columns: list[Sequence[Any]] = [list(column) for column in zip(*rows, strict=True)]
    if y is not None:
        y = column_or_1d(y)
        check_consistent_length(rows, y)
    if len(columns) == 1:
        return {"text": columns[0]} | ({} if y is None else {"label": labels_of(y)})
    if y is None:
        negatives = [f"negative_{number}" for number in range(1, len(columns) - 1)]
        return dict(zip(("anchor", "positive", *negatives), columns, strict=True))
    if len(columns) > 2:
        raise InputError(f"y: found numbers for rows of {len(columns)} texts, wanted rows of two, or no y")
    return {"sentence1": columns[0], "sentence2": columns[1], "score": y.tolist()}


def rows_of(X: Any) -> list[tuple[str, ...]]:
    """At least one row, each of the same number of texts: one for plain texts.

    Raises:
        InputError: X holds none, or anything else.
    """
    if issparse(X):
        raise InputError("X: found a sparse matrix, wanted a list, an array or a column of texts")
    cells = np.asarray(X, dtype=object) if hasattr(X, "__array__") else X  # a frame would give its columns' names
    if isinstance(cells, str) or not isinstance(cells, Collection) or getattr(cells, "ndim", 1) == 0:
        raise InputError(f"X: found {shown(X)}, wanted a list, an array or a column of texts")
    rows = [(row,) if isinstance(row, str) else _texts(row, number) for number, row in enumerate(cells)]
    if not rows:
        raise InputError("X: found 0 sample(s), wanted at least one text")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise InputError(f"X: found {len(row)} texts in row {number}, wanted {len(rows[0])} as in row 0")
    return rows


def _texts(row: Any, number: int) -> tuple[str, ...]:
    cells = tuple(row) if isinstance(row, list | tuple | np.ndarray) else (row,)
    for cell in cells:
        if not isinstance(cell, str):
            raise InputError(f"X: found {shown(cell)} in row {number}, wanted a text")
    if not cells:
        raise InputError(f"X: found 0 texts in row {number}, wanted at least one")
    return cells


def labels_of(y: NDArray[Any]) -> list[Any]:
    """Labels as Python's own values; raises an InputError where they are numbers that name no classes."""
    if (kind := type_of_target(y)) not in ("binary", "multiclass"):
        raise InputError(f"y: Unknown label type: found {kind} values, wanted labels: whole numbers, booleans or texts")
    labels: list[Any] = y.tolist()
    return labels


def plain(value: Any) -> Any:
    """A parameter as `Settings` wants it: numbers of Python, which a grid may hold as numpy's, and lists."""
    value = value.item() if isinstance(value, np.generic) else value
    return list(value) if isinstance(value, tuple | np.ndarray) else value


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Python's, numpy's and torch's global random states are afterwards what they were before the block."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
