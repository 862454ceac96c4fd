"""The equations: how hard near pulls and far pushes, each written once."""

import ast
import difflib
import inspect
from typing import Any

from nearfar.errors import InputError
from nearfar.objectives.base import Objective
from nearfar.objectives.graded import AnglELoss, CoSENTLoss, MarginMSELoss
from nearfar.objectives.graph import AlignUniformLoss, SpectralLoss
from nearfar.objectives.margin import ContrastiveLoss
from nearfar.objectives.matryoshka import Matryoshka
from nearfar.objectives.neighbours import LiftedStructuredLoss, SoftNearestNeighborsLoss
from nearfar.objectives.noise import NCELoss, NEGLoss, SigmoidLoss
from nearfar.objectives.prototypes import PrototypeLoss
from nearfar.objectives.softmax import InfoNCELoss, NPairLoss, NTXentLoss, SupConLoss
from nearfar.objectives.triplet import TripletLoss
from nearfar.objectives.weighted import CircleLoss, MultiSimilarityLoss

REGISTRY: dict[str, type[Objective]] = {
    "contrastive": ContrastiveLoss,
    "triplet": TripletLoss,
    "npair": NPairLoss,
    "nce": NCELoss,
    "neg": NEGLoss,
    "infonce": InfoNCELoss,
    "ntxent": NTXentLoss,
    "softnn": SoftNearestNeighborsLoss,
    "lifted": LiftedStructuredLoss,
    "supcon": SupConLoss,
    "sigmoid": SigmoidLoss,
    "spectral": SpectralLoss,
    "alignuniform": AlignUniformLoss,
    "circle": CircleLoss,
    "multisimilarity": MultiSimilarityLoss,
    "cosent": CoSENTLoss,
    "angle": AnglELoss,
    "marginmse": MarginMSELoss,
    "prototype": PrototypeLoss,
}
"""Command-line name -> class. A new objective is one class in one file and a line here."""


def build_objective(name: str, *, temperature: float | None = None) -> Objective:
    """The objective of that name.

    Args:
        name: of `REGISTRY`.
        temperature: instead of its default.

    Raises:
        InputError: the name is unknown, or the objective has no temperature.
    """
    if name not in REGISTRY:
        near = difflib.get_close_matches(name, REGISTRY, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"objective: found {name!r}, wanted one of {', '.join(REGISTRY)}{hint}")
    objective = REGISTRY[name]
    if temperature is None:
        return objective()
    if "temperature" not in inspect.signature(objective).parameters:
        raise InputError(f"temperature: found {temperature}, wanted none: {objective.__name__} has none")
    options: dict[str, Any] = {"temperature": temperature}
    return objective(**options)


def parse_objective(text: str) -> Objective:
    """The objective of ``name`` or ``name:option=value,option=value``.

    Raises:
        InputError: the name or an option is unknown, or a value is not what its option wants.
    """
    name, _, rest = text.partition(":")
    usual = build_objective(name)
    known = inspect.signature(type(usual)).parameters
    options: dict[str, Any] = {}
    for word in filter(None, rest.split(",")):
        option, _, value = word.partition("=")
        if option not in known:
            raise InputError(f"objective {name}: found option {option!r}, wanted one of {', '.join(known)}")
        options[option] = _read(value)
    try:
        return type(usual)(**options)
    except ValueError as error:
        raise InputError(f"objective {name}: {error}") from error


def _read(text: str) -> Any:
    """A number, True, False or None where the text is one, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


__all__ = [
    "REGISTRY",
    "AlignUniformLoss",
    "AnglELoss",
    "CircleLoss",
    "CoSENTLoss",
    "ContrastiveLoss",
    "InfoNCELoss",
    "LiftedStructuredLoss",
    "MarginMSELoss",
    "Matryoshka",
    "MultiSimilarityLoss",
    "NCELoss",
    "NEGLoss",
    "NPairLoss",
    "NTXentLoss",
    "Objective",
    "PrototypeLoss",
    "SigmoidLoss",
    "SoftNearestNeighborsLoss",
    "SpectralLoss",
    "SupConLoss",
    "TripletLoss",
    "build_objective",
    "parse_objective",
]
