"""Neighbours, hubs, hardness, false negatives and views against plain loops and autograd."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.analysis import (
    false_negatives,
    gradient_norms,
    hardness,
    hubness,
    invariance,
    nearest,
    neighbour_overlap,
)
from nearfar.analysis.invariance import moved_texts
from nearfar.errors import InputError


def cloud(rows: int, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    first, second = (side.astype(np.float64) / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    return first @ second.T


def nearest_by_hand(x: np.ndarray, k: int) -> np.ndarray:
    scores = cosines(x, x)
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1)[:, :k]


def test_nearest_hubness_and_overlap_by_hand() -> None:
    x, y = cloud(150), cloud(150, seed=1)
    np.testing.assert_array_equal(nearest(x, k=5).places, wanted := nearest_by_hand(x, 5))
    counts = np.bincount(wanted.ravel(), minlength=150)
    found = hubness(x, k=5)
    np.testing.assert_array_equal(found.counts, counts)
    assert found.skewness == pytest.approx(((counts - 5) ** 3).mean() / counts.std() ** 3)
    assert found.antihubs == np.mean(counts == 0)
    assert set(found.hubs) == set(np.flatnonzero(counts > 5 + 2 * counts.std()))
    assert counts[found.hubs].tolist() == sorted(counts[found.hubs], reverse=True)
    shared = [len({*a} & {*b}) / 5 for a, b in zip(wanted, nearest_by_hand(y, 5), strict=True)]
    assert neighbour_overlap(x, y, k=5) == pytest.approx(np.mean(shared))
    assert neighbour_overlap(x, 2 * x, k=5) == 1


def test_equal_rows_are_each_others_neighbours_and_never_their_own() -> None:
    x = np.ones((30, 4), np.float32)
    places = nearest(x, k=3).places
    assert (places != np.arange(30)[:, None]).all()
    assert all(len(set(row)) == 3 for row in places.tolist())
    with pytest.raises(InputError, match="k: found 30 with 30 embeddings"):
        nearest(x, k=30)


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("groups", [None, [0, 0, 1, 2, 2, 2, *range(3, 27)]])
def test_hardness_of_one_batch_by_hand(groups: list[int] | None) -> None:
    x, y = cloud(30), cloud(30, seed=1)
    found = hardness(x, y, temperatures=[0.05, 0.5], groups=groups)
    scores, of = cosines(x, y), groups or list(range(30))
    for i in range(30):
        far = sorted((scores[i, j] for j in range(30) if of[i] != of[j]), reverse=True)
        assert found.negatives[i] == len(far)
        for row, temperature in enumerate((0.05, 0.5)):
            share = softmax([score / temperature for score in far])
            assert found.effective[row, i] == pytest.approx(1 / sum(r * r for r in share), rel=1e-3)
            carried = [sum(share[: max(1, math.ceil(f * len(far) - 1e-6))]) for f in found.fractions]
            np.testing.assert_allclose(found.shares[row, :, i], carried, rtol=1e-3)


def test_temperature_goes_from_the_hardest_to_all() -> None:
    found = hardness(cloud(400), batch_size=64, temperatures=[1e-4, 0.1, 100.0])
    assert found.negatives.max() <= 63
    assert found.effective[0].mean() < 1.2
    np.testing.assert_allclose(found.effective[2], found.negatives, rtol=1e-3)
    np.testing.assert_allclose(found.shares[:, -1], 1, atol=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_gradient_norms_are_those_of_the_objective(temperature: float) -> None:
    x, y = cloud(40), cloud(40, seed=1) + cloud(40)
    leaf = torch.nn.functional.normalize(torch.from_numpy(x).double(), dim=1).requires_grad_()
    objective = nf.InfoNCELoss(temperature=temperature, reduction="sum")
    loss = objective(nf.pairs(leaf, torch.from_numpy(y).double()))
    (slope,) = torch.autograd.grad(loss, leaf)
    wanted = slope.norm(dim=1).numpy() * temperature
    np.testing.assert_allclose(gradient_norms(x, y, temperature=temperature), wanted, rtol=1e-3, atol=1e-6)


def test_learnt_pairs_have_next_to_no_gradient() -> None:
    assert gradient_norms(x := np.eye(50), x, temperature=0.05).max() < 1e-6


@pytest.mark.parametrize("block", [7, 2048])
def test_false_negatives_are_the_highest_far_cosines(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["nearfar.analysis.false_negatives"], "BLOCK", block)
    x, y = cloud(60), cloud(60, seed=1)
    groups = np.arange(60) // 2
    scores = cosines(x, y)
    far = [(scores[i, j], i, j) for i in range(60) for j in range(60) if groups[i] != groups[j]]
    wanted = sorted(far, reverse=True)[:25]
    found = false_negatives(x, y, groups=groups, count=25)
    assert list(zip(found.rows, found.others, strict=True)) == [(i, j) for _, i, j in wanted]
    np.testing.assert_allclose(found.cosines, [s for s, _, _ in wanted], atol=1e-6)
    alone = false_negatives(x, count=10_000)
    assert len(alone.rows) == 60 * 59 // 2
    assert (alone.rows < alone.others).all()


def test_a_planted_false_negative_is_first() -> None:
    x = cloud(500, 32)
    y = x + 0.3 * cloud(500, 32, seed=1)
    y[77] = x[402] + 0.01 * cloud(500, 32, seed=2)[402]
    found = false_negatives(x, y, count=5)
    assert (found.rows[0], found.others[0]) == (402, 77)


def test_invariance_is_measured_in_ways_to_the_nearest_neighbour() -> None:
    angle = np.array([0.0, 0.4, 1.0])
    x, moved = (np.stack([np.cos(a), np.sin(a)], axis=1) for a in (angle, angle + np.array([0.0, 0.1, -0.6])))
    way = [0, 2 * math.sin(0.05), 2 * math.sin(0.3)]
    yardstick = [2 * math.sin(0.2), 2 * math.sin(0.2), 2 * math.sin(0.3)]
    np.testing.assert_allclose(invariance(x, moved), np.divide(way, yardstick), atol=1e-9)
    copies = np.concatenate([x, x])
    assert invariance(x, moved, among=copies).tolist() == [0, np.inf, np.inf]


def test_texts_through_views() -> None:
    texts = ["one two three four five six", "a cat sleeps on the old sofa"]
    found = moved_texts(texts, ["delete:share=0.5", "swap"], seed=1)
    assert list(found) == ["delete:share=0.5", "swap"]
    assert found["swap"][0] == texts
    assert found["delete:share=0.5"][1] != texts
    assert found == moved_texts(texts, ["delete:share=0.5", "swap"], seed=1)
    with pytest.raises(InputError, match="view of token vectors"):
        moved_texts(texts, ["cutoff"])
