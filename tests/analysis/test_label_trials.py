"""Which rows and folds a cross-validation takes, and that its accuracies are scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nearfar.analysis import labels as module
from nearfar.analysis import measure_labels
from nearfar.analysis.labels import trial_of
from nearfar.errors import InputError


def clouds(counts: dict[str, int], seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """A cloud of points for each label, in shuffled order."""
    random = np.random.default_rng(seed)
    labels = random.permutation([label for label, count in counts.items() for _ in range(count)])
    centre = {label: random.normal(size=12) for label in counts}
    points = np.stack([centre[label] for label in labels]) + 2 * random.normal(size=(len(labels), 12))
    return points.astype(np.float32), labels.tolist()


@pytest.mark.parametrize("seed", [0, 3])
def test_equals_scikit_learn(seed: int) -> None:
    points, labels = clouds({"b": 40, "a": 35, "c": 20})
    found = measure_labels(points, labels, seed=seed, resamples=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    neighbours = KNeighborsClassifier(10, metric="cosine")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    rows = points.astype(np.float64)
    # 95 rows in 5 folds of 19, so the mean over folds is the mean over rows.
    assert found.figures == pytest.approx(
        {
            "knn_accuracy": cross_val_score(neighbours, rows, labels, cv=folds).mean(),
            "linear_accuracy": cross_val_score(probe, rows, labels, cv=folds).mean(),
        },
        abs=1e-12,
    )


def test_nearest_neighbours_by_plain_loops() -> None:
    points, labels = clouds({"a": 13, "b": 12, "c": 11})
    trial = trial_of(labels, seed=0, source="memory")
    assert (trial.folds, trial.neighbours) == (5, 9)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    right = 0
    for train, test in folds.split(points, labels):
        for i in test:
            cosine = {j: points[i] @ points[j] / np.linalg.norm(points[j]) for j in train}
            nearest = [labels[j] for j in sorted(cosine, key=lambda j: -cosine[j])[:9]]
            right += min(set(nearest), key=lambda label: (-nearest.count(label), label)) == labels[i]
    found = measure_labels(points, labels, seed=0, resamples=0)
    assert found.figures["knn_accuracy"] == pytest.approx(right / len(labels), abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "folds", "neighbours"),
    [
        ({"a": 90, "b": 80}, 5, 10),
        ({"a": 4, "b": 4}, 4, 3),
        ({"a": 2, "b": 2}, 2, 1),
        ({"a": 60, "b": 60, "rare": 2}, 2, 10),
    ],
)
def test_folds_and_neighbours_follow_the_labels(counts: dict[str, int], folds: int, neighbours: int) -> None:
    points, labels = clouds(counts)
    trial = trial_of(labels, seed=0, source="memory")
    assert (trial.folds, trial.neighbours) == (folds, neighbours)
    assert measure_labels(points, labels, resamples=0).rows == len(labels)


def test_labels_of_a_single_row_are_left_out_and_counted() -> None:
    points, labels = clouds({"a": 9, "b": 9, "once": 1, "alone": 1})
    found = measure_labels(points, labels, resamples=50)
    assert (found.rows, found.left_out) == (18, 2)
    kept = [i for i, label in enumerate(labels) if label in "ab"]
    assert measure_labels(points[kept], [labels[i] for i in kept], resamples=50).figures == found.figures


def test_labels_may_be_numbers() -> None:
    points, labels = clouds({"a": 9, "b": 9})
    numbers = [{"a": 3, "b": 20}[label] for label in labels]
    assert measure_labels(points, numbers) == measure_labels(points, labels)


def test_many_rows_are_sampled_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 30)
    points, labels = clouds({"a": 50, "b": 50})
    found = measure_labels(points, labels, resamples=0)
    assert (found.rows, found.left_out) == (30, 70)
    first = trial_of(labels, seed=0, source="memory").rows
    assert first.tolist() == trial_of(labels, seed=0, source="memory").rows.tolist()
    assert first.tolist() != trial_of(labels, seed=1, source="memory").rows.tolist()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["only"] * 5, "tab.csv: the only label is 'only', wanted at least 2 labels"),
        (["big", "big", "x", "y"], "the only label is 'big', besides 2 of a single row, wanted"),
        (["x", "y", "z"], "no label has more than one row"),
        ([], "no label has more than one row"),
    ],
)
def test_nothing_to_tell_apart_is_the_users_error(labels: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        trial_of(labels, seed=0, source="tab.csv")
