"""Measurements of the space against plain loops, what they do not depend on, and whether their spread is right."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.metrics import roc_auc_score, silhouette_score, v_measure_score

from nearfar.analysis import (
    alignment,
    auc,
    cka,
    clustering,
    dimension_importance,
    drift,
    effective_rank,
    geometry,
    histogram,
    interval,
    mean_cosine,
    overlap,
    participation_ratio,
    silhouette,
    similarity,
    spectrum,
    uniformity,
    v_measure,
)
from nearfar.analysis.spectrum import ranks_by_group
from nearfar.errors import InputError


def cloud(rows: int, width: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)) + shift


def units(rows: np.ndarray) -> list[list[float]]:
    return [[value / math.sqrt(sum(v * v for v in row)) for value in row] for row in rows.tolist()]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def uniformity_by_hand(x: np.ndarray, t: float) -> float:
    rows = units(x)
    terms = [math.exp(-t * (2 - 2 * dot(a, b))) for i, a in enumerate(rows) for b in rows[:i]]
    return math.log(sum(terms) / len(terms))


@pytest.mark.parametrize("t", [0.5, 2.0, 5.0])
def test_uniformity_and_mean_cosine_go_over_each_pair_once(t: float) -> None:
    x = cloud(40, 6, shift=0.3)
    rows = units(x)
    assert uniformity(x, t=t) == pytest.approx(uniformity_by_hand(x, t), abs=2e-6)
    cosines = [dot(a, b) for i, a in enumerate(rows) for b in rows[:i]]
    assert mean_cosine(x) == pytest.approx(sum(cosines) / len(cosines), abs=1e-12)


@pytest.mark.parametrize("block", [1, 7, 16, 300])
def test_blocks_do_not_matter(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = cloud(50, 8)
    whole = geometry.uniformity_by_row(x)
    monkeypatch.setattr(geometry, "BLOCK", block)
    np.testing.assert_allclose(geometry.uniformity_by_row(x), whole, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are read from /proc")
def test_uniformity_never_holds_all_pairs() -> None:
    """The scores of 20,000 rows would be 1,526 MiB; a copy of the rows and a block of scores are 36."""
    script = Path(__file__).parents[2] / "benchmarks" / "analysis.py"
    done = subprocess.run([sys.executable, script, "uniformity", "20000"], capture_output=True, text=True, check=True)
    found = re.search(r"(-?\d+) MiB beyond the input", done.stdout)
    assert found, done.stdout
    assert int(found[1]) < 120


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_alignment_is_a_mean_of_distances(alpha: float) -> None:
    x, y = cloud(30, 5), cloud(30, 5, seed=1)
    wanted = [math.dist(a, b) ** alpha for a, b in zip(units(x), units(y), strict=True)]
    assert alignment(x, y, alpha=alpha) == pytest.approx(sum(wanted) / 30, abs=1e-12)
    assert alignment(x, 3 * x) == pytest.approx(0, abs=1e-12)


def test_spectrum_is_that_of_the_centred_unit_rows() -> None:
    x = cloud(60, 7, shift=0.5) * np.arange(1, 8)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    np.testing.assert_allclose(spectrum(x), singular**2 / 60, atol=1e-14)
    share = singular / singular.sum()
    assert effective_rank(x) == pytest.approx(math.exp(-sum(p * math.log(p) for p in share)), rel=1e-9)
    assert participation_ratio(x) == pytest.approx(sum(singular**2) ** 2 / sum(singular**4), rel=1e-9)


def test_what_each_dimension_makes_up_adds_up() -> None:
    x, y = cloud(50, 6, shift=0.2), cloud(50, 6, seed=1) + cloud(50, 6, shift=0.2)
    found = dimension_importance(x, y)
    rows, others = np.array(units(x)), np.array(units(y))
    assert found.length.sum() == pytest.approx(1)
    assert found.shared.sum() == pytest.approx(mean_cosine(x), abs=1e-12)
    between = rows[:, None] * others[None]
    same = np.eye(50, dtype=bool)
    np.testing.assert_allclose(found.gap, between[same].mean(axis=0) - between[~same].mean(axis=0), atol=1e-12)
    assert dimension_importance(x).gap is None


def test_cka_by_kernels() -> None:
    x, y = cloud(25, 4), cloud(25, 6, seed=1)
    y[:, 0] = x[:, 0]
    centre = np.eye(25) - 1 / 25
    kernels = [centre @ (r := np.array(units(side))) @ r.T @ centre for side in (x, y)]
    wanted = np.sum(kernels[0] * kernels[1]) / np.linalg.norm(kernels[0]) / np.linalg.norm(kernels[1])
    assert cka(x, y) == pytest.approx(wanted, abs=1e-12)


def test_near_and_far_against_scikit_learn_and_counting() -> None:
    random = np.random.default_rng(0)
    near, far = random.normal(1, 1, 80).round(1), random.normal(0, 2, 300).round(1)
    truth = [1] * 80 + [0] * 300
    assert auc(near, far) == pytest.approx(roc_auc_score(truth, [*near, *far]), abs=1e-12)
    edges, first, second = histogram(near, far, bins=20)
    for shares, sample in ((first, near), (second, far)):
        counts = [sum(a <= v < b for v in sample) for a, b in pairwise(edges)]
        counts[-1] += sum(v == edges[-1] for v in sample)
        np.testing.assert_allclose(shares, np.array(counts) / len(sample))
    assert overlap(near, far, bins=20) == pytest.approx(np.minimum(first, second).sum())
    assert overlap(near, near) == pytest.approx(1)
    assert overlap(near, far + 100) == 0
    with pytest.raises(InputError, match="0 near and 300 far cosines"):
        auc([], far)


def test_clusters_and_labels_against_scikit_learn() -> None:
    labels = np.random.default_rng(0).integers(0, 4, 120)
    x = cloud(120, 5) + 1.5 * np.eye(5)[labels]
    wanted = v_measure_score(labels, clustering.clusters(x, 4))
    assert v_measure(x, labels.tolist()) == pytest.approx(wanted, abs=1e-12)
    assert silhouette(x, labels.tolist()) == pytest.approx(silhouette_score(x, labels, metric="cosine"), abs=1e-9)
    lone = [*labels[:-1].tolist(), 9]
    assert silhouette(x, lone) == pytest.approx(silhouette_score(x, lone, metric="cosine"), abs=1e-9)
    assert clustering.agreement_by_row(np.zeros(5, int), np.zeros(5, int)).tolist() == [1] * 5


FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    "uniformity": uniformity,
    "mean_cosine": mean_cosine,
    "effective_rank": effective_rank,
    "participation_ratio": participation_ratio,
    "alignment": lambda x: alignment(x[:-1], x[1:]),
    "cka": lambda x: cka(x, x**3),
}


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("cka", "alignment")])
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), rows=st.integers(3, 40), width=st.integers(2, 9))
def test_order_rotation_and_length_do_not_matter(name: str, seed: int, rows: int, width: int) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, width)) + random.normal(size=width)
    turned = x @ ortho_group.rvs(width, random_state=seed) if width > 1 else x
    changed = random.permutation(turned) * random.uniform(0.1, 9, (rows, 1))
    assert FIGURES[name](changed) == pytest.approx(FIGURES[name](x), rel=1e-4, abs=1e-5)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), rows=st.integers(5, 40))
def test_a_rotated_copy_is_the_same_space(seed: int, rows: int) -> None:
    x, y = cloud(rows, 5, seed), cloud(rows, 5, seed + 1)
    turned = 7 * x @ ortho_group.rvs(5, random_state=seed)
    assert cka(x, turned) == pytest.approx(1, abs=1e-9)
    assert cka(x, y) == pytest.approx(cka(turned, y), abs=1e-9)
    assert alignment(x, y) == pytest.approx(alignment(x[::-1], y[::-1]), abs=1e-12)


def bounded(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One near and five far numbers a row, in a range that hardly depends on the sample, as the edges of bins do."""
    return np.tanh(2 * x[:, 0] + 1), np.tanh(2 * x[:, 1:6]).ravel()


BY_ROW: dict[str, tuple[Callable[[np.ndarray], float], Callable[[np.ndarray], np.ndarray]]] = {
    "uniformity": (uniformity, geometry.uniformity_by_row),
    "mean_cosine": (mean_cosine, geometry.mean_cosine_by_row),
    "effective_rank": (effective_rank, lambda x: ranks_by_group(x)[0]),
    "participation_ratio": (participation_ratio, lambda x: ranks_by_group(x)[1]),
    "cka": (lambda x: cka(x, x**3), lambda x: drift.cka_by_group(x, x**3)),
    "auc": (
        lambda x: auc(x[:, 0] + 0.5, x[:, 1:6].ravel()),
        lambda x: similarity.auc_by_row(
            x[:, 0] + 0.5, x[:, 1:6].ravel(), np.arange(len(x)), np.repeat(np.arange(len(x)), 5)
        ),
    ),
    "overlap": (
        lambda x: overlap(*bounded(x), bins=8),
        lambda x: similarity.overlap_by_row(*bounded(x), np.arange(len(x)), np.repeat(np.arange(len(x)), 5), bins=8),
    ),
    "v_measure": (
        lambda x: v_measure_score(x[:, 0] > 0, x[:, 0] + x[:, 1] > 0),
        lambda x: clustering.agreement_by_row((x[:, 0] > 0).astype(int), (x[:, 0] + x[:, 1] > 0).astype(int)),
    ),
}


@pytest.mark.parametrize("name", BY_ROW)
def test_the_spread_over_rows_is_that_over_other_samples(name: str) -> None:
    """The standard error that an interval comes from, against what 200 fresh samples really do."""
    figure, by_row = BY_ROW[name]
    rows, width = (300, 8)
    scale = np.arange(1, width + 1) ** -0.5
    fresh = [cloud(rows, width, seed, shift=0.2) * scale for seed in range(200)]
    shares = [by_row(x) for x in fresh[:40]]
    for x, share in zip(fresh, shares, strict=False):
        assert share.mean() == pytest.approx(figure(x), abs=1e-5)
    expected = np.median([share.std(ddof=1) / math.sqrt(len(share)) for share in shares])
    assert expected == pytest.approx(np.std([figure(x) for x in fresh]), rel=0.25)


def test_an_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    low, high = interval(values)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.03)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert interval(values, resamples=0) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniformity(np.ones((1, 3))), "found 1 embeddings, wanted at least 2"),
        (lambda: uniformity(np.ones((4, 3)), t=0), "t: found 0, wanted a number above 0"),
        (lambda: alignment(np.ones((4, 3)), np.ones((5, 3))), "found 4 and 5 embeddings"),
        (lambda: spectrum([[1.0, 2.0], [np.nan, 1.0]]), "1 of 2 embeddings hold NaN or infinity, the first in row 2"),
    ],
)
def test_what_cannot_be_measured_says_so(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()
