"""Contrasts: who is near whom, and who is far.

A contrast holds anchors, candidates and a relation between them. The relation is kept as ids and
small index tensors and answers for a run of rows at a time, so that no ``N x M`` matrix of it ever
exists. Everything that is neither near nor ignored is far.
"""

from nearfar.contrasts.base import Contrast, Index, Places, Strip
from nearfar.contrasts.own import graded, judged, sampled, triplets
from nearfar.contrasts.pairs import pairs
from nearfar.contrasts.shared import assigned, labelled, views

__all__ = [
    "Contrast",
    "Index",
    "Places",
    "Strip",
    "assigned",
    "graded",
    "judged",
    "labelled",
    "pairs",
    "sampled",
    "triplets",
    "views",
]
