"""Far candidates that training makes: remembered, mixed, mined, and those a guide takes away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nearfar as nf
from nearfar.data.groups import groups_of_negatives
from nearfar.data.views.embedding import Adversarial, Gaussian
from nearfar.encoders.base import Change
from nearfar.settings import Settings
from nearfar.training.contrasting import Contrasting
from nearfar.training.memory import Memory
from nearfar.training.mining import MARGIN, WINDOW, Miner
from nearfar.training.mixing import mixer
from nearfar.training.perturbing import attacked, change_of
from nearfar.training.ready import embed_all
from nearfar.training.sources import Batch, Tokenised
from tests.training.made import encoder, pairs_table, texts

numbers = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@given(st.data(), numbers, st.lists(st.integers(0, 12), max_size=8))
def test_a_negative_has_the_group_of_the_first_row_that_holds_it(
    data: st.DataObject, anchors: list[int], negatives: list[int]
) -> None:
    rows = len(anchors)
    positives = data.draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows))
    groups = data.draw(st.lists(st.integers(0, rows - 1), min_size=rows, max_size=rows))
    columns = [np.array(anchors), np.array(positives)]
    found = groups_of_negatives(np.array(negatives, np.int64), columns, np.array(groups)).tolist()
    for place, text in enumerate(negatives):
        holders = [groups[row] for column in columns for row in range(rows) if column[row] == text]
        assert found[place] == (holders[0] if holders else rows + place)


def batch_of(table: nf.Table, rows: list[int], kind: str = "pairs") -> tuple[Tokenised, Batch]:
    source = Tokenised.of(table, kind, encoder())
    return source, source.batch(np.array(rows), 0)


def test_the_copy_follows_by_its_momentum() -> None:
    learner = encoder(weight_learning_rate=0.1)
    memory = Memory(learner, size=50, momentum=0.9)
    before = [part.detach().clone() for part in learner.parameters()]
    moved = [before[0] + 1, before[1] - 2]
    for part, value in zip(learner.parameters(), moved, strict=True):
        part.data.copy_(value)
    _, batch = batch_of(pairs_table(), [0, 1])
    memory.update(batch)
    memory.update(batch)
    for old, new, part in zip(before, moved, memory.copy.parameters(), strict=True):
        torch.testing.assert_close(part.detach(), 0.81 * old + 0.19 * new)
    for value, part in zip(moved, learner.parameters(), strict=True):
        assert torch.equal(part.detach(), value)


@pytest.mark.parametrize("size", [1, 3, 5, 100])
def test_a_queue_holds_the_newest_in_order(size: int) -> None:
    learner = encoder()
    memory = Memory(learner, size=size, momentum=0.5)
    source, last = batch_of(pairs_table(), [18, 19])
    assert memory.queue(last) is None
    seen: list[int] = []
    for rows in ([0, 1, 2], [3], [4, 5, 6, 7]):
        memory.update(source.batch(np.array(rows), 0))
        seen += rows
        queue = memory.queue(last)
        assert queue is not None
        wanted = learner.embed(source.tokens["positive"].take(np.array(seen[-size:])))
        torch.testing.assert_close(queue, wanted.detach())
        assert not queue.requires_grad


def test_a_queue_leaves_out_the_texts_of_the_batch() -> None:
    memory = Memory(encoder(), size=50, momentum=0.5)
    source, batch = batch_of(pairs_table(), [1, 3])
    memory.update(source.batch(np.array([0, 1, 2, 3]), 0))
    queue = memory.queue(batch)
    assert queue is not None
    assert memory.embeddings is not None
    assert torch.equal(queue, memory.embeddings[[0, 2]])


def test_a_queue_leaves_out_the_labels_of_the_batch() -> None:
    table = nf.Table.from_columns({"text": texts(12), "label": list("xyz") * 4})
    memory = Memory(encoder(), size=50, momentum=0.5)
    source, batch = batch_of(table, [9, 10], "labelled")  # x and y
    memory.update(source.batch(np.arange(6), 0))
    queue = memory.queue(batch)
    assert queue is not None
    assert memory.embeddings is not None
    assert torch.equal(queue, memory.embeddings[[2, 5]])


def test_a_queue_leaves_out_the_groups_of_the_batch() -> None:
    columns = {"anchor": texts(12), "positive": texts(24)[12:], "group": list("xyz") * 4}
    memory = Memory(encoder(), size=50, momentum=0.5)
    source, batch = batch_of(nf.Table.from_columns(columns), [9, 10])  # x and y
    memory.update(source.batch(np.arange(6), 0))
    queue = memory.queue(batch)
    assert queue is not None
    assert memory.embeddings is not None
    assert torch.equal(queue, memory.embeddings[[2, 5]])


def corners(count: int) -> torch.Tensor:
    return torch.eye(count)


def test_mixed_ones_lie_between_two_of_what_is_far() -> None:
    """Anchors and candidates are corners, so that what a vector is made of can be read off it."""
    torch.manual_seed(0)
    items = corners(7)
    groups, of_negatives = torch.tensor([0, 1, 0, 2]), torch.tensor([1, 9])
    contrast = nf.pairs(items[:4], items[:4], items[4:6], groups=groups, negative_groups=of_negatives, queue=items[6:])
    mixed = mixer(300)(contrast)
    assert mixed is not None
    assert mixed.shape == (4, 300, 7)
    torch.testing.assert_close(mixed.norm(dim=2), torch.ones(4, 300))
    parts = [set(row.gt(1e-6).any(0).nonzero()[:, 0].tolist()) for row in mixed]
    assert parts == [{1, 3, 4, 5, 6}, {0, 2, 3, 5, 6}, {1, 3, 4, 5, 6}, {0, 1, 2, 4, 5, 6}]
    assert (mixed > 1e-6).sum(2).max() == 2
    assert (mixed >= 0).all()


def test_only_the_hardest_are_mixed() -> None:
    torch.manual_seed(0)
    anchors = torch.tensor([[1.0, 0.0]] * 2)
    angles = torch.linspace(0.1, 3.1, 100)
    negatives = torch.stack([angles.cos(), angles.sin()], 1)
    mixed = mixer(500)(nf.pairs(anchors, anchors, negatives, groups=torch.tensor([0, 0])))
    assert mixed is not None
    assert mixed[..., 0].min() >= angles[63].cos() - 1e-5
    assert mixed[..., 0].max() > angles[5].cos()


def test_nothing_is_mixed_where_an_anchor_has_nothing_far() -> None:
    assert mixer(3)(nf.pairs(corners(2), corners(2), groups=torch.tensor([0, 0]))) is None


def test_what_a_guide_filters_is_not_mixed() -> None:
    torch.manual_seed(0)
    known = corners(3)
    known[1] = known[0]  # to the guide, rows 0 and 1 are one
    mixed = mixer(50)(nf.pairs(corners(3), corners(3), guide=(known, known)))
    assert mixed is not None
    assert mixed[0, :, 1].abs().max() == 0
    assert mixed[1, :, 0].abs().max() == 0


def test_a_batch_is_trained_on_with_its_mixed_ones() -> None:
    _, batch = batch_of(pairs_table(), list(range(6)))
    contrast = Contrasting(encoder(), any_length=False, mix=mixer(4))(batch)
    assert contrast.own_count == 4
    assert contrast.own is not None
    assert not any(part.requires_grad for part in contrast.own)


def test_mined_rows_are_near_but_within_the_margin_and_no_positives() -> None:
    """Anchors stand in two rows each, and a positive in rows of two anchors."""
    every = texts(60)
    table = nf.Table.from_columns({"anchor": every[:20] * 2, "positive": [*every[20:40], *every[39:58], every[20]]})
    learner = encoder()
    source = Tokenised.of(table, "pairs", learner)
    miner = Miner(learner, Settings(mine_every=3, mine_count=4), [source])
    assert miner.refresh(0) == miner.refresh(1) == miner.refresh(5) == ""
    assert source.mined is None
    assert "stale until step 6" in miner.refresh(3)
    mined = source.mined
    assert mined is not None
    anchors, positives = (embed_all(source.tokens[role], learner) for role in ("anchor", "positive"))
    scores = anchors @ positives.T
    known: dict[str, set[str]] = {}
    for anchor, positive in zip(table.column("anchor"), table.column("positive"), strict=True):
        known.setdefault(anchor, set()).add(positive)
    texts_of = table.column("positive")
    for row, places in enumerate(mined):
        found = [texts_of[place] for place in places if place >= 0]
        anchor = table.column("anchor")[row]
        assert len(set(found)) == len(found)
        assert not set(found) & known[anchor]
        lowest = min(scores[row, i] for i, text in enumerate(texts_of) if text in known[anchor])
        bar = lowest - MARGIN * abs(lowest)
        by_text = {text: scores[row, place] for place, text in enumerate(texts_of)}
        nearest = sorted(by_text, key=by_text.__getitem__, reverse=True)[: WINDOW + 2]  # room for two positives
        fit = [text for text in nearest if text not in known[anchor] and by_text[text] < bar][:WINDOW]
        assert set(found) <= set(fit)
        assert len(found) == min(4, len(fit))
    assert (mined >= 0).any()
    first = mined.copy()
    miner.refresh(3)
    assert np.array_equal(first, source.mined)
    miner.refresh(6)
    assert not np.array_equal(first, source.mined)  # drawn anew
    learner.vectors.data.normal_()
    miner.refresh(6)
    assert not np.array_equal(first, source.mined)


def test_mined_ones_come_into_the_batch() -> None:
    source, _ = batch_of(pairs_table(negatives=True), [0])
    source.mined = np.array([[5, -1], [6, 7], *[[-1, -1]] * 18])
    batch = source.batch(np.array([0, 1]), 0)
    assert len(batch.tokens[2]) == 2 + 3
    wanted = [*source.ids["negative"][[0, 1]], *source.ids["positive"][[5, 6, 7]]]
    assert batch.ids[2].tolist() == wanted


def test_embedding_all_is_embedding_each() -> None:
    learner = encoder(token_dropout=0.5)
    learner.model.train()
    tokens = learner.tokenise([[text[: 3 * i] for i, text in enumerate(texts(30))]])
    found = embed_all(tokens, learner)
    assert learner.model.training
    learner.model.eval()
    for row in range(len(tokens)):
        one = learner.embed(tokens.take(np.array([row]))).detach().numpy()
        np.testing.assert_allclose(found[row], one[0], atol=1e-6)


def test_the_step_is_that_of_the_sign_of_the_gradient_by_hand() -> None:
    """The loss is ``w . v`` over the tokens, so its gradient is w and the step epsilon * rms * sign(w)."""
    vectors = torch.tensor([[[3.0, 4.0], [0.0, 5.0]]])
    mask = torch.tensor([[True, False]])
    weight = torch.tensor([2.0, -7.0])

    def loss(change: Change | None) -> torch.Tensor:
        assert change is not None
        return (change(vectors, mask) @ weight).sum()

    change = attacked(Adversarial(epsilon=0.1), loss, None)
    size = (25 / 2) ** 0.5
    wanted = torch.tensor([[[3 + 0.1 * size, 4 - 0.1 * size], [0.0, 5.0]]])
    torch.testing.assert_close(change(vectors, mask), wanted)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("noisy", [False, True])
def test_the_adversarial_step_raises_the_loss_of_the_same_draws(dropout: float, noisy: bool) -> None:
    """Under dropout and noise as well: what is drawn in the second pass is what was drawn in the first."""
    learner = encoder(token_dropout=dropout)
    learner.model.train()
    source = Tokenised.of(pairs_table(), "pairs", learner)
    batch = source.batch(np.arange(12), 0)
    contrasting = Contrasting(learner, any_length=False)
    before = change_of([Gaussian()]) if noisy else change_of([Gaussian(scale=0)])

    def loss(change: Change | None) -> torch.Tensor:
        return nf.InfoNCELoss()(contrasting(batch, change))

    rises = []
    for epsilon in (1e-3, 2e-3):
        torch.manual_seed(1)
        plain = loss(before).item()
        torch.manual_seed(1)
        moved = loss(attacked(Adversarial(epsilon=epsilon), loss, before)).item()
        rises.append(moved - plain)
    assert rises[0] > 0
    assert rises[1] / rises[0] == pytest.approx(2, rel=0.2)  # to first order


def test_training_is_adversarial_under_dropout() -> None:
    table = nf.Table.from_columns({"text": texts(40)})
    settings = nf.Settings(steps=4, vocabulary=100, width=8, view=["dropout", "mixup", "adversarial:probability=0.5"])
    assert nf.train(table, settings=settings).settings.token_dropout == 0.3


def test_a_guide_takes_a_planted_false_negative_out_of_a_step() -> None:
    """Row 1 says what row 0 says in other words; the guide knows, and the step no longer pushes them apart."""
    learner = encoder()
    source = Tokenised.of(pairs_table(), "pairs", learner)
    known = np.eye(20, dtype=np.float32)
    known[1] = known[0]
    pulls = []
    for guide in ({}, {"anchor": known, "positive": known}):
        source.guide = guide
        contrast = Contrasting(learner, any_length=False)(source.batch(np.arange(8), 0))
        contrast.anchors.retain_grad()
        candidates = contrast.candidates
        candidates.retain_grad()
        scores = []
        for row in (0, 2):
            strip = contrast.relation(slice(row, row + 1))
            scores.append(sorted(strip.ignored[1].tolist()))
        pulls.append(scores)
        loss = nf.InfoNCELoss(reduction="none")(contrast)[0]
        (slope,) = torch.autograd.grad(loss, candidates)
        assert (slope[1].abs().max() == 0) == bool(guide)
        assert slope[2].abs().max() > 0
    assert pulls == [[[], []], [[1], []]]
