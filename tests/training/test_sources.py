"""Batches as contrasts: which rows must not push each other, and what the objective needs of the embeddings."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nearfar as nf
from nearfar.data.groups import duplicate_groups, groups_of_negatives
from nearfar.encoders import build_static, open_encoder
from nearfar.training.contrasting import Contrasting
from nearfar.training.fitting import check_usable, contrast_for
from nearfar.training.held_out import hold_out, why_none
from nearfar.training.sources import Tokenised

WORDS = "a cat sat on the mat while two dogs ran after some old red car near that house".split()


def joined(columns: list[np.ndarray]) -> list[int]:
    """Groups by merging, one pair of rows after another, numbered in the order of their first rows."""
    group = list(range(len(columns[0])))
    for values in columns:
        for i in range(len(values)):
            for j in range(i):
                if values[i] == values[j]:
                    group = [group[j] if g == group[i] else g for g in group]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(g, len(numbers)) for g in group]


@given(st.data(), st.integers(1, 12), st.integers(1, 3), st.sampled_from([1, 3, 8, 100]))
def test_rows_that_share_a_text_are_one_group(data: st.DataObject, rows: int, count: int, texts: int) -> None:
    column = st.lists(st.integers(-texts, texts), min_size=rows, max_size=rows)
    columns = [np.array(data.draw(column), np.int64) for _ in range(count)]
    assert duplicate_groups(columns).tolist() == joined(columns)


def test_rows_join_through_others() -> None:
    """0 and 1 share an anchor, 1 and 3 a positive: 0 and 3 are one group."""
    assert duplicate_groups([np.array([5, 5, 6, 7]), np.array([1, 2, 3, 2])]).tolist() == [0, 0, 1, 0]


def test_a_negative_is_of_the_group_of_the_row_whose_text_it_is() -> None:
    """Rows 0 and 2 are one group; a negative that is row 2's positive must not push row 0 either."""
    groups = groups_of_negatives(
        np.array([22, 99, 11, 99]), [np.array([10, 11, 10]), np.array([20, 21, 22])], np.array([0, 1, 0])
    )
    assert groups.tolist()[0] == 0
    assert groups.tolist()[2] == 1
    assert len({0, 1, *groups.tolist()}) == 4  # the same text twice is two negatives


def table() -> nf.Table:
    generator = np.random.default_rng(0)
    return nf.Table.from_columns(
        {role: [" ".join(generator.choice(WORDS, 4)) for _ in range(20)] for role in ("anchor", "positive", "negative")}
    )


@pytest.mark.parametrize(
    ("objective", "length"),
    [(nf.InfoNCELoss(), False), (nf.InfoNCELoss(similarity="dot"), True)],
    ids=["cosine", "dot"],
)
def test_embeddings_are_normalised_for_an_objective_that_looks_at_lengths(
    objective: nf.InfoNCELoss, length: bool
) -> None:
    encoder = open_encoder(build_static(lambda: [WORDS], width=8))
    batch = Tokenised.of(table(), "pairs", encoder).batch(np.arange(6), epoch=0)
    contrast = Contrasting(encoder, objective.by_direction)(batch)
    ones = torch.ones(6)
    assert torch.allclose(contrast.anchors.norm(dim=1), ones) == length
    assert objective.by_direction != length


def test_a_cosine_learns_the_same_with_and_without_lengths() -> None:
    encoder = open_encoder(build_static(lambda: [WORDS], width=8))
    encoder.optimiser(0.1)  # says that the vectors are learnt
    tokens = encoder.tokenise([["a cat sat", "two dogs ran", "the old red car", "that house", "cat", "some mat"]])
    gradients = []
    for any_length in (False, True):
        embedded = encoder.embed(tokens, any_length=any_length)
        loss = nf.InfoNCELoss()(nf.pairs(embedded[:3], embedded[3:]))
        (gradient,) = torch.autograd.grad(loss, [encoder.vectors])  # type: ignore[attr-defined]
        gradients.append(gradient.to_dense())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
    assert gradients[0].any()


@pytest.mark.parametrize("kind", ["pairs", "texts"])
def test_rows_of_one_group_do_not_push_each_other(kind: str) -> None:
    """Nor do rows that share a text with one of them."""
    texts = {"anchor": list("abcda"), "positive": list("vwxyz")} if kind == "pairs" else {"text": list("abcda")}
    made = nf.Table.from_columns({**texts, "group": ["q", "r", "q", "s", "s"]})
    assert made.kind == kind
    assert "group" not in made.text_roles
    encoder = open_encoder(build_static(lambda: [list("abcdvwxyz")], width=8))
    contrast = Contrasting(encoder, True)(Tokenised.of(made, "pairs", encoder).batch(np.arange(5), epoch=0))
    ignored = {(int(i), int(j)) for i, j in zip(*contrast.relation(slice(0, 5)).ignored, strict=True)}
    together = {0, 2, 3, 4}  # q: 0 and 2; the text a: 0 and 4; s: 3 and 4
    assert ignored == {(i, j) for i in together for j in together if i != j}


@pytest.mark.parametrize("kind", ["pairs", "views"])
def test_an_anchor_is_not_pushed_from_itself_as_another_rows_positive(kind: str) -> None:
    """a is near b, b near c: no anchor b may be far from the positive b, while a and c stay far from each other."""
    made = nf.Table.from_columns({"anchor": list("abd"), "positive": list("bce")})
    encoder = open_encoder(build_static(lambda: [list("abcde")], width=8))
    contrast = Contrasting(encoder, True)(Tokenised.of(made, kind, encoder).batch(np.arange(3), epoch=0))
    found = contrast.relation(slice(0, len(contrast))).ignored
    ignored = {(int(i), int(j)) for i, j in zip(*found, strict=True) if i != j}
    assert ignored == ({(1, 0)} if kind == "pairs" else {(1, 3), (3, 1)})


def test_a_group_is_not_parted_when_rows_are_held_out() -> None:
    rows = range(400)
    columns = {"anchor": [f"a{i}" for i in rows], "positive": [f"b{i}" for i in rows], "group": [i // 3 for i in rows]}
    kept, held = hold_out(nf.Table.from_columns(columns), 0.2, seed=0)
    assert held is not None
    assert 20 <= len(held) <= 80
    assert not set(kept.column("group")) & set(held.column("group"))


@pytest.mark.parametrize(
    ("sizes", "share", "reason"),
    [
        ([1] * 240, 0.05, r"0.05 of memory \(240 rows\) is 12, fewer than the 20 .* \(--held-out 0.09 would do\)"),
        ([1] * 30, 0.05, r"is 1, fewer than the 20 that are held out at the least$"),
        ([1] * 400, 0.0, "--held-out is 0"),
        ([8] * 50, 0.05, r"is 50 such groups of 8 to 8 rows, .* \(--held-out 0.2 would do\)"),
        ([200, 200], 0.05, r"is 2 such groups of 200 to 200 rows, none below a tenth of the part$"),
    ],
)
def test_where_nothing_is_held_out_it_is_said_why(sizes: list[int], share: float, reason: str) -> None:
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    rows = range(len(groups))
    table = nf.Table.from_columns(
        {"anchor": [f"a{i}" for i in rows], "positive": [f"b{i}" for i in rows], "group": groups}
    )
    assert hold_out(table, share, seed=0)[1] is None
    found = why_none(table, share)
    assert re.search(reason, found), found
    if advised := re.search(r"--held-out (0[.]\d+) would do", found):
        assert hold_out(table, float(advised[1]), seed=0)[1] is not None


TABLES = {
    "pairs": {"anchor": ["a", "b"], "positive": ["c", "d"]},
    "negatives": {"anchor": ["a", "b"], "positive": ["c", "d"], "negative": ["e", "f"]},
    "texts": {"text": ["a", "b"]},
    "labelled": {"text": ["a", "b"], "label": ["x", "y"]},
    "scored": {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [1.0, 2.0]},
}


@pytest.mark.parametrize(
    ("objective", "kinds"),
    [
        (nf.InfoNCELoss(), ["pairs", "pairs", "pairs", "labelled", None]),
        (nf.NTXentLoss(), ["views", None, "views", None, None]),
        (nf.LiftedStructuredLoss(), ["pairs", "pairs", "pairs", "labelled", None]),
        (nf.PrototypeLoss(), [None, None, None, "labelled", None]),
        (nf.CoSENTLoss(), [None, None, None, None, "graded"]),
        (nf.MarginMSELoss(), [None] * 5),
        (nf.NCELoss(), ["sampled", None, "sampled", None, None]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_table_is_contrasted_as_the_objective_takes_it(objective, kinds: list[str | None]) -> None:
    for (name, columns), kind in zip(TABLES.items(), kinds, strict=True):
        made = nf.Table.from_columns(columns)
        assert contrast_for(made, objective) == kind, name
        if kind is None:
            with pytest.raises(nf.InputError, match=f"found .*{type(objective).__name__}.*wanted "):
                check_usable(made, objective)
        else:
            check_usable(made, objective)


@pytest.mark.parametrize("kind", ["pairs", "texts"])
def test_nce_takes_other_rows_as_noise_as_probable_as_they_are_frequent(kind: str) -> None:
    """A frequent text among them is allowed for by its probability, and by no group."""
    texts = {"anchor": list("abcdef"), "positive": list("vvvwxy")} if kind == "pairs" else {"text": list("aaabcd")}
    encoder = open_encoder(build_static(lambda: [list("abcdefvwxy")], width=8))
    source = Tokenised.of(nf.Table.from_columns(texts), "sampled", encoder)
    rows = np.array([5, 0, 3, 2])
    contrast = Contrasting(encoder, False)(source.batch(rows, epoch=0))
    assert contrast.kind == "sampled"
    x, p = contrast.anchors.detach().double().numpy(), contrast.candidates.detach().double().numpy()
    share = np.array([1, 3, 1, 3]) / 6
    shifted = x @ p.T - np.log(3 * share)  # of the others, 3 are drawn
    log_sigma = -np.log1p(np.exp(-shifted * np.where(np.eye(4), 1, -1)))
    assert nf.NCELoss()(contrast).item() == pytest.approx(-log_sigma.sum() / 4, rel=1e-5)


@pytest.mark.parametrize(
    "columns", [{"anchor": WORDS, "positive": WORDS[::-1]}, {"text": WORDS}], ids=["pairs", "texts"]
)
def test_nce_is_trained_by(columns: dict[str, list[str]]) -> None:
    """Views of lone texts as well, whose probability is that of the text that they were made of."""
    views = ["crop"] if "text" in columns else ["dropout"]
    settings = nf.Settings(steps=3, vocabulary=100, width=8, held_out=0, view=views)
    outcome = nf.train(nf.Table.from_columns(columns), objective=nf.NCELoss(), settings=settings)
    assert outcome.best_step == 3


def test_what_an_objective_learns_is_learnt() -> None:
    objective = nf.SigmoidLoss()
    before = [value.item() for value in objective.parameters()]
    nf.train(table(), objective=objective, settings=nf.Settings(steps=3, vocabulary=100, width=8, held_out=0))
    assert all(value.item() != old for value, old in zip(objective.parameters(), before, strict=True))


def test_graded_pairs_are_trained_on() -> None:
    columns = {"sentence1": WORDS, "sentence2": WORDS[::-1], "score": [float(i) for i in range(len(WORDS))]}
    outcome = nf.train(
        nf.Table.from_columns(columns),
        objective=nf.CoSENTLoss(),
        settings=nf.Settings(steps=3, vocabulary=100, width=8, held_out=0),
    )
    assert outcome.best_step == 3
