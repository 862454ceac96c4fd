"""From data and settings to all that a step needs, for a run and for a search of its learning rate alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accelerate import Accelerator
from accelerate.utils import set_seed

from nearfar.data import Table
from nearfar.data.cells import shown
from nearfar.data.views import Views
from nearfar.encoders import Encoder
from nearfar.errors import InputError
from nearfar.objectives import Objective
from nearfar.settings import Settings
from nearfar.training.feeds import Feed
from nearfar.training.fitting import Data, check_suited, check_usable
from nearfar.training.fully_sharded import fully_sharded, wants_sharding
from nearfar.training.held_out import hold_out
from nearfar.training.objectives import Given, choose_objectives, weights_of
from nearfar.training.precision import make_accelerator
from nearfar.training.ranks import check_alike, start_alike
from nearfar.training.ready import (
    digest_of,
    make_encoder,
    make_feed,
    make_model,
    parse_views,
    ready_to_learn,
    resolved,
    token_dropout,
    with_end,
)
from nearfar.training.stepping import Stepper
from nearfar.training.trackers import check_trackers

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Asked:
    """What a caller asks for; see `nearfar.train`."""

    data: Data | Sequence[Data]
    objective: Given | None = None
    model: SentenceTransformer | None = None
    settings: Settings | None = None
    evaluate_on: Sequence[Table] = ()


@dataclass(frozen=True)
class Prepared:
    """All that a step needs, and what is measured on.

    Attributes:
        accelerator: of the run.
        asked: the settings as the caller gave them.
        settings: with every None resolved.
        given: the data as the caller gave it, nothing held out.
        objectives: of the data, each once.
        encoder, feed, stepper, views: ready.
        evaluate_on: tables to measure on, held-out parts among them.
    """

    accelerator: Accelerator
    asked: Settings
    settings: Settings
    given: Sequence[Data]
    objectives: Sequence[Objective]
    encoder: Encoder
    feed: Feed
    stepper: Stepper
    views: Views
    evaluate_on: Sequence[Table]


def prepare(asked: Asked) -> Prepared:
    """Check that data, settings and objective fit, and make everything ready.

    Raises:
        InputError: they do not.
    """
    data = given = _listed("data", asked.data, Data)
    evaluate_on = _listed("evaluate_on", asked.evaluate_on, Table)
    settings = told = asked.settings or Settings()
    if not data:
        raise InputError("data: found none, wanted at least one table to train on")
    objectives = choose_objectives(asked.objective, settings, data)
    for one in data:
        check_usable(one, objectives.of(one.source), taught=settings.teacher is not None)
    views = parse_views(settings, data)
    check_suited(data, [objectives.of(one.source) for one in data], settings, views.views)
    weights_of(settings, [one.source for one in data])  # named rightly
    check_trackers(settings.track)
    accelerator = make_accelerator(settings.precision)
    sharding = wants_sharding(accelerator)
    set_seed(settings.seed)
    model = asked.model or make_model(data, settings)
    if not evaluate_on:
        data, evaluate_on = _held_out_parts(data, settings)
    settings = settings.model_copy(update={"token_dropout": token_dropout(settings, views, data)})
    encoder = make_encoder(ready_to_learn(model, settings).to(accelerator.device), settings)
    settings = resolved(settings, encoder, views, data).model_copy(update={"precision": accelerator.mixed_precision})
    start_alike(encoder)
    check_alike(
        settings=settings.model_dump(exclude={"chunk_tokens", "keep_mib"}), data=[digest_of(one) for one in data]
    )
    if sharding:
        encoder = fully_sharded(encoder, settings, views.views, accelerator)
    feed = make_feed(data, encoder, objectives, settings, views)
    settings = with_end(settings, encoder, feed)
    stepper = Stepper(accelerator, encoder, objectives, settings, views, data)
    used = objectives.of_all(given)
    return Prepared(accelerator, told, settings, given, used, encoder, feed, stepper, views, evaluate_on)


def _listed(name: str, given: Any, kind: Any) -> list[Any]:
    """What a caller gives as one or several of a kind, as a list; raises an InputError for anything else."""
    found = list(given) if isinstance(given, list | tuple) else [given]
    for one in found:
        if not isinstance(one, kind):
            raise InputError(f"{name}: found {shown(one)}, wanted a table, as nearfar.read_table gives, or several")
    return found


def _held_out_parts(data: Sequence[Data], settings: Settings) -> tuple[list[Data], list[Table]]:
    kept: list[Data] = []
    held: list[Table] = []
    for one in data:
        rest, part = hold_out(one, settings.held_out, settings.seed) if isinstance(one, Table) else (one, None)
        kept.append(rest)
        held += [] if part is None else [part]
    return kept, held
