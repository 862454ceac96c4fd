"""How alike two models are on the same rows: centred kernel alignment; `neighbours` has the share of neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nearfar.analysis.spectrum import Floats, Moments, jackknife, moments_of
from nearfar.analysis.vectors import paired


def cka(x: ArrayLike, y: ArrayLike) -> float:
    """Linear CKA of two embeddings of the same rows: 1 where one is the other turned or scaled, 0 without relation.

    |Y'X|^2 / (|X'X| |Y'Y|), Frobenius, of centred unit rows: Kornblith et al. 2019. `x` `(n, d)`, `y` `(n,
    e)`, n of 3 or more. Exact, float64, O(n (d + e)^2), no `(n, n)` matrix. With fewer rows than dimensions it is
    high for embeddings without relation, too. A space without any variation (collapsed) has 0 to everything.
    """
    first, second = paired(x, y, least=3)
    return float(_cka(moments_of(first, second), first.shape[1])[0])


def cka_by_group(x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> Floats:
    """Pseudo-values `(g,)` of `cka`, see `spectrum.jackknife`."""
    first, second = paired(x, y, least=3)
    width = first.shape[1]
    return np.asarray(jackknife((first, second), lambda moments: _cka(moments, width), seed=seed)[0])


def _cka(moments: Moments, width: int) -> Floats:
    both = moments.covariance
    own = np.linalg.norm(both[:width, :width]), np.linalg.norm(both[width:, width:])
    told = min(own) > len(both) * np.finfo(np.float64).eps
    return np.array([np.linalg.norm(both[:width, width:]) ** 2 / (own[0] * own[1]) if told else 0.0])
