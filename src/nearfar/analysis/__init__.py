"""What the space looks like now, and what it is good for.

`analyse` gathers everything that a set of embeddings allows; each measurement is a function of its own as well, and
docs/analysis.md is the table of them.

>>> import numpy as np
>>> from nearfar.analysis import alignment, analyse, measure_retrieval, uniformity
>>> x = np.random.default_rng(0).normal(size=(500, 32))
>>> y = x + 0.1 * np.random.default_rng(1).normal(size=(500, 32))
>>> bool(alignment(x, y) < 0.02), bool(uniformity(x) < -3.5)
(True, True)
>>> found = analyse(x, y, resamples=0)
>>> found.figures["auc"].verdict, found.figures["uniformity"].verdict
('good', 'good')
>>> queries, candidates = np.eye(3), np.eye(3)[[0, 2, 1]]
>>> found = measure_retrieval(queries, candidates, relevant=[[0], [2], [0]], resamples=0)
>>> found.main, round(found.figures["mrr@10"], 3), round(found.figures["recall@1"], 3)
('mrr@10', 0.833, 0.667)
"""

from nearfar.analysis.analogies import Lexicon
from nearfar.analysis.analysing import analyse, analyse_table
from nearfar.analysis.analysis import Analysis, Figure, compare
from nearfar.analysis.clustering import silhouette, v_measure
from nearfar.analysis.comparison import Paired, paired_correlations, paired_means
from nearfar.analysis.drift import cka
from nearfar.analysis.false_negatives import false_negatives
from nearfar.analysis.geometry import alignment, mean_cosine, uniformity
from nearfar.analysis.hardness import gradient_norms, hardness
from nearfar.analysis.intervals import interval
from nearfar.analysis.invariance import invariance
from nearfar.analysis.neighbours import hubness, nearest, neighbour_overlap
from nearfar.analysis.similarity import auc, histogram, overlap
from nearfar.analysis.spectrum import dimension_importance, effective_rank, participation_ratio, spectrum
from nearfar.analysis.tasks import (
    Embed,
    Measurement,
    evaluate,
    measure,
    measure_labels,
    measure_retrieval,
    measure_sts,
)

__all__ = [
    "Analysis",
    "Embed",
    "Figure",
    "Lexicon",
    "Measurement",
    "Paired",
    "alignment",
    "analyse",
    "analyse_table",
    "auc",
    "cka",
    "compare",
    "dimension_importance",
    "effective_rank",
    "evaluate",
    "false_negatives",
    "gradient_norms",
    "hardness",
    "histogram",
    "hubness",
    "interval",
    "invariance",
    "mean_cosine",
    "measure",
    "measure_labels",
    "measure_retrieval",
    "measure_sts",
    "nearest",
    "neighbour_overlap",
    "overlap",
    "paired_correlations",
    "paired_means",
    "participation_ratio",
    "silhouette",
    "spectrum",
    "uniformity",
    "v_measure",
]
