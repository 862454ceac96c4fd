"""What the constructors say about every pair of items, and what they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import nearfar as nf
from tests.reference import relations

WIDTH = 3
COUNT = st.integers(1, 7)
IDS = st.integers(-3, 3)


def rows(count: int, *more: int) -> Tensor:
    return torch.randn(count, *more, WIDTH, generator=torch.Generator().manual_seed(count))


def listed(contrast: nf.Contrast, strip_rows: int) -> tuple[list[list[int]], list[list[int]]]:
    """Near and far candidates of each anchor, put together from strips."""
    near: list[list[int]] = []
    far: list[list[int]] = []
    for start in range(0, len(contrast), strip_rows):
        stop = min(start + strip_rows, len(contrast))
        strip = contrast.relation(slice(start, stop))
        # A place that is not real is filled with a column of its own that is not near.
        assert all(len(set(columns)) == len(columns) for columns in strip.near.columns.tolist())
        kinds = [["far"] * contrast.columns for _ in range(stop - start)]
        for name, index in (("ignored", strip.ignored), ("near", strip.near.listed())):
            assert index[0].dtype == index[1].dtype == torch.int64
            for row, column in zip(index[0].tolist(), index[1].tolist(), strict=True):
                assert kinds[row][column] == "far"  # named once, and near or ignored, not both
                kinds[row][column] = name
        near += [[j for j, kind in enumerate(row) if kind == "near"] for row in kinds]
        far += [[j for j, kind in enumerate(row) if kind == "far"] for row in kinds]
    return near, far


@st.composite
def numbered(draw: st.DrawFn) -> list[int]:
    return draw(st.lists(IDS, min_size=1, max_size=7))


@given(numbered(), st.booleans(), st.integers(0, 3), st.integers(1, 4))
def test_pairs(ids: list[int], grouped: bool, negatives: int, strip_rows: int) -> None:
    count = len(ids)
    groups = torch.tensor(ids) if grouped else None
    more = (rows(negatives),) if negatives else ()
    contrast = nf.pairs(rows(count), rows(count), *more, groups=groups)
    wanted = relations.pairs(*(x.numpy() for x in (rows(count), rows(count), *more)), groups=ids if grouped else None)
    assert listed(contrast, strip_rows) == (wanted.near, wanted.far)
    assert len(contrast.candidates) == count + negatives


@given(numbered(), st.integers(1, 3), st.data(), st.booleans(), st.integers(1, 4))
def test_negatives_can_belong_to_groups(
    ids: list[int], each: int, data: st.DataObject, flat: bool, strip_rows: int
) -> None:
    count = len(ids)
    of_negatives = data.draw(st.lists(IDS, min_size=count * each, max_size=count * each))
    negatives, shape = rows(count * each), (-1,) if flat else (count, each)
    contrast = nf.pairs(
        rows(count),
        rows(count),
        negatives.reshape(*shape, WIDTH),
        groups=torch.tensor(ids),
        negative_groups=torch.tensor(of_negatives).reshape(shape),
    )
    parts = (rows(count).numpy(), rows(count).numpy(), negatives.numpy())
    wanted = relations.pairs(*parts, groups=ids, negative_groups=of_negatives)
    assert listed(contrast, strip_rows) == (wanted.near, wanted.far)


@given(numbered(), st.data(), st.booleans(), st.integers(1, 4))
def test_a_text_is_not_far_from_itself_in_another_role(
    anchors: list[int], data: st.DataObject, grouped: bool, strip_rows: int
) -> None:
    """From either side, and without joining the two rows as a group would."""
    count = len(anchors)
    others = [data.draw(st.lists(IDS, min_size=count, max_size=count)) for _ in range(2)]
    groups = others[1] if grouped else None
    texts = (anchors, others[0])
    options = {"texts": tuple(map(torch.tensor, texts)), "groups": torch.tensor(groups) if grouped else None}
    parts = rows(count), rows(count)
    for make, reference in ((nf.pairs, relations.pairs), (nf.views, relations.views)):
        contrast = make(*parts, **options)
        wanted = reference(*(part.numpy() for part in parts), groups=groups, texts=texts)
        assert listed(contrast, strip_rows) == (wanted.near, wanted.far)
        if contrast.transpose is not None:
            wanted = reference(*(part.numpy() for part in parts), groups=groups, texts=texts[::-1])
            assert listed(contrast.transpose(), strip_rows) == (wanted.near, wanted.far)


def test_a_symmetric_loss_leaves_own_texts_out_on_both_sides() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    texts = torch.tensor([0, 1, 2, 3, 4, 5]), torch.tensor([1, 2, 7, 0, 4, 1])
    loss = nf.InfoNCELoss(temperature=0.5, symmetric=True)
    found = loss(nf.pairs(a, b, texts=texts), strip_rows=2)
    unit = [torch.nn.functional.normalize(x, dim=-1) for x in (a, b)]
    own = (texts[0][:, None] == texts[1]) & ~torch.eye(6, dtype=torch.bool)
    assert own.nonzero().tolist() == [[0, 3], [1, 0], [1, 5], [2, 1]]
    scores = (unit[0] @ unit[1].T / 0.5).masked_fill(own, -torch.inf)
    forth, back = (torch.nn.functional.cross_entropy(side, torch.arange(6)) for side in (scores, scores.T))
    torch.testing.assert_close(found, (forth + back) / 2)


@pytest.mark.parametrize("texts", [torch.arange(4), (torch.arange(4),), (torch.arange(4), torch.arange(3)), 3])
def test_texts_are_two_columns_of_ids(texts: Any) -> None:
    for make in (nf.pairs, nf.views):
        with pytest.raises(ValueError, match=r"^texts: found"):
            make(rows(4), rows(4), texts=texts)


@given(numbered(), st.integers(1, 3), st.booleans(), st.sampled_from([0.0, -0.3]), st.integers(1, 4))
def test_own_negatives_are_far_from_their_anchor_alone(
    ids: list[int], each: int, guided: bool, margin: float, strip_rows: int
) -> None:
    """The relation is that without them, k columns on, with k far candidates before."""
    count = len(ids)
    options: dict[str, Any] = {"groups": torch.tensor(ids)}
    if guided:
        options |= {"guide": (rows(count), rows(count).flip(0)), "guide_margin": margin}
    own = rows(count * each).reshape(count, each, WIDTH)
    contrast = nf.pairs(rows(count), rows(count), rows(2), own_negatives=own, **options)
    near, far = listed(nf.pairs(rows(count), rows(count), rows(2), **options), strip_rows)
    wanted_near = [[each + j for j in row] for row in near]
    wanted_far = [[*range(each), *(each + j for j in row)] for row in far]
    assert listed(contrast, strip_rows) == (wanted_near, wanted_far)


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_loss_with_own_negatives_is_that_of_its_rows(symmetric: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2))
    own = torch.randn(5, 2, WIDTH, generator=generator, dtype=torch.float64)
    loss = nf.InfoNCELoss(temperature=0.5, symmetric=symmetric)
    found = loss(nf.pairs(a, b, own_negatives=own), strip_rows=2)
    unit = [torch.nn.functional.normalize(x, dim=-1) / 0.5**0.5 for x in (a, b, own)]
    scores = torch.cat([unit[0] @ unit[1].T, torch.einsum("nd,nkd->nk", unit[0], unit[2])], dim=1)
    forth = torch.nn.functional.cross_entropy(scores, torch.arange(5))
    back = torch.nn.functional.cross_entropy(unit[1] @ unit[0].T, torch.arange(5))
    torch.testing.assert_close(found, (forth + back) / 2 if symmetric else forth)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": "rows", "negative_groups": [0, 1]}, "^groups: found None, wanted ids beside negative_groups"),
        ({"groups": [0] * 4, "negative_groups": [0, 1]}, "^negative_groups: found ids, wanted None"),
        ({"negatives": "rows", "groups": [0] * 4, "negative_groups": [0]}, r"^negative_groups: found .*\(1,\), wanted"),
    ],
)
def test_groups_of_negatives_need_groups_and_negatives(options: dict[str, Any], message: str) -> None:
    given = {name: rows(2) if value == "rows" else torch.tensor(value) for name, value in options.items()}
    with pytest.raises(ValueError, match=message):
        nf.pairs(rows(4), rows(4), **given)


@given(numbered(), st.booleans(), st.integers(1, 4))
def test_views(ids: list[int], grouped: bool, strip_rows: int) -> None:
    count = len(ids)
    contrast = nf.views(rows(count), rows(count), groups=torch.tensor(ids) if grouped else None)
    wanted = relations.views(rows(count).numpy(), rows(count).numpy(), groups=ids if grouped else None)
    assert listed(contrast, strip_rows) == (wanted.near, wanted.far)


@given(numbered(), st.integers(1, 4))
def test_labelled(ids: list[int], strip_rows: int) -> None:
    contrast = nf.labelled(rows(len(ids)), torch.tensor(ids))
    wanted = relations.labelled(rows(len(ids)).numpy(), ids)
    assert listed(contrast, strip_rows) == (wanted.near, wanted.far)


@given(numbered(), st.integers(1, 4))
def test_the_transposed_pairs_exchange_the_roles_and_keep_groups_and_weights(ids: list[int], strip_rows: int) -> None:
    count = len(ids)
    weights = torch.arange(count, dtype=torch.float32)
    anchors, positives = rows(count), -rows(count)
    other = nf.pairs(anchors, positives, rows(2), groups=torch.tensor(ids), weights=weights).transpose()
    wanted = relations.pairs(positives.numpy(), anchors.numpy(), groups=ids)
    assert listed(other, strip_rows) == (wanted.near, wanted.far)
    assert torch.equal(other.anchors, positives)
    assert torch.equal(other.candidates, anchors)
    assert torch.equal(other.weights, weights)


@pytest.mark.parametrize("own", [1, 2])
def test_own_negatives_are_candidates_of_every_anchor_in_order(own: int) -> None:
    negatives = rows(4, own)
    contrast = nf.pairs(rows(4), rows(4), negatives)
    assert torch.equal(contrast.candidates[4:], negatives.reshape(-1, WIDTH))
    assert listed(contrast, 4)[1][1] == [0, 2, 3, *range(4, 4 + 4 * own)]


@pytest.mark.parametrize("shape", [(0, WIDTH), (4, 0, WIDTH)])
def test_no_negatives_at_all_is_no_error(shape: tuple[int, ...]) -> None:
    contrast = nf.pairs(rows(4), rows(4), torch.empty(shape))
    assert contrast.candidates.shape == (4, WIDTH)


def test_a_guide_of_no_negatives_is_no_error() -> None:
    x = rows(4)
    plain = nf.pairs(x, x, x[:0], guide=(x, x, x[:0]))
    assert listed(plain, 4) == listed(nf.pairs(x, x, guide=(x, x)), 4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("copies", [1, 2, 3, 5, 7, 11])
def test_a_guide_drops_every_copy_of_the_positive(copies: int, dtype: torch.dtype) -> None:
    """Whatever the shapes: products of equal rows differ by rounding, from one place of the matrix to another."""
    for count, width in itertools.product((11, 17, 63, 101), (3, 17, 50, 384)):
        draw = torch.Generator().manual_seed(count * width)
        anchors, positives = (torch.randn(count, width, generator=draw).to(dtype) for _ in range(2))
        contrast = nf.pairs(*[rows(count)] * 2, rows(copies), guide=(anchors, positives, positives[:copies].clone()))
        for step in (1, count):
            for row in range(0, copies, step):
                strip = contrast.relation(slice(row, min(row + step, count)))
                ignored = set(zip(*(part.tolist() for part in strip.ignored), strict=True))
                assert all((i - row, count + i) in ignored for i in range(row, min(row + step, copies)))


def test_weights_of_views_count_for_both_views() -> None:
    contrast = nf.views(rows(2), rows(2), weights=torch.tensor([1.0, 3.0]))
    assert contrast.weights.tolist() == [1, 3, 1, 3]


def test_a_relation_takes_memory_in_the_rows_and_not_in_their_square() -> None:
    """Ids are held, no matrix: 200,000 rows would need 40 GB of booleans."""
    count = 200_000
    embeddings = torch.zeros(count, 1)
    ids = torch.arange(count) // 2
    for contrast in (
        nf.pairs(embeddings, embeddings, groups=ids),
        nf.views(embeddings, embeddings, groups=ids),
        nf.labelled(embeddings, ids),
    ):
        strip = contrast.relation(slice(7, 9))
        assert len(strip.near.listed()[0]) == 2


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.bool, torch.uint16], ids=str)
def test_ids_of_any_integer_dtype(dtype: torch.dtype) -> None:
    ids = torch.tensor([0, 1, 0, 1], dtype=dtype)
    assert listed(nf.labelled(rows(4), ids), 4)[0] == [[2], [3], [0], [1]]


# Bad input: (what is called, how the message begins, what it found, what it wanted).

GOOD = rows(4)
IDS4 = torch.tensor([0, 0, 1, 1])


def spoilt(value: float) -> Tensor:
    embeddings = rows(4)
    embeddings[2, 1] = value
    return embeddings


META = torch.device("meta")
BAD_EMBEDDINGS: dict[str, tuple[Any, str, str]] = {
    "list": ([[1.0, 2.0, 3.0]] * 4, "list", "tensor"),
    "array": (rows(4).numpy(), "ndarray", "tensor"),
    "none": (None, "NoneType", "tensor"),
    "vector": (rows(4)[:, 0], r"shape \(4,\)", r"\("),
    "scalar": (torch.tensor(1.0), r"shape \(\)", r"\("),
    "four-dimensional": (torch.zeros(4, 1, 1, WIDTH), r"shape \(4, 1, 1, 3\)", r"\("),
    "empty-batch": (torch.empty(0, WIDTH), r"shape \(0, 3\)", ""),
    "no-columns": (torch.empty(4, 0), r"shape \(4, 0\)", ""),
    "integers": (torch.ones(4, WIDTH, dtype=torch.long), "torch.int64", "floating"),
    "complex": (torch.ones(4, WIDTH, dtype=torch.complex64), "torch.complex64", "floating"),
    "nan": (spoilt(float("nan")), "NaN or infinity, first in row 2", "finite"),
    "infinity": (spoilt(float("inf")), "NaN or infinity, first in row 2", "finite"),
    "minus-infinity": (spoilt(-float("inf")), "NaN or infinity, first in row 2", "finite"),
    "meta": (rows(4).to(META), "meta", ""),
    "sparse": (rows(4).to_sparse(), "torch.sparse_coo", "dense"),
    "nested": (torch.nested.nested_tensor([rows(4)], layout=torch.jagged), "nested", "dense"),
    "eight-bits": (rows(4).to(torch.float8_e4m3fn), "torch.float8_e4m3fn", "floating"),
}
BAD_SECOND = {
    "one-row-short": (rows(3), r"shape \(3, 3\)", r"\(4, 3\)"),
    "one-column-more": (torch.ones(4, WIDTH + 1), r"shape \(4, 4\)", r"3"),
    "other-dtype": (rows(4).double(), "torch.float64", "torch.float32"),
}
BAD_NEGATIVES = {
    name: bad
    for name, bad in (BAD_EMBEDDINGS | BAD_SECOND).items()
    if name not in ("none", "empty-batch", "one-row-short")
} | {
    "own-of-other-rows": (rows(3, 2), r"shape \(3, 2, 3\)", r"\(4, k, 3\)"),
    "own-of-other-width": (torch.ones(4, 2, WIDTH + 2), r"shape \(4, 2, 5\)", r"3"),
    "own-integers": (torch.ones(4, 2, WIDTH, dtype=torch.long), "torch.int64", "floating"),
}
BAD_IDS: dict[str, tuple[Any, str, str]] = {
    "list": ([0, 0, 1, 1], "list", r"\(4,\)"),
    "short": (IDS4[:3], r"shape \(3,\)", r"\(4,\)"),
    "long": (torch.zeros(5, dtype=torch.long), r"shape \(5,\)", r"\(4,\)"),
    "matrix": (IDS4[:, None], r"shape \(4, 1\)", r"\(4,\)"),
    "scalar": (torch.tensor(1), r"shape \(\)", r"\(4,\)"),
    "empty": (IDS4[:0], r"shape \(0,\)", r"\(4,\)"),
    "floats": (IDS4.float(), "torch.float32", "integer"),
    "complex": (IDS4.to(torch.complex64), "torch.complex64", "integer"),
    "meta": (IDS4.to(META), "meta", ""),
    "sparse": (IDS4.to_sparse(), "torch.sparse_coo", "dense"),
}
BAD_WEIGHTS: dict[str, tuple[Any, str, str]] = {
    "list": ([1.0] * 4, "list", r"\(4,\)"),
    "short": (torch.ones(3), r"shape \(3,\)", r"\(4,\)"),
    "matrix": (torch.ones(4, 1), r"shape \(4, 1\)", r"\(4,\)"),
    "complex": (torch.ones(4, dtype=torch.complex64), "torch.complex64", ""),
    "nan": (torch.tensor([1.0, float("nan"), 1, 1]), "NaN", ""),
    "infinity": (torch.tensor([1.0, float("inf"), 1, 1]), "", ""),
    "negative": (torch.tensor([1.0, -1.0, 1, 1]), "", ""),
    "meta": (torch.ones(4, device=META), "meta", ""),
    "sparse": (torch.ones(4).to_sparse(), "torch.sparse_coo", "dense"),
    "eight-bits": (torch.ones(4).to(torch.float8_e4m3fn), "torch.float8_e4m3fn", "real"),
    "unsigned": (torch.ones(4, dtype=torch.uint16), "torch.uint16", "real"),
}
BAD_MARGINS: dict[str, tuple[Any, str, str]] = {
    "nan": (float("nan"), "nan", "finite"),
    "infinity": (float("inf"), "inf", "finite"),
    "string": ("0.1", "'0.1'", "finite"),
    "none": (None, "None", "finite"),
    "boolean": (True, "True", "finite"),
    "tensor": (torch.tensor(0.1), "tensor", "finite"),
}

GUIDES = {name: bad for name, bad in BAD_EMBEDDINGS.items() if name not in ("none", "empty-batch")}

Call = Callable[[Any], nf.Contrast]
CALLS: dict[str, tuple[Call, dict[str, tuple[Any, str, str]]]] = {
    "pairs-anchors": (lambda bad: nf.pairs(bad, GOOD), BAD_EMBEDDINGS),
    "pairs-positives": (lambda bad: nf.pairs(GOOD, bad), BAD_EMBEDDINGS | BAD_SECOND),
    "pairs-negatives": (lambda bad: nf.pairs(GOOD, GOOD, bad), BAD_NEGATIVES),
    "pairs-groups": (lambda bad: nf.pairs(GOOD, GOOD, groups=bad), BAD_IDS),
    "pairs-negative_groups": (
        lambda bad: nf.pairs(GOOD, GOOD, GOOD, groups=IDS4, negative_groups=bad),
        BAD_IDS,
    ),
    "pairs-own_negatives": (
        lambda bad: nf.pairs(GOOD, GOOD, own_negatives=bad),
        {name: case for name, case in BAD_NEGATIVES.items() if name != "none"},
    ),
    "pairs-weights": (lambda bad: nf.pairs(GOOD, GOOD, weights=bad), BAD_WEIGHTS),
    "views-first": (lambda bad: nf.views(bad, GOOD), BAD_EMBEDDINGS),
    "views-second": (lambda bad: nf.views(GOOD, bad), BAD_EMBEDDINGS | BAD_SECOND),
    "views-groups": (lambda bad: nf.views(GOOD, GOOD, groups=bad), BAD_IDS),
    "views-weights": (lambda bad: nf.views(GOOD, GOOD, weights=bad), BAD_WEIGHTS),
    "labelled-embeddings": (lambda bad: nf.labelled(bad, IDS4), BAD_EMBEDDINGS),
    "labelled-labels": (lambda bad: nf.labelled(GOOD, bad), BAD_IDS),
    "labelled-weights": (lambda bad: nf.labelled(GOOD, IDS4, weights=bad), BAD_WEIGHTS),
    "labelled-guide": (lambda bad: nf.labelled(GOOD, IDS4, guide=bad), GUIDES),
    "pairs-guide of positives": (lambda bad: nf.pairs(GOOD, GOOD, guide=(GOOD, bad)), GUIDES),
    "pairs-guide_margin": (lambda bad: nf.pairs(GOOD, GOOD, guide=(GOOD, GOOD), guide_margin=bad), BAD_MARGINS),
    "views-guide_margin": (lambda bad: nf.views(GOOD, GOOD, guide_margin=bad), BAD_MARGINS),
    "labelled-guide_margin": (lambda bad: nf.labelled(GOOD, IDS4, guide=GOOD, guide_margin=bad), BAD_MARGINS),
}


@pytest.mark.parametrize(
    ("argument", "bad"),
    [pytest.param(argument, bad, id=f"{argument}-{bad}") for argument, (_, every) in CALLS.items() for bad in every],
)
def test_bad_input_is_named_with_what_was_found_and_what_was_wanted(argument: str, bad: str) -> None:
    call, every = CALLS[argument]
    value, found, wanted = every[bad]
    with pytest.raises(ValueError, match=rf"^{argument.split('-')[1]}: found .*{found}.*, wanted .*{wanted}"):
        call(value)


def test_both_sides_on_a_device_without_data_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^anchors: found .*meta.*, wanted "):
        nf.pairs(GOOD.to(META), GOOD.to(META))


@pytest.mark.parametrize("value", [1e38, -1e38, 3e38])
def test_large_finite_numbers_are_no_infinity(value: float) -> None:
    embeddings = torch.full((4, WIDTH), value)
    assert len(nf.pairs(embeddings, -embeddings)) == 4
