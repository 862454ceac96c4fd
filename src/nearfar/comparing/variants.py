"""Variants: what differs between the runs of a comparison, and what is searched for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from nearfar.comparing.searching import Dimension, dimension_of
from nearfar.data import Table
from nearfar.data.limits import above_zero
from nearfar.data.views import Views
from nearfar.errors import InputError
from nearfar.objectives import REGISTRY, Objective, parse_objective
from nearfar.settings import Settings
from nearfar.training.fitting import check_suited, check_usable
from nearfar.training.ready import parse_views

Vary = Literal["objective", "view", "negatives", "temperature", "batch-size"]
USUAL: Mapping[str, Sequence[str]] = {
    "objective": tuple(REGISTRY),
    "view": (
        "dropout crop span delete swap repeat typo inverse_cloze adjacent cutoff:kind=tokens cutoff:kind=features"
        " shuffle gaussian mixup adversarial"
    ).split(),
    "negatives": ("in-batch", "given", "no-duplicates", "cluster", "mined", "mixed", "queue"),
    "temperature": ("0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"),
    "batch-size": ("32", "64", "128", "256", "512", "1024"),
}
"""What is compared where nothing is named."""

NEGATIVES: Mapping[str, Mapping[str, Any]] = {
    "in-batch": {},
    "given": {},
    "no-duplicates": {"batches": "no-duplicates"},
    "cluster": {"batches": "cluster"},
    "mined": {"mine_every": 20},
    "mixed": {"mixed": 4},
    "queue": {"queue": 4096},
}
"""Ways to have negatives: all but `given` do without those of the table."""


@dataclass(frozen=True)
class Variant:
    """One of the things compared.

    Attributes:
        name: in the table.
        objective: as `parse_objective` takes it.
        changes: settings that differ from those of the comparison.
        negatives: whether the negatives of the tables are used.
        searched: what its trials vary, or None.
        note: on what had to be left out.
    """

    name: str
    objective: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    negatives: bool = True
    searched: Dimension | None = None
    note: str = ""

    def tables(self, data: Sequence[Table]) -> list[Table]:
        """What it trains on."""
        return list(data) if self.negatives else [without_negatives(table) for table in data]

    def built(self, value: float | None) -> Objective:
        """The objective, at a value of what is searched."""
        if value is None or self.searched is None or self.searched.name == "learning_rate":
            return parse_objective(self.objective)
        sign = "," if ":" in self.objective else ":"
        return parse_objective(f"{self.objective}{sign}{self.searched.name}={value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def without_negatives(table: Table) -> Table:
    """The same rows without their negatives."""
    return Table(table.rows.remove_columns([*table.negatives, *table.taught]), table.kind, table.source)


def variants_of(
    vary: str, objectives: Sequence[str], values: Sequence[str], data: Sequence[Table], settings: Settings
) -> tuple[list[Variant], dict[str, str]]:
    """What is compared, and what the data leaves out: name -> reason.

    Args:
        vary: a `Vary`.
        objectives: names, with options; all that there are for "objective", "infonce" for the others, where empty.
        values: of what is varied; those of `USUAL` where empty.
        data: to train on.
        settings: of the comparison.

    Raises:
        InputError: a name or value is unknown, or fewer than two variants are left.
    """
    check_names(vary, objectives, values)
    for table in data:
        if len(table) < 2:
            raise InputError(f"{table.source}: found {len(table)} row, wanted at least 2 to contrast with each other")
    variants, left_out = [], {}
    for variant in _all_named(vary, objectives, values):
        found = _fitted(variant, data, settings)
        if isinstance(found, Variant):
            variants.append(found)
        else:
            left_out[variant.name] = found
    if len(variants) < 2:
        reasons = "; ".join(dict.fromkeys(left_out.values()))
        raise InputError(f"found {len(variants)} to compare, wanted at least 2" + (f": {reasons}" if reasons else ""))
    return variants, left_out


def check_names(vary: str, objectives: Sequence[str], values: Sequence[str]) -> None:
    """Raise an InputError where a name or a value is unknown; see `variants_of`."""
    if vary not in get_args(Vary):
        raise InputError(f"--vary: found {vary!r}, wanted one of {', '.join(get_args(Vary))}")
    if vary != "objective" and len(objectives) > 1:
        raise InputError(f"--objective: found {len(objectives)}, wanted one where --vary {vary} is compared")
    if vary == "objective" and values:
        raise InputError("--value: found some, wanted none where objectives are compared: --objective names them")
    for variant in _all_named(vary, objectives, values):
        if "view" in variant.changes:
            Views.parse(variant.changes["view"])


def _all_named(vary: str, objectives: Sequence[str], values: Sequence[str]) -> list[Variant]:
    named = objectives if vary == "objective" else values
    return [_named(vary, name, (objectives or ["infonce"])[0]) for name in dict.fromkeys(named or USUAL[vary])]


def _named(vary: str, name: str, objective: str) -> Variant:
    """The variant of that name, before it is known whether the data suits it."""
    if vary == "objective":
        return Variant(name, name, searched=dimension_of(name, parse_objective(name)))
    built = parse_objective(objective)
    if vary == "temperature":
        value = above_zero("--value", name)
        sign = "," if ":" in objective else ":"
        text = f"{objective}{sign}temperature={value!r}"
        parse_objective(text)
        return Variant(name, text)
    searched = dimension_of(objective, built)
    if vary == "view":
        return Variant(name, objective, {"view": [name]}, searched=searched)
    if vary == "batch-size":
        value = above_zero("--value", name)
        if not value.is_integer():
            raise InputError(f"--value: found {name!r}, wanted a whole number of rows")
        return Variant(name, objective, {"batch_size": int(value)}, searched=searched)
    if name not in NEGATIVES:
        raise InputError(f"--value: found {name!r}, wanted one of {', '.join(NEGATIVES)}")
    return Variant(name, objective, NEGATIVES[name], name == "given", searched)


def _fitted(variant: Variant, data: Sequence[Table], settings: Settings) -> Variant | str:
    """The variant as the data allows it, if need be without their negatives; else the reason why it does not."""
    having = any(table.negatives for table in data)
    if variant.name == "given" and not having:
        return "no table has negatives of its own"
    changed = Settings.build(settings.model_dump() | dict(variant.changes), variant.name)
    without = replace(variant, negatives=False, note="without the negatives of the table, for which it has no place")
    reason = ""
    for tried in (variant, without) if having and variant.negatives else (variant,):
        try:
            _check(tried, tried.tables(data), changed)
        except InputError as error:
            reason = reason or str(error)
        else:
            return tried
    return reason


def _check(variant: Variant, tables: Sequence[Table], settings: Settings) -> None:
    """Raise an InputError unless the variant can be trained on the tables."""
    objective = variant.built(None)
    for table in tables:
        check_usable(table, objective, taught=settings.teacher is not None)
    views = parse_views(settings, tables)
    check_suited(tables, [objective] * len(tables), settings, views.views)
