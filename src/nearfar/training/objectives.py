"""Which objective is for which table, where a run has several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from nearfar.data.cells import shown
from nearfar.data.limits import above_zero
from nearfar.errors import InputError
from nearfar.objectives import Matryoshka, Objective, build_objective, parse_objective
from nearfar.settings import Settings
from nearfar.training.fitting import Data

Given = Objective | Mapping[str, Objective] | Sequence[Objective]
"""One for all tables, or one for each: by source, or in the order of the tables."""


@dataclass(frozen=True)
class Objectives:
    """The objectives of a run.

    Attributes:
        usual: of every table that is not named.
        by_source: source -> its own.
    """

    usual: Objective
    by_source: Mapping[str, Objective] = field(default_factory=dict)

    def of(self, source: str) -> Objective:
        """That of a table or stream."""
        return self.by_source.get(source, self.usual)

    def of_all(self, data: Sequence[Data]) -> list[Objective]:
        """Those that some data has, each once."""
        found = (self.of(one.source) for one in data)
        return [*{id(objective): objective for objective in found}.values()]


def choose_objectives(given: Given | None, settings: Settings, data: Sequence[Data]) -> Objectives:
    """The objectives that a caller gives, else those that the settings name.

    Raises:
        InputError: one is unknown, or for a table that there is not.
    """
    sources = [one.source for one in data]
    if given is None:
        named = by_source("objective_for", settings.objective_for, sources)
        usual = build_objective(settings.objective, temperature=settings.temperature)
        own = {source: _over_widths(parse_objective(text), settings) for source, text in named.items()}
        return Objectives(_over_widths(usual, settings), own)
    if settings.objective_for:
        raise InputError("objective_for: found some, wanted none where objectives are given as such")
    if isinstance(given, Mapping):
        known = {_find("objective", name, sources): _objective(one) for name, one in given.items()}
        if missing := [source for source in sources if source not in known]:
            raise InputError(f"objective: found none for {missing[0]}, wanted one for each source")
        return Objectives(next(iter(known.values())), known)
    if isinstance(given, list | tuple):
        if len(given) != len(data):
            raise InputError(f"objective: found {len(given)}, wanted {len(data)}, one for each source")
        return Objectives(_objective(given[0]), dict(zip(sources, map(_objective, given), strict=True)))
    return Objectives(_objective(given))


def _objective(given: Any) -> Objective:
    """What a caller gives as one; raises an InputError where it is none."""
    if isinstance(given, type) or not (callable(given) and hasattr(given, "contrasts")):
        raise InputError(
            f"objective: found {shown(given)}, wanted one, as nearfar.InfoNCELoss(), or one for each source"
        )
    objective: Objective = given
    return objective


def _over_widths(objective: Objective, settings: Settings) -> Objective:
    """The objective, over each of the widths that the settings name, if they name any."""
    if not settings.matryoshka:
        return objective
    try:
        return cast(Objective, Matryoshka(objective, settings.matryoshka))
    except ValueError:
        found = ", ".join(map(str, settings.matryoshka))
        raise InputError(f"matryoshka: found {found}, wanted different whole numbers from 1 up") from None


def weights_of(settings: Settings, sources: Sequence[str]) -> list[float]:
    """By how much more often than else each source is drawn from, 1 for one that is not named.

    Raises:
        InputError: a weight is no number above 0, or for a table that there is not.
    """
    named = by_source("weight_for", settings.weight_for, sources)
    return [above_zero(f"weight_for: {source}", named.get(source, "1")) for source in sources]


def by_source(option: str, given: Sequence[str], sources: Sequence[str]) -> dict[str, str]:
    """``["a.tsv=x"]`` to ``{"data/a.tsv": "x"}``: a source is named as it was given, or by its file name.

    Raises:
        InputError: a word is no SOURCE=VALUE, or its source is unknown, named twice, or one of several of that name.
    """
    found: dict[str, str] = {}
    for word in given:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise InputError(f"{option}: found {word!r}, wanted SOURCE=VALUE")
        source = _find(option, name, sources)
        if source in found:
            raise InputError(f"{option}: found {name} twice, wanted it once")
        found[source] = value
    return found


def _find(option: str, name: str, sources: Sequence[str]) -> str:
    fitting = dict.fromkeys(one for one in sources if name in (one, Path(one).name))
    if name in fitting or len(fitting) == 1:
        return name if name in fitting else next(iter(fitting))
    found = f"{name}, which several are called" if fitting else name
    raise InputError(f"{option}: found {found}, wanted one of {', '.join(sources)}")
