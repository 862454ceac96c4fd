"""nearfar: contrastive representation learning on text.

Who is near and who is far is a `Contrast`; how hard they pull and push is an objective; the rest is
execution, training and analysis:

    loss = nf.InfoNCELoss(temperature=0.05)
    value = loss(nf.pairs(anchors, positives))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearfar.analysis import Measurement, evaluate
    from nearfar.contrasts import Contrast, assigned, graded, judged, labelled, pairs, sampled, triplets, views
    from nearfar.data import Table, read_table
    from nearfar.data.negatives import Limits, Mined, NoiseDistribution, Rules, mix_negatives
    from nearfar.encoders import open_model
    from nearfar.errors import InputError, NearfarError, RunError, Stopped
    from nearfar.execution import execution
    from nearfar.execution.cached import cached
    from nearfar.execution.encode import cached_encode
    from nearfar.mining import mine_negatives
    from nearfar.objectives import (
        AlignUniformLoss,
        AnglELoss,
        CircleLoss,
        ContrastiveLoss,
        CoSENTLoss,
        InfoNCELoss,
        LiftedStructuredLoss,
        MarginMSELoss,
        Matryoshka,
        MultiSimilarityLoss,
        NCELoss,
        NEGLoss,
        NPairLoss,
        NTXentLoss,
        PrototypeLoss,
        SigmoidLoss,
        SoftNearestNeighborsLoss,
        SpectralLoss,
        SupConLoss,
        TripletLoss,
    )
    from nearfar.settings import Settings
    from nearfar.training import Checkpoints, Outcome, train
    from nearfar.words import WordOutcome, WordVectors, train_words

__all__ = [
    "AlignUniformLoss",
    "AnglELoss",
    "Checkpoints",
    "CircleLoss",
    "CoSENTLoss",
    "Contrast",
    "ContrastiveLoss",
    "InfoNCELoss",
    "InputError",
    "LiftedStructuredLoss",
    "Limits",
    "MarginMSELoss",
    "Matryoshka",
    "Measurement",
    "Mined",
    "MultiSimilarityLoss",
    "NCELoss",
    "NEGLoss",
    "NPairLoss",
    "NTXentLoss",
    "NearfarError",
    "NoiseDistribution",
    "Outcome",
    "PrototypeLoss",
    "Rules",
    "RunError",
    "Settings",
    "SigmoidLoss",
    "SoftNearestNeighborsLoss",
    "SpectralLoss",
    "Stopped",
    "SupConLoss",
    "Table",
    "TripletLoss",
    "WordOutcome",
    "WordVectors",
    "assigned",
    "cached",
    "cached_encode",
    "evaluate",
    "execution",
    "graded",
    "judged",
    "labelled",
    "mine_negatives",
    "mix_negatives",
    "open_model",
    "pairs",
    "read_table",
    "sampled",
    "train",
    "train_words",
    "triplets",
    "views",
]

_HOMES = {
    "analysis": ("Measurement", "evaluate"),
    "contrasts": ("Contrast", "assigned", "graded", "judged", "labelled", "pairs", "sampled", "triplets", "views"),
    "data": ("Table", "read_table"),
    "data.negatives": ("Limits", "Mined", "NoiseDistribution", "Rules", "mix_negatives"),
    "encoders": ("open_model",),
    "errors": ("InputError", "NearfarError", "RunError", "Stopped"),
    "execution.cached": ("cached",),
    "execution.encode": ("cached_encode",),
    "mining": ("mine_negatives",),
    "objectives": (
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
        "PrototypeLoss",
        "SigmoidLoss",
        "SoftNearestNeighborsLoss",
        "SpectralLoss",
        "SupConLoss",
        "TripletLoss",
    ),
    "settings": ("Settings",),
    "training": ("Checkpoints", "Outcome", "train"),
    "words": ("WordOutcome", "WordVectors", "train_words"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: a loss costs torch alone, `--help` not even that."""
    if name == "execution":  # the subpackage, which is callable
        return import_module("nearfar.execution")
    if name not in _HOME:
        raise AttributeError(f"module 'nearfar' has no attribute {name!r}")
    return getattr(import_module(f"nearfar.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
