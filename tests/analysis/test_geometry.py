"""Near and far pairs of a scored table."""

import numpy as np
import pytest

from nearfar.analysis.geometry import near_and_far
from nearfar.data import Table


@pytest.mark.parametrize(
    ("scores", "near", "far"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 2, 2),
        ([1, 1, 1, 1, 1, 1, 1, 0], 7, 1),
        ([0, 0, 0, 0, 0, 0, 0, 1], 1, 7),
    ],
)
def test_no_scored_pair_is_both_near_and_far(scores: list[int], near: int, far: int) -> None:
    texts = [str(number) for number in range(len(scores))]
    table = Table.from_columns({"sentence1": texts, "sentence2": texts, "score": scores})
    found = near_and_far(table, lambda texts: np.ones((len(texts), 2), np.float32))
    assert tuple(map(len, found)) == (near, far)
