"""Any objective as a loss of `SentenceTransformerTrainer`.

    from nearfar.integrations.sentence_transformers import Loss

    loss = Loss(model, nearfar.InfoNCELoss(temperature=0.05), cached=True)
    SentenceTransformerTrainer(model=model, train_dataset=pairs, loss=loss).train()

The columns of the data set say which contrast a batch is:

    columns                                     label               contrast
    anchor, positive                                                pairs; views for an objective made for these
    anchor, positive, negative or negative_1 …                      pairs; triplets or sampled, likewise
    text                                        integer class       labelled
    first, second                               0 or 1              judged
    first, second                               number              graded
    query, candidate_1, candidate_2 …           a number for each   graded
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from nearfar import contrasts
from nearfar.contrasts import Contrast
from nearfar.contrasts.checks import check_margin
from nearfar.execution.encode import cached_encode, check_chunk_tokens
from nearfar.execution.features import rows_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Features = Mapping[str, Any]
Columns = Sequence[Tensor]

GRADCACHE = """@inproceedings{gao2021scaling,
    title = "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup",
    author = "Gao, Luyu and Zhang, Yunyi and Han, Jiawei and Callan, Jamie",
    booktitle = "Proceedings of the 6th Workshop on Representation Learning for NLP (RepL4NLP-2021)",
    year = "2021",
    url = "https://arxiv.org/abs/2101.06983",
}
"""


class Loss(nn.Module):
    """A nearfar objective over the columns of a batch.

    Equal texts of a batch are no false negatives: rows that share a text stand in one group, and a negative that is
    an anchor or a positive of the batch is left out.

    Args:
        model: the model that is trained.
        objective: any objective; the parameters of one that is a module are trained too.
        cached: encode in chunks without a graph and again with one, so that the batch may be of any size
            (`nearfar.cached_encode`). Slower, and the same gradient.
        chunk_tokens: tokens of a chunk, where `cached`; also of the guide's.
        guide: a second model, not trained: candidates that it finds at least as near as the true positive are
            ignored (Solatorio 2024, "GISTEmbed"); for pairs, views and labelled. Put in evaluation mode.
        guide_margin: how much nearness, in cosine, the guide forgives.

    Raises:
        ValueError: the objective is no single number, or the guide cannot read what the model's tokenizer wrote; when
            called, the columns and labels make no contrast that the objective is made for.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        objective: Callable[[Contrast], Tensor],
        *,
        cached: bool = False,
        chunk_tokens: int = 8192,
        guide: SentenceTransformer | None = None,
        guide_margin: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(objective, type) or not callable(objective):
            raise ValueError(f"objective: found {objective!r}, wanted an objective, as nearfar.InfoNCELoss()")
        check_chunk_tokens(chunk_tokens)
        check_margin("guide_margin", guide_margin)
        if getattr(objective, "reduction", "mean") == "none":
            raise ValueError(f"{_name(objective)}: found reduction='none', wanted 'mean' or 'sum'")
        self.model, self.objective = model, objective
        self.cached, self.chunk_tokens, self.guide_margin = cached, chunk_tokens, guide_margin
        # A function and no submodule: it has nothing to be trained or saved.
        self._guide = None if guide is None else _guide_encoder(model, guide, chunk_tokens)
        self._guide_name = None if guide is None else _model_name(guide)

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """The loss of a batch.

        Args:
            sentence_features: tokenised texts by columns.
            labels: ``(n,)``, or a number for each candidate ``(n, columns - 1)``.
        """
        columns = [dict(column) for column in sentence_features]
        if labels is not None and not isinstance(labels, Tensor):
            raise ValueError(f"labels: found {type(labels).__name__}, wanted a tensor or None")
        kind = chosen_kind(self.objective, len(columns), labels)
        options: dict[str, Any] = {}
        if kind in ("pairs", "views"):
            options, columns = _without_false_negatives(columns)
        if self._guide is not None:
            options |= self._guided(kind, columns)
        embeddings = [self._encode(column) for column in columns]
        return self.objective(contrast_of(kind, embeddings, labels, options))

    def _encode(self, column: Features) -> Tensor:
        if self.cached:
            return cached_encode(self.model, column, chunk_tokens=self.chunk_tokens)
        # A new dict: modules write what they compute into the one they get.
        embeddings: Tensor = self.model(dict(column))["sentence_embedding"]
        return embeddings

    def _guided(self, kind: str, columns: Sequence[Features]) -> dict[str, Any]:
        if kind not in ("pairs", "views", "labelled"):
            raise ValueError(f"guide: found a contrast of nearfar.{kind}, wanted pairs, views or labelled")
        assert self._guide is not None
        seen = [self._guide(column) for column in columns]
        if kind == "labelled":
            return {"guide": seen[0], "guide_margin": self.guide_margin}
        parts = seen[:2] + ([torch.cat(seen[2:])] if seen[2:] else [])
        return {"guide": tuple(parts), "guide_margin": self.guide_margin}

    def get_config_dict(self) -> dict[str, Any]:
        """The settings, for the model card."""
        config: dict[str, Any] = {"objective": _written(self.objective), "cached": self.cached}
        if self.cached:
            config["chunk_tokens"] = self.chunk_tokens
        if self._guide is not None:
            config |= {"guide": self._guide_name, "guide_margin": self.guide_margin}
        return config

    @property
    def citation(self) -> str:
        """Where the objective and the cache come from, for the model card."""
        name, source = _name(self.objective), getattr(self.objective, "source", None)
        note = f"    note = {{The objective is {name} of {source}}},\n" if source else ""
        own = f"@software{{nearfar,\n    title = {{nearfar: {name}}},\n{note}}}\n"
        return own + (GRADCACHE if self.cached else "")


def chosen_kind(objective: object, columns: int, labels: Tensor | None) -> str:
    """The contrast, by its constructor's name, that a batch is and the objective is made for.

    Args:
        objective: its attribute `contrasts` names what it is made for; missing or empty: anything.
        columns: how many columns of text there are.
        labels: as the trainer hands them over, or None.

    Raises:
        ValueError: there is none; the message says what the batch could be and what the objective wants.
    """
    possible = _kinds(columns, labels)
    made_for = tuple(getattr(objective, "contrasts", ()))
    for kind in possible:
        if not made_for or kind in made_for:
            return kind
    found = f"{columns} {'column' if columns == 1 else 'columns'} of text and {_described(labels)}"
    if not possible:
        raise ValueError(
            f"Loss: found {found}, wanted two or more columns without a label, one with integer labels, two with a "
            "number, or more with a number for each but the first"
        )
    raise ValueError(
        f"Loss: found {found}, which make {_listed(possible)}; {_name(objective)} wants {_listed(made_for)}"
    )


def _kinds(columns: int, labels: Tensor | None) -> tuple[str, ...]:
    """What such a batch can be, the likeliest first."""
    if labels is None:
        return () if columns < 2 else ("pairs", "views") if columns == 2 else ("pairs", "triplets", "sampled")
    number = labels.is_floating_point()
    if columns == 1 and labels.dim() == 1 and not number:
        return ("labelled",)
    if columns == 2 and labels.dim() == 1:
        verdict = bool(((labels == 0) | (labels == 1)).all())
        return ("graded", "judged")[: 1 + verdict] if number else ("judged", "graded")[1 - verdict :]
    return ("graded",) if columns > 2 and tuple(labels.shape[1:]) == (columns - 1,) else ()


def contrast_of(kind: str, columns: Columns, labels: Tensor | None, options: Mapping[str, Any]) -> Contrast:
    """The contrast of embedded columns.

    Args:
        kind: as `chosen_kind` has it.
        columns: ``(n, d)`` each; for pairs those from the third on may have any number of rows.
        labels: where the kind has any.
        options: further arguments of the constructor.
    """
    make: Callable[..., Contrast] = getattr(contrasts, kind)
    first, *others = columns
    if kind == "labelled":
        return make(first, labels, **options)
    if kind == "pairs":
        return make(first, others[0], torch.cat(others[1:]) if others[1:] else None, **options)
    if kind in ("triplets", "sampled"):
        return make(first, others[0], torch.stack(others[1:], dim=1), **options)
    if kind == "judged" and labels is not None:
        return make(first, others[0], labels == 1, **options)
    if kind == "graded" and labels is not None:
        second = others[0] if len(others) == 1 else torch.stack(others, dim=1)
        return make(first, second, labels.to(torch.promote_types(labels.dtype, torch.float32)), **options)
    return make(first, others[0], **options)


def _without_false_negatives(columns: Sequence[Features]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Groups of rows that share a text, and the columns without negatives that are an anchor or a positive."""
    kept = [dict(column) for column in columns]
    try:
        rows = [rows_of(column) for column in columns]
    except ValueError:  # pictures or sounds: nothing says which are equal
        return {}, kept
    keys = [row.keys() for row in rows]
    if keys[0] is None or keys[1] is None or len(keys[0]) != len(keys[1]):  # of which the contrast says what is wrong
        return {}, kept
    known = {*keys[0], *keys[1]}
    del kept[2:]
    for row, texts, column in zip(rows[2:], keys[2:], columns[2:], strict=True):
        far = [number for number, text in enumerate(texts or ()) if text not in known]
        if texts is None or len(far) == len(texts):
            kept.append(dict(column))
        elif far:
            kept.append(row.take(torch.tensor(far, device=row.lengths.device)))
    return {"groups": groups_of(keys[0], keys[1])}, kept


def groups_of(anchors: Sequence[bytes], positives: Sequence[bytes]) -> Tensor:
    """A number for each row, ``(n,)``: equal for rows that share a text, be it over other rows.

    Args:
        anchors: a key for each row's text, equal for equal texts.
        positives: likewise.
    """
    leader: dict[bytes, bytes] = {}

    def lead(text: bytes) -> bytes:
        leader.setdefault(text, text)
        while leader[text] != text:
            leader[text] = text = leader[leader[text]]
        return text

    for anchor, positive in zip(anchors, positives, strict=True):
        leader[lead(anchor)] = lead(positive)
    number: dict[bytes, int] = {}
    return torch.tensor([number.setdefault(lead(anchor), len(number)) for anchor in anchors])


def _guide_encoder(
    model: SentenceTransformer, guide: SentenceTransformer, chunk_tokens: int
) -> Callable[[Features], Tensor]:
    """From the model's features to the guide's embeddings, ``(n, g)``, without a graph."""
    if not hasattr(guide, "tokenizer"):
        raise ValueError(f"guide: found {type(guide).__name__}, wanted a SentenceTransformer")
    guide.eval()
    tokenizer = model.tokenizer
    if not hasattr(tokenizer, "batch_decode") or not hasattr(guide.tokenizer, "get_vocab"):
        raise ValueError(
            f"guide: found tokenizers {type(tokenizer).__name__} and {type(guide.tokenizer).__name__}, wanted those of "
            "transformers"
        )
    shorter = (guide.max_seq_length or 0) < (model.max_seq_length or 0)
    alike = not shorter and guide.tokenizer.get_vocab() == tokenizer.get_vocab()

    def encode(column: Features) -> Tensor:
        inputs: Any = column if alike else tokenizer.batch_decode(column["input_ids"], skip_special_tokens=True)
        with torch.no_grad():
            return cached_encode(guide, inputs, chunk_tokens=chunk_tokens).to(column["input_ids"].device)

    return encode


def _described(labels: Tensor | None) -> str:
    return "no labels" if labels is None else f"labels of {labels.dtype} and shape {tuple(labels.shape)}"


def _listed(kinds: Sequence[str]) -> str:
    return " or ".join(f"nearfar.{kind}" for kind in kinds)


def _name(objective: object) -> str:
    return getattr(objective, "__name__", type(objective).__name__)


def _written(objective: object) -> str:
    """The objective on one line."""
    return re.sub(r"\s+", " ", repr(objective))


def _model_name(model: SentenceTransformer) -> str:
    base = getattr(getattr(model, "model_card_data", None), "base_model", None)
    return str(base or type(model).__name__)
