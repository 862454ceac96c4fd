"""Conversions: what people have judged (entailment, scores, labels, relevance) to anchors, positives and negatives."""

from nearfar.data.convert.base import Converted
from nearfar.data.convert.labels import convert_labels
from nearfar.data.convert.nli import convert_nli
from nearfar.data.convert.relevance import Relevance, convert_relevance
from nearfar.data.convert.scores import convert_scores
from nearfar.data.convert.sources import read_columns, read_relevance

__all__ = [
    "Converted",
    "Relevance",
    "convert_labels",
    "convert_nli",
    "convert_relevance",
    "convert_scores",
    "read_columns",
    "read_relevance",
]
