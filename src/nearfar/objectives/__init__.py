"""The equations: how hard near pulls and far pushes, each written once."""

from nearfar.objectives.base import Objective
from nearfar.objectives.softmax import InfoNCELoss, NTXentLoss

REGISTRY: dict[str, type[Objective]] = {
    "infonce": InfoNCELoss,
    "ntxent": NTXentLoss,
}
"""Command-line name -> class. A new objective is one class in one file and a line here."""

__all__ = ["REGISTRY", "InfoNCELoss", "NTXentLoss", "Objective"]
