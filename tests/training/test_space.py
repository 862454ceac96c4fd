"""The cheap figures of a batch against the same written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nearfar as nf
from nearfar.contrasts import Contrast, graded
from nearfar.data.groups import numbers_of, shares_of
from nearfar.training.space import effective_negatives, space_of


def rows(count: int, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)) + 0.3


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pairs_of(count: int, groups: list[int] | None = None) -> tuple[Contrast, np.ndarray, np.ndarray]:
    anchors, positives = rows(count), rows(count, seed=1)
    ids = None if groups is None else torch.tensor(groups)
    contrast = nf.pairs(torch.from_numpy(anchors), torch.from_numpy(positives), groups=ids)
    return contrast, unit(anchors), unit(positives)


def test_figures_of_pairs() -> None:
    contrast, anchors, positives = pairs_of(20)
    found = space_of(contrast, nf.InfoNCELoss())
    assert found["alignment"] == pytest.approx(np.mean(np.sum((anchors - positives) ** 2, axis=1)))
    distances = [np.sum((anchors[i] - anchors[j]) ** 2) for i in range(20) for j in range(i)]
    assert found["uniformity"] == pytest.approx(np.log(np.mean(np.exp(-2 * np.array(distances)))))
    assert found["mean_cosine"] == pytest.approx(1 - np.mean(distances) / 2)
    values = np.linalg.svd(anchors, compute_uv=False)
    shares = values / values.sum()
    assert found["effective_rank"] == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    assert found["rank_bound"] == 6


def test_effective_negatives_are_those_of_the_softmax() -> None:
    groups = [0, 0, *range(1, 9)]
    contrast, anchors, positives = pairs_of(10, groups)
    wanted = []
    for i in range(10):
        far = [j for j in range(10) if groups[i] != groups[j]]
        share = np.exp(anchors[i] @ positives[far].T / 0.1)
        wanted.append(share.sum() ** 2 / np.sum(share**2))
    found = effective_negatives(contrast, nf.InfoNCELoss(temperature=0.1))
    assert found == pytest.approx(np.mean(wanted), rel=1e-5)


def test_a_margin_counts_the_candidates_within_it() -> None:
    """Contrastive loss has slope (m - D) / D in D^2, up to a factor, and none beyond the margin."""
    contrast, _, _ = pairs_of(8)
    found = effective_negatives(contrast, nf.ContrastiveLoss(margin=20.0))
    raw = contrast.anchors.numpy(), contrast.candidates.numpy()
    distances = np.linalg.norm(raw[0][:, None] - raw[1][None], axis=2)
    pull = np.maximum(0, 20 - distances) / distances
    np.fill_diagonal(pull, 0)
    assert found == pytest.approx(np.mean(pull.sum(1) ** 2 / np.sum(pull**2, axis=1)), rel=1e-4)
    assert effective_negatives(contrast, nf.ContrastiveLoss(margin=1e-3)) is None


def test_what_has_no_meaning_is_none() -> None:
    first, second = torch.from_numpy(rows(5)), torch.from_numpy(rows(5, seed=2))
    found = space_of(graded(first, second, torch.arange(5.0)), nf.CoSENTLoss())
    assert (found["alignment"], found["effective_negatives"]) == (None, None)
    assert found["effective_rank"] is not None
    several = graded(first, torch.stack([second, first.flip(0)], 1), torch.arange(10.0).reshape(5, 2))
    for taught in (nf.MarginMSELoss(), nf.Matryoshka(nf.MarginMSELoss(), dims=[2])):
        assert effective_negatives(several, taught) is None  # by degrees, none is far
    assert effective_negatives(graded(first, second, torch.arange(5.0)), nf.MarginMSELoss()) is None
    lifted = effective_negatives(nf.pairs(first, second), nf.LiftedStructuredLoss())
    assert lifted is None or lifted >= 1


def test_one_point_has_rank_one_and_labels_are_aligned_within_a_class() -> None:
    point = torch.ones(6, 4)
    found = space_of(nf.labelled(point, torch.tensor([0, 0, 0, 1, 1, 1])), nf.SupConLoss())
    assert found["alignment"] == pytest.approx(0)
    assert found["effective_rank"] == pytest.approx(1, abs=1e-5)
    assert (found["mean_cosine"], found["uniformity"]) == (pytest.approx(1), pytest.approx(0))


@given(st.integers(0, 100))
def test_a_rotation_changes_nothing(seed: int) -> None:
    contrast, _, _ = pairs_of(12)
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 6)))[0])
    turned = contrast.recipe.again(embedding=lambda part: part @ turn)
    before, after = (space_of(one, nf.InfoNCELoss()) for one in (contrast, turned))
    assert after == pytest.approx(before, rel=1e-4)


def ids(*texts: str) -> np.ndarray:
    return numbers_of(texts)


def test_shared_and_crossed_rows() -> None:
    anchors, positives = ids("a", "a", "b", "c"), ids("k", "l", "m", "b")
    assert shares_of("pairs", [anchors, positives], None) == (0.5, 0.0)
    assert shares_of("views", [anchors, anchors], None) == (0.5, 0.0)
    assert shares_of("labelled", [ids("a", "a", "b", "b")], np.array([0, 1, 2, 2])) == (1.0, 0.5)
    assert shares_of("graded", [ids("a", "a"), ids("b", "b")], np.zeros(2)) == (0.0, 0.0)
