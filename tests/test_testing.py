"""The public laws: every registered objective keeps them, and none of its mutants does."""

from __future__ import annotations

from functools import partial

import pytest

import nearfar as nf
from nearfar import testing
from nearfar.objectives import REGISTRY

MAKE = REGISTRY | {"infonce-symmetric": partial(nf.InfoNCELoss, symmetric=True)}
OPTIONS = {
    "spectral": {"monotone": False},  # a far score below 0 is drawn to 0 from either side
    "circle": {"differentiable": False},  # weights in it are held fixed
    "alignuniform": {"linear": False},  # the logarithm of a mean
    "angle": {"isotropic": False},  # reads halves of the space as real and imaginary parts
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


def test_parameters_of_float32_do_not_round_scores_of_float64() -> None:
    """Where anchors are the candidates each side takes the root of the learnt scale."""
    testing.check_objective(nf.SigmoidLoss)


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
    with pytest.raises(ValueError, match=r"^contrasts: found \('assigned',\), wanted some of pairs, "):
        testing.check_objective(Elsewhere)


class Elsewhere:
    contrasts = ("assigned",)


def test_an_objective_is_no_maker_of_one() -> None:
    with pytest.raises(ValueError, match=r"^make: found InfoNCELoss.*, wanted what builds an objective"):
        testing.check_objective(nf.InfoNCELoss())


def test_ranks_of_what_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"^kind: found 'assigned', wanted one of pairs, "):
        testing.check_ranks(nf.PrototypeLoss, "assigned")
    with pytest.raises(ValueError, match=r"^sizes: found \(3, 3\), wanted numbers from 1 up that add up to 7"):
        testing.check_ranks(nf.InfoNCELoss, sizes=(3, 3))
