"""What the space looks like now, and what it is good for.

>>> import numpy as np
>>> from nearfar.analysis import measure_retrieval
>>> queries, candidates = np.eye(3), np.eye(3)[[0, 2, 1]]
>>> found = measure_retrieval(queries, candidates, relevant=[[0], [2], [0]], resamples=0)
>>> found.main, round(found.figures["mrr@10"], 3), round(found.figures["recall@1"], 3)
('mrr@10', 0.833, 0.667)
"""

from nearfar.analysis.tasks import (
    Embed,
    Measurement,
    evaluate,
    measure,
    measure_labels,
    measure_retrieval,
    measure_sts,
)
from nearfar.analysis.words import Lexicon

__all__ = [
    "Embed",
    "Lexicon",
    "Measurement",
    "evaluate",
    "measure",
    "measure_labels",
    "measure_retrieval",
    "measure_sts",
]
