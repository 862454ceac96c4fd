"""The equations: how hard near pulls and far pushes, each written once."""

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
]
