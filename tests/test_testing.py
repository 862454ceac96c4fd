"""The public laws: every registered objective keeps them, and none of its mutants does."""

from __future__ import annotations

from functools import partial

import pytest

import nearfar as nf
from nearfar import testing
from nearfar.objectives import REGISTRY

FIT = {name: objective for name, objective in REGISTRY.items() if set(objective.contrasts) & set(testing.BUILDS)}
MAKE = FIT | {"infonce-symmetric": partial(nf.InfoNCELoss, symmetric=True)}
OPTIONS = {
    "spectral": {"monotone": False},  # a far score below 0 is drawn to 0 from either side
    "circle": {"differentiable": False},  # weights in it are held fixed
    "contrastive": {},
}


def make(name: str):  # type: ignore[no-untyped-def]
    """The objective in float64, with a margin that the inputs do not exceed."""
    margins = {"contrastive": {"margin": 4.0}, "triplet": {"margin": 4.0}}
    built = MAKE[name](**margins.get(name, {}))
    return built.double() if hasattr(built, "double") else built


def check(name: str, objective) -> None:  # type: ignore[no-untyped-def]
    testing.check_objective(lambda: objective, **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", MAKE)
def test_every_objective_keeps_the_laws(name: str) -> None:
    check(name, make(name))


def mutants() -> list:
    return [
        pytest.param(name, fault, id=f"{name}-{fault.replace(' ', '-')}")
        for name in MAKE
        for fault, _ in testing.mutants(make(name))
        # Without a check of gradients, or of what is ignored, these faults are another objective, not a wrong one.
        if not (fault.startswith("value") and name == "circle")
        and not (fault == "dropped mask" and name not in SEES_THE_BATCH)
    ]


SEES_THE_BATCH = [name for name in MAKE if "pairs" in MAKE[name]().contrasts]


@pytest.mark.parametrize(("name", "fault"), mutants())
def test_no_mutant_keeps_them(name: str, fault: str) -> None:
    broken = dict(testing.mutants(make(name)))[fault]
    with pytest.raises(AssertionError):
        check(name, broken)


def test_an_objective_on_ranks_of_their_own() -> None:
    testing.check_ranks(nf.InfoNCELoss)


def test_an_objective_of_other_contrasts_is_said_to_be_one() -> None:
    with pytest.raises(ValueError, match=r"^contrasts: found \('sampled',\), wanted some of pairs, "):
        testing.check_objective(nf.NCELoss)
