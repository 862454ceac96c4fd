"""The battery can fail: each of these mistakes, made on purpose, is caught by the comparison with the reference."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import nearfar as nf
from nearfar.contrasts import Strip
from nearfar.execution import Terms, total_loss
from tests.objectives.subjects import CASES, IDS, compare

Change = Callable[[Any, Tensor, Strip], tuple[Terms, Tensor]]


def flipped_slope(plain: Any, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
    terms, factor = plain.slopes_(scores, strip)
    return terms, -factor


def flipped_scores(plain: Any, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
    terms, factor = plain.slopes_(scores.neg_(), strip)
    return terms, -factor


def twice_the_loss(plain: Any, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
    terms, factor = plain.slopes_(scores, strip)
    return Terms(2 * terms.total, terms.weight), 2 * factor


def sum_for_mean(plain: Any, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
    terms, factor = plain.slopes_(scores, strip)
    return Terms(terms.total, terms.weight / 2), factor


def near_pull_lost(plain: Any, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
    terms, factor = plain.slopes_(scores, strip)
    scores[strip.near] = 0
    return terms, factor


NOTHING_TO_LEARN = ("one-class", "one-group", "single", "single-members")
LEARNABLE = [i for i, name in enumerate(IDS) if not name.endswith(NOTHING_TO_LEARN)]
every_case = pytest.mark.parametrize("index", LEARNABLE, ids=[IDS[i] for i in LEARNABLE])


@pytest.mark.parametrize(
    "change", [flipped_slope, flipped_scores, twice_the_loss, sum_for_mean, near_pull_lost], ids=lambda c: c.__name__
)
@every_case
def test_a_wrong_equation_is_caught(monkeypatch: pytest.MonkeyPatch, index: int, change: Change) -> None:
    class Wrong:
        def __init__(self, plain: Any) -> None:
            self.plain = plain

        def slopes_(self, scores: Tensor, strip: Strip) -> tuple[Terms, Tensor]:
            return change(self.plain, scores, strip)

    subject, _ = CASES[index]
    home = sys.modules[type(subject.make()).__module__]
    monkeypatch.setattr(home, "total_loss", lambda objective, *rest: total_loss(Wrong(objective), *rest))
    with pytest.raises(AssertionError):
        compare(index)


def changed_relation(change: Callable[[Strip], Strip]) -> Callable[[nf.Contrast], nf.Contrast]:
    return lambda contrast: replace(contrast, relation=lambda rows: change(contrast.relation(rows)))


def has_ignored(index: int) -> bool:
    contrast = CASES[index][1].contrast(*CASES[index][1].tensors())
    return len(contrast.relation(slice(0, len(contrast))).ignored[0]) > 0


@pytest.mark.parametrize(
    "index", [i for i in LEARNABLE if has_ignored(i)], ids=[IDS[i] for i in LEARNABLE if has_ignored(i)]
)
def test_a_dropped_mask_is_caught(index: int) -> None:
    nothing = torch.empty(0, dtype=torch.long)
    with pytest.raises(AssertionError):
        compare(index, change=changed_relation(lambda strip: Strip(strip.near, (nothing, nothing))))


@every_case
def test_a_near_candidate_that_is_off_by_one_is_caught(index: int) -> None:
    count = len(CASES[index][1].contrast(*CASES[index][1].tensors()).candidates)

    def shift(strip: Strip) -> Strip:
        return Strip((strip.near[0], (strip.near[1] + 1) % count), strip.ignored)

    with pytest.raises(AssertionError):
        compare(index, change=changed_relation(shift))


@pytest.mark.parametrize(
    "index", [i for i in LEARNABLE if CASES[i][1].options.get("weights")], ids=[n for n in IDS if n.endswith("weights")]
)
def test_dropped_weights_are_caught(index: int) -> None:
    with pytest.raises(AssertionError):
        compare(index, change=lambda contrast: replace(contrast, weights=None))
