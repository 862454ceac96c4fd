"""What a comparison is given: tables to train, to choose and to judge on, seeds, trials, and the time for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nearfar.comparing.variants import Variant
from nearfar.data import Table
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.held_out import hold_out
from nearfar.training.recorded import described


@dataclass(frozen=True)
class Plan:
    """A comparison, before it begins.

    Attributes:
        train: tables to train on, the same for all variants.
        validation: tables by which temperature, margin, step and trial are chosen.
        test: tables that the figures of the result are of; nothing is chosen on them.
        note: where these come from, in words.
        variants: what is compared.
        settings: that all of them share.
        seeds: runs of each variant that count, from `settings.seed` on.
        trials: runs of each variant to search with, where it has something to search.
        minutes: of training for the whole comparison, or None: `settings` say how long a run is.
    """

    train: Sequence[Table]
    validation: Sequence[Table]
    test: Sequence[Table]
    note: str
    variants: Sequence[Variant]
    settings: Settings
    seeds: int
    trials: int
    minutes: float | None

    def trials_of(self, variant: Variant) -> int:
        """Runs to search with."""
        return self.trials if variant.searched else 0

    @property
    def run_minutes(self) -> float | None:
        """An equal share of the minutes for each run, whether its trial will be cut short or not."""
        runs = sum(self.trials_of(variant) + self.seeds for variant in self.variants)
        return None if self.minutes is None else self.minutes / runs

    @property
    def identity(self) -> dict[str, Any]:
        """Plain values that tell whether runs found on disk are of this comparison."""
        tables = {"data": self.train, "validation": self.validation, "test": self.test}
        return {
            **{name: [described(table) for table in some] for name, some in tables.items()},
            "variants": [variant.to_dict() for variant in self.variants],
            "settings": self.settings.model_dump(),
            "seeds": self.seeds,
            "trials": self.trials,
            "minutes": self.minutes,
        }


def split(
    data: Sequence[Table], validation: Sequence[Table], test: Sequence[Table], *, share: float, seed: int
) -> tuple[list[Table], list[Table], list[Table], str]:
    """Tables to train, to choose and to judge on, and a sentence on where they come from.

    Args:
        data: to train on; what is missing of the others is held out of it, no text on two sides.
        validation: given to choose by; may be empty.
        test: given to judge by; may be empty.
        share: of the rows to hold out, for each of the two.
        seed: of that choice.

    Raises:
        InputError: nothing can be held out where that is needed.
    """
    train, notes = list(data), []
    parts = {"--eval": list(test), "--validation": list(validation)}
    for number, (option, given) in enumerate(parts.items()):
        what = "Test" if number == 0 else "Validation"
        if given:
            notes.append(f"{what}: {', '.join(table.source for table in given)}.")
            continue
        divided = [hold_out(table, share, seed + number) for table in train]
        train = [rest for rest, _ in divided]
        given += [part for _, part in divided if part is not None]
        if not given:
            known = ", ".join(f"{table.source} ({len(table):,} rows, {table.kind})" for table in data)
            raise InputError(f"{known}: found nothing that can be held out, wanted {option} FILE to measure on")
        notes.append(f"{what}: {sum(map(len, given)):,} rows held out of the data.")
    notes.append("Nothing was chosen on the test part.")
    return train, parts["--validation"], parts["--eval"], " ".join(notes)
