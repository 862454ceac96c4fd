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
    from nearfar.contrasts import Contrast, labelled, pairs, views
    from nearfar.data import Table, read_table
    from nearfar.encoders import open_model
    from nearfar.errors import InputError, NearfarError, RunError
    from nearfar.execution import execution
    from nearfar.execution.cached import cached, cached_encode
    from nearfar.objectives import InfoNCELoss, NTXentLoss
    from nearfar.training import Outcome, Settings, train

__all__ = [
    "Contrast",
    "InfoNCELoss",
    "InputError",
    "Measurement",
    "NTXentLoss",
    "NearfarError",
    "Outcome",
    "RunError",
    "Settings",
    "Table",
    "cached",
    "cached_encode",
    "evaluate",
    "execution",
    "labelled",
    "open_model",
    "pairs",
    "read_table",
    "train",
    "views",
]

_HOMES = {
    "analysis": ("Measurement", "evaluate"),
    "contrasts": ("Contrast", "labelled", "pairs", "views"),
    "data": ("Table", "read_table"),
    "encoders": ("open_model",),
    "errors": ("InputError", "NearfarError", "RunError"),
    "execution.cached": ("cached", "cached_encode"),
    "objectives": ("InfoNCELoss", "NTXentLoss"),
    "training": ("Outcome", "Settings", "train"),
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
