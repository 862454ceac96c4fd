"""Negatives: mined among neighbours, drawn from noise, mixed in embedding space. All of texts and vectors alone."""

from nearfar.data.negatives.fusion import FusedSearch
from nearfar.data.negatives.hits import Hits, Searcher
from nearfar.data.negatives.index import IndexSearch
from nearfar.data.negatives.lexical import LexicalSearch
from nearfar.data.negatives.mined import Mined
from nearfar.data.negatives.mining import mine
from nearfar.data.negatives.mixing import mix_negatives
from nearfar.data.negatives.noise import NoiseDistribution
from nearfar.data.negatives.rules import Limits, Rules
from nearfar.data.negatives.search import VectorSearch, as_unit
from nearfar.data.negatives.task import Task

__all__ = [
    "FusedSearch",
    "Hits",
    "IndexSearch",
    "LexicalSearch",
    "Limits",
    "Mined",
    "NoiseDistribution",
    "Rules",
    "Searcher",
    "Task",
    "VectorSearch",
    "as_unit",
    "mine",
    "mix_negatives",
]
