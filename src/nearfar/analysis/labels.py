"""Do embeddings tell labels apart? k nearest neighbours and a linear probe, cross-validated.

Both predict each row from folds it is not in, the same stratified folds, through scikit-learn. k-NN reads
the neighbourhoods as they are (cosine); the probe asks whether a hyperplane could tell the labels apart
(Alain & Bengio 2016), on standardised columns, so that it does not depend on the scale of the embeddings.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis.vectors import Vectors
from nearfar.errors import InputError

FOLDS = 5
NEIGHBOURS = 10
MOST_ROWS = 10_000
"""More rows than this are sampled down to it: a probe's time grows with rows times labels."""


@dataclass(frozen=True)
class Trial:
    """Which rows are judged and how: their places, their labels as numbers, the folds, and k."""

    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    folds: int
    neighbours: int


def codes_of(labels: Sequence[Hashable]) -> NDArray[np.int64]:
    """Labels as numbers from 0, in the order of their names: `(n,)`."""
    return np.asarray(np.unique(np.asarray(labels), return_inverse=True)[1], dtype=np.int64)


def trial_of(labels: Sequence[Hashable], *, seed: int, source: str) -> Trial:
    """The rows of `labels` that can be cross-validated.

    At most `MOST_ROWS`, drawn by `seed`; without the labels of a single row, which no fold could learn.
    `FOLDS` folds, fewer where the rarest label has fewer rows (never under 2). k is `NEIGHBOURS`, at most the
    rows that the median label has in the training folds: beyond these the others outvote it. The median
    and not the rarest, so that one label of two rows does not make a 1-NN of everybody's.

    Raises `InputError`, which names the label, where fewer than two labels remain.
    """
    drawn = np.arange(len(labels))
    if len(labels) > MOST_ROWS:
        drawn = np.sort(np.random.default_rng(seed).choice(drawn, MOST_ROWS, replace=False))
    names, codes, counts = np.unique(np.asarray(labels)[drawn], return_inverse=True, return_counts=True)
    kept = counts[codes] > 1
    counts = counts[counts > 1]
    if len(counts) < 2:
        raise InputError(f"{source}: {_nothing_to_tell(names, codes[kept])}")
    folds = min(FOLDS, int(counts.min()))
    in_training = int(np.median(counts) * (folds - 1) / folds)
    return Trial(drawn[kept], codes[kept], folds, max(1, min(NEIGHBOURS, in_training)))


def _nothing_to_tell(names: NDArray[np.generic], codes: NDArray[np.int64]) -> str:
    wanted = "wanted at least 2 labels of at least 2 rows each"
    if len(codes) == 0:
        return f"no label has more than one row (the first is {names[:1].tolist()}), {wanted}"
    only = names[codes[0]].item()
    others = len(names) - 1
    rest = f", besides {others} of a single row" if others else ""
    return f"the only label is {only!r}{rest}, {wanted}"


def hits_by_row(embeddings: Vectors, trial: Trial, *, seed: int) -> dict[str, NDArray[np.float64]]:
    """1 where a row's label is predicted rightly and 0 where not: two arrays `(n,)`, whose means are the
    accuracies. `embeddings` `(n, d)` are those of `trial.rows`; `seed` shuffles the rows into folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # float64: lbfgs gives up its line search early on float32.
    rows = np.asarray(embeddings, dtype=np.float64)
    folds = StratifiedKFold(trial.folds, shuffle=True, random_state=seed)
    judges = {
        "knn_accuracy": KNeighborsClassifier(trial.neighbours, metric="cosine"),
        "linear_accuracy": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    }
    return {
        name: (cross_val_predict(judge, rows, trial.codes, cv=folds) == trial.codes).astype(np.float64)
        for name, judge in judges.items()
    }
