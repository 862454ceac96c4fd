"""From tables or streams and settings to what the loop needs: an encoder, sources, a feed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nearfar.data import Table
from nearfar.data.groups import Ids
from nearfar.data.streams import Stream
from nearfar.data.views import Views
from nearfar.encoders import Encoder, build_static, is_static, open_encoder, open_model
from nearfar.encoders.adapters import add_lora, freeze_lowest
from nearfar.encoders.prompts import prompt_of, prompted, set_prompts
from nearfar.encoders.static import VOCABULARY, WIDTH, StaticEncoder
from nearfar.encoders.tokens import Tokens
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.feeds import Feed, StreamFeed, TableFeed, plan_of
from nearfar.training.fitting import Data, contrast_for
from nearfar.training.objectives import Objectives
from nearfar.training.ranks import from_first, many
from nearfar.training.room import strip_bytes
from nearfar.training.sharing import shared_out
from nearfar.training.sources import Embed, Passing, Source, Streamed, Tokenised, Vectors, Viewed
from nearfar.training.teaching import Teacher, open_teacher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


GENTLY = 0.01
"""Of a static encoder's usual rate, where there are lone texts alone: views say little that its start does not know,
and a higher rate unlearns that (docs/recipes.md)."""

FASTER = 20
"""Times the usual rate for adapters, which start from nothing and are few."""


def make_model(data: Sequence[Data], settings: Settings) -> SentenceTransformer:
    """The encoder that the settings name: built from the texts if "static" (of a stream, some), else opened."""
    if settings.encoder != "static":
        return open_model(settings.encoder)
    tables = [one.sample(settings.sample) if isinstance(one, Stream) else one for one in data]
    return build_static(
        lambda: (batch[role] for table in tables for batch in table.batches() for role in table.text_roles),
        width=settings.width or WIDTH,
        vocabulary=settings.vocabulary or VOCABULARY,
        tokenizer=settings.tokenizer,
        sif=settings.sif,
        seed=settings.seed,
    )


def ready_to_learn(model: SentenceTransformer, settings: Settings) -> SentenceTransformer:
    """The model with its prompts, its adapters and its frozen layers.

    Raises:
        InputError: a setting does not fit the model.
    """
    width = int(model.get_embedding_dimension() or 0)
    if settings.matryoshka and max(settings.matryoshka) > width:
        raise InputError(f"matryoshka: found {max(settings.matryoshka)}, wanted at most the model's width, {width}")
    for name in ("chunk_tokens", "keep_mib", "lora", "freeze"):
        if is_static(model) and getattr(settings, name) is not None:
            raise InputError(f"{name}: found {getattr(settings, name)}, wanted none for a static encoder")
    set_prompts(model, settings.prompt)
    if settings.lora is not None:
        add_lora(model, settings.lora, alpha=settings.lora_alpha, targets=settings.lora_targets)
    if settings.freeze is not None:
        freeze_lowest(model, settings.freeze)
    return model


def make_encoder(model: SentenceTransformer, settings: Settings) -> Encoder:
    """The training view of a model, by the settings."""
    return open_encoder(
        model,
        settings.encoder,
        token_dropout=settings.token_dropout or 0.0,
        weight_learning_rate=settings.weight_learning_rate,
        chunk_tokens=settings.chunk_tokens,
        keep_bytes=None if settings.keep_mib is None else settings.keep_mib * 2**20,
    )


def parse_views(settings: Settings, data: Sequence[Data]) -> Views:
    """The views that the settings name.

    Raises:
        InputError: one of them is unknown, or changes texts where no data holds lone ones.
    """
    views = Views.parse(settings.view)
    if views.in_text and not any(one.kind == "texts" for one in data):
        found = ", ".join(view.name for view in views.in_text)
        raise InputError(f"--view: found {found}, wanted data of lone texts (a column text alone), or no such view")
    views.prepare()
    return views


def token_dropout(settings: Settings, views: Views, data: Sequence[Data]) -> float:
    """The share of a static encoder's tokens to leave out: its way to the view dropout."""
    if settings.token_dropout is not None:
        return settings.token_dropout
    lone = any(one.kind == "texts" for one in data)
    return 0.3 if lone and any(view.name == "dropout" for view in views.views) else 0.0


def open_guide(settings: Settings) -> Embed | None:
    """Vectors of texts by the second model that the settings name.

    Raises:
        InputError: it cannot be opened.
    """
    if settings.guide is None:
        return None
    model = open_model(settings.guide)

    def embed(texts: Sequence[str]) -> Vectors:
        vectors: Vectors = model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True)
        return vectors.astype(np.float32, copy=False)

    return partial(shared_out, embed)


def make_feed(data: Sequence[Data], encoder: Encoder, objectives: Objectives, settings: Settings, views: Views) -> Feed:
    """The batches of tables, or of streams.

    Args:
        data: of one sort, each usable by its objective.
        encoder: whose tokens texts become.
        objectives: decide what contrasts are made.
        settings: with a batch size.
        views: what makes positives of lone texts.

    Raises:
        InputError: tables and streams are mixed, or the settings do not suit them.
    """
    guide, teacher = open_guide(settings), Teacher(open_teacher(settings), settings.teacher_scale)

    def kind(one: Data) -> str:
        return str(contrast_for(one, objectives.of(one.source), taught=settings.teacher is not None))

    def passing(one: Data) -> Passing:
        return Passing(one.source, kind(one), encoder, views, settings.seed, guide, teacher)

    streams = [one for one in data if isinstance(one, Stream)]
    tables = [one for one in data if isinstance(one, Table)]
    if streams and tables:
        raise InputError(f"found the table {tables[0].source} beside streams, wanted tables alone or streams alone")
    if streams:
        _check_streams(settings, streams)
        assert settings.batch_size is not None
        return StreamFeed(
            [Streamed(one, passing(one), settings.buffer, settings.seed) for one in streams], settings.batch_size
        )

    def ready(table: Table) -> Source:
        if table.kind == "texts" and views.in_text:
            return Viewed.of(table, passing(table))
        return Tokenised.of(table, kind(table), encoder, guide, teacher)

    sources = [ready(table) for table in tables]
    plan = plan_of(sources, settings, lambda source: embed_rows(source, encoder))
    return TableFeed(sources, plan, moving=settings.batches == "cluster")


def digest_of(data: Data) -> tuple[object, ...]:
    """What tells whether ranks have read the same; a stream is known by its name and roles alone."""
    return (data.source, data.roles, *((data.fingerprint,) if isinstance(data, Table) and many() else ()))


def _check_streams(settings: Settings, streams: Sequence[Stream]) -> None:
    if not (settings.steps or settings.minutes):
        raise InputError(
            f"{streams[0].source}: found a stream, whose length is unknown, wanted --steps or --minutes to end the run"
        )
    if settings.batches != "shuffled":
        raise InputError(f"batches: found {settings.batches}, wanted shuffled for streams")
    for name in ("source_temperature", "mine_every", "weight_for"):
        if value := getattr(settings, name):
            raise InputError(f"{name}: found {value}, which streams have no place for")


def embed_rows(source: Source, encoder: Encoder) -> Vectors:
    """``(n, d)``: the first text of each row, by the encoder as it is, in evaluation mode."""
    if isinstance(source, Viewed):
        prompt = prompt_of(encoder.model, "text")
        tokens = encoder.tokenise(prompted(batch["text"], prompt) for batch in source.table.batches())
    else:
        tokens = source.tokens[source.table.text_roles[0]]
    return embed_all(tokens, encoder)


@torch.no_grad()
def embed_all(tokens: Tokens, encoder: Encoder) -> Vectors:
    """``(n, d)``: all texts, those of like length together, in evaluation mode."""
    training, _ = encoder.model.training, encoder.model.eval()

    def embed(chosen: Ids) -> Vectors:
        runs = (chosen[start : start + encoder.batch_size] for start in range(0, len(chosen), encoder.batch_size))
        return np.concatenate([encoder.embed(tokens.take(rows)).cpu().float().numpy() for rows in runs])

    order = np.argsort(tokens.lengths, kind="stable")  # so that little padding is computed
    found: Vectors = shared_out(embed, order)
    encoder.model.train(training)
    return found[np.argsort(order)]


def resolved(settings: Settings, encoder: Encoder, views: Views, data: Sequence[Data]) -> Settings:
    """The settings with what encoder and data decide filled in, but for the end of the run."""
    rate = settings.learning_rate
    if rate is None:
        gently = isinstance(encoder, StaticEncoder) and all(one.kind == "texts" for one in data)
        rate = encoder.learning_rate * (GENTLY if gently else FASTER if settings.lora else 1)
    values: dict[str, Any] = {
        "view": views.settings(),
        "batch_size": settings.batch_size or encoder.batch_size,
        "learning_rate": rate,
        "gradient_clip": (encoder.gradient_clip or 0.0) if settings.gradient_clip is None else settings.gradient_clip,
        "max_bytes": settings.max_bytes or from_first(lambda: strip_bytes(encoder.model.device)),
        "chunk_tokens": encoder.chunk_tokens,
    }
    return settings.model_copy(update=values)


def with_end(settings: Settings, encoder: Encoder, feed: Feed) -> Settings:
    """The settings with the end of the run as a number of steps, where epochs decide it.

    Raises:
        InputError: a step is to accumulate more batches than there are: than all epochs have, or one where steps or
            minutes end the run.
    """
    by_epochs = settings.epochs is not None or not (settings.steps or settings.minutes)
    # what an epoch has is asked for only where it matters: batches by cluster are dear
    if not (by_epochs or settings.accumulate > 1) or feed.steps_in_epoch is None:
        return settings
    epochs = (settings.epochs or encoder.epochs) if by_epochs else 1
    most = epochs * feed.steps_in_epoch
    if settings.accumulate > most:
        have = f"{epochs} epochs have" if epochs > 1 else "an epoch has"
        raise InputError(
            f"accumulate: found {settings.accumulate:,}, wanted {most:,} or less: {have} {most:,} batches; a smaller"
            " --batch-size makes more of them"
        )
    if not by_epochs:
        return settings
    steps = most // settings.accumulate
    return settings.model_copy(update={"epochs": epochs, "steps": min(steps, settings.steps or steps)})
