"""Cosines that tie where the embeddings are equal, and embeddings that are fit to be compared."""

from __future__ import annotations

import numpy as np
import pytest

from nearfar.analysis.vectors import cosines, finite, unit
from nearfar.errors import InputError


def test_equal_rows_have_exactly_equal_cosines() -> None:
    rows = np.random.default_rng(0).normal(size=(200, 96)).astype(np.float32)
    assert set(cosines(rows, rows).tolist()) == {1.0}
    assert set(cosines(rows, -rows).tolist()) == {-1.0}


def test_length_does_not_matter_and_zero_has_none() -> None:
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(unit(rows), [[0.6, 0.8], [0.0, 0.0], [1.0, 0.0]], atol=1e-7)
    assert cosines(rows, rows).tolist() == [1.0, 0.0, 1.0]


def test_finite_counts_the_spoilt_rows() -> None:
    rows = np.zeros((4, 2))
    assert finite(rows, source="memory") is rows
    rows[1:3] = np.nan, np.inf
    with pytest.raises(InputError, match=r"memory: 2 of 4 embeddings hold NaN or infinity"):
        finite(rows, source="memory")
    with pytest.raises(InputError, match=r"memory: anchors of shape \(2,\), wanted \(rows, width\)"):
        finite(rows[0], source="memory", what="anchors")
