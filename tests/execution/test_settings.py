"""The knobs of execution: what they bound, how they nest, what they refuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import nearfar as nf


def strips(contrast: nf.Contrast, **call: int) -> list[int]:
    """How many anchors each strip took."""
    sizes: list[int] = []

    def watched(rows: slice):
        sizes.append(rows.stop - rows.start)
        return contrast.relation(rows)

    nf.InfoNCELoss()(replace(contrast, relation=watched), **call)
    return sizes


@pytest.fixture
def contrast() -> nf.Contrast:
    draw = torch.Generator().manual_seed(0)
    return nf.pairs(torch.randn(10, 4, generator=draw), torch.randn(10, 4, generator=draw))


def test_a_small_batch_is_one_strip(contrast: nf.Contrast) -> None:
    assert strips(contrast) == [10]


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1] * 10), (3, [3, 3, 3, 1]), (5, [5, 5]), (10, [10]), (99, [10])])
def test_strip_rows(contrast: nf.Contrast, rows: int, sizes: list[int]) -> None:
    with nf.execution(strip_rows=rows):
        assert strips(contrast) == sizes
    assert strips(contrast, strip_rows=rows) == sizes


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_all_reductions_go_by_strips(contrast: nf.Contrast, reduction: str) -> None:
    seen = []
    watched = replace(contrast, relation=lambda rows: (seen.append(rows), contrast.relation(rows))[1])
    nf.InfoNCELoss(reduction=reduction)(watched, strip_rows=4)
    assert seen == [slice(0, 4), slice(4, 8), slice(8, 10)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("max_bytes", [1, 40, 80, 200, 10_000])
def test_max_bytes_bounds_the_scores_of_a_strip(contrast: nf.Contrast, max_bytes: int, dtype: torch.dtype) -> None:
    contrast = nf.pairs(contrast.anchors.to(dtype), contrast.candidates.to(dtype))
    with nf.execution(max_bytes=max_bytes):
        sizes = strips(contrast)
    size = 10 * dtype.itemsize
    assert sum(sizes) == 10
    assert max(sizes) == 1 or max(sizes) * size <= max_bytes
    assert max(sizes) == 10 or (max(sizes) + 1) * size > max_bytes


def test_the_call_wins_over_the_block(contrast: nf.Contrast) -> None:
    with nf.execution(strip_rows=5):
        assert strips(contrast, strip_rows=2) == [2] * 5
        assert strips(contrast) == [5, 5]


def test_blocks_nest_and_are_left_as_they_were(contrast: nf.Contrast) -> None:
    with nf.execution(strip_rows=5):
        with nf.execution(strip_rows=2):
            assert strips(contrast) == [2] * 5
        assert strips(contrast) == [5, 5]
    assert strips(contrast) == [10]


def test_an_exception_restores_the_settings(contrast: nf.Contrast) -> None:
    with pytest.raises(KeyError), nf.execution(strip_rows=5):
        raise KeyError
    assert strips(contrast) == [10]


def test_the_settings_reach_the_transposed_side(contrast: nf.Contrast) -> None:
    loss = nf.InfoNCELoss(symmetric=True)
    plain = loss(contrast).item()
    with nf.execution(strip_rows=3):
        assert loss(contrast).item() == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("name", ["strip_rows", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_bad_values_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"{name}: found .*, wanted "), nf.execution(**{name: value}):
        pass


@pytest.mark.parametrize("value", [0, -1])
def test_a_bad_value_of_the_call_is_refused(contrast: nf.Contrast, value: int) -> None:
    with pytest.raises(ValueError, match=rf"strip_rows: found {value}, wanted "):
        nf.InfoNCELoss()(contrast, strip_rows=value)


def test_the_knobs_have_names() -> None:
    with pytest.raises(TypeError):
        nf.execution(5)
