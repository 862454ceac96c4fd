"""What makes a run this run and no other: settings, data, encoder; and in what two runs differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

from nearfar.data import Table
from nearfar.encoders import Encoder
from nearfar.objectives import Matryoshka, Objective
from nearfar.settings import Settings
from nearfar.training.fitting import Data
from nearfar.training.recorded import described

NO_MATTER = (
    *("checkpoint_every", "keep", "keep_after", "keep_mib"),
    *("watch_every", "follow", "track", "log_folder", "rank_timeout", "license", "language"),
)
"""Settings that change nothing that is learnt."""

CHANGEABLE = (
    *("learning_rate", "weight_learning_rate", "warmup"),
    *("epochs", "steps", "minutes", "patience"),
    *("max_bytes", "strip_rows", "chunk_tokens"),
)
"""Settings that a run may go on with changed, where that is asked for: rates, the end, and room for scores."""

MEASURED, ENCODER = "measured on ", "encoder: "
"""How the names of differences begin that are of no setting."""

DIGEST = re.compile(r"[0-9a-f]{64}")

HEAD = 1_000
"""Rows of a stream by which it is known again."""


def identity(
    settings: Settings,
    data: Sequence[Data],
    evaluate_on: Sequence[Table],
    objectives: Sequence[Objective],
    encoder: Encoder,
) -> dict[str, Any]:
    """What has to be equal for a run to go on as it would have gone, as JSON gives it back.

    Args:
        settings: with every None resolved.
        data: as the user gave it.
        evaluate_on: tables that are measured on.
        objectives: what pulls and pushes.
        encoder: before the first step.
    """
    vocabulary = json.dumps(sorted(encoder.model[0].tokenizer.get_vocab().items()))
    found = {
        "settings": settings.model_dump(exclude=set(NO_MATTER)),
        "objective": ", ".join(type(objective).__name__ for objective in objectives),
        "parameters": dict(chain.from_iterable(map(_parameters, objectives))),
        "data": [_known_by(one) for one in data],
        "evaluate_on": [_known_by(table) for table in evaluate_on],
        "encoder": {
            "shapes": [list(parameter.shape) for parameter in encoder.parameters()],
            "vocabulary": hashlib.sha256(vocabulary.encode()).hexdigest(),
        },
    }
    known: dict[str, Any] = json.loads(json.dumps(found))
    return known


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Name -> what was and what is, of all that differs; a setting is called by its bare name."""
    found: dict[str, str] = {}
    for part, prefix in (("data", ""), ("evaluate_on", MEASURED)):
        found |= dict(_differing_tables(prefix, was[part], now[part]))
    found |= dict(_differing("", {"objective": was["objective"]}, {"objective": now["objective"]}))
    if was["objective"] == now["objective"]:
        found |= dict(_differing("", was["parameters"], now["parameters"]))
    found |= dict(_differing("", was["settings"], now["settings"]))
    return found | dict(_differing(ENCODER, was["encoder"], now["encoder"]))


def causes(found: Mapping[str, str]) -> dict[str, str]:
    """Of `differences` those that the others may have come of: settings, objective and data.

    They decide what is held out of the data to measure on, and both decide what encoder is built.
    """
    for effects in ((MEASURED, ENCODER), (ENCODER,)):
        if left := {name: text for name, text in found.items() if not name.startswith(effects)}:
            return left
    return dict(found)


def _parameters(objective: Objective) -> Iterator[tuple[str, Any]]:
    """Plain hyper-parameters, which a caller may have given without a setting."""
    name = type(objective).__name__
    if isinstance(objective, Matryoshka):
        yield f"{name} dims", objective.dims
        yield f"{name} weights", objective.weights
        yield from _parameters(objective.objective)
    elif is_dataclass(objective):
        for field in fields(objective):
            if isinstance(value := getattr(objective, field.name), bool | int | float | str):
                yield f"{name} {field.name}", value


def _known_by(data: Data) -> dict[str, Any]:
    if isinstance(data, Table):
        return described(data)
    return described(data) | {"first rows": data.head(HEAD).fingerprint}


def _differing_tables(
    prefix: str, was: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """What differs between tables in their order; of a table the first of these, which the others may have come of."""
    if len(was) != len(now):
        then, here = ([one["source"] for one in some] for some in (was, now))
        yield f"{prefix}data", f"was {_shown(then)}, is {_shown(here)}"
        return
    for old, new in zip(was, now, strict=True):
        for name, text in list(_differing(f"{prefix}{new['source']}: ", old, new))[:1]:
            yield name.replace("fingerprint", "the content's fingerprint"), text


def _differing(prefix: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in {**was, **now}:
        old, new = was.get(name), now.get(name)
        moved = name == "source" and was.get("fingerprint") is not None  # the same rows under another name
        if old != new and not moved:
            yield f"{prefix}{name}", f"was {_shown(old)}, is {_shown(new)}"


def _shown(value: Any) -> str:
    if isinstance(value, str) and DIGEST.fullmatch(value):
        return value[:12]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
