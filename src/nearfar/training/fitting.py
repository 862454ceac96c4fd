"""Which contrast an objective takes of a table, and what to say where it takes none."""

from __future__ import annotations

from collections.abc import Sequence

from nearfar.data import Table
from nearfar.data.roles import NEGATIVE, is_margin, is_taught
from nearfar.data.streams import Stream
from nearfar.data.views import View
from nearfar.errors import InputError
from nearfar.objectives import MarginMSELoss, Matryoshka, Objective
from nearfar.settings import Settings

Data = Table | Stream

_OF_PAIRS = ("pairs", "views", "sampled")
KINDS = {"labelled": ("labelled",), "scored": ("graded",), "pairs": _OF_PAIRS, "texts": _OF_PAIRS}
"""Contrasts that can be made of data, the first that an objective takes being taken."""


def contrast_for(data: Data, objective: Objective, *, taught: bool = False) -> str | None:
    """The kind of contrast that the objective takes and the table holds; None where there is none.

    Args:
        data: a table or stream.
        objective: what pulls and pushes.
        taught: whether a second model grades the pairs; the rows may bring scores of a teacher as well.
    """
    if (taught or _brings_grades(data, objective)) and _can_be_taught(data, objective):
        return "graded"
    if isinstance(_inner(objective), MarginMSELoss):  # it compares candidates of one row, and a row of a table has one
        return None
    fitting = [kind for kind in KINDS.get(data.kind, ()) if kind in objective.contrasts]
    return next((kind for kind in fitting if not _lacks(kind, data)), None)


def _lacks(kind: str, data: Data) -> bool:
    """Negatives have no place among views and noise; of a stream nobody knows how frequent a text is."""
    return (kind in ("views", "sampled") and _negatives(data)) or (kind == "sampled" and isinstance(data, Stream))


def _brings_grades(data: Data, objective: Objective) -> bool:
    """Whether the rows have a teacher's scores; margins say nothing between rows, which all but Margin-MSE compare."""
    return is_scored(data) and (isinstance(_inner(objective), MarginMSELoss) or not any(map(is_margin, data.roles)))


def _inner(objective: Objective) -> Objective:
    """What an objective over several widths is made of."""
    return objective.objective if isinstance(objective, Matryoshka) else objective


def _can_be_taught(data: Data, objective: Objective) -> bool:
    """Whether the rows have what a teacher can grade; to Margin-MSE a lone positive says nothing."""
    whole = _negatives(data) or not isinstance(_inner(objective), MarginMSELoss)
    return data.kind == "pairs" and "graded" in objective.contrasts and whole


def check_usable(data: Data, objective: Objective, *, taught: bool = False) -> None:
    """Raise an InputError unless `objective` can be trained on `data`; see `contrast_for`."""
    name = type(_inner(objective)).__name__
    if isinstance(data, Table):
        _check_rows(data)
    if contrast_for(data, objective, taught=taught) is not None:
        return
    if data.kind in ("words", "analogies"):
        raise InputError(
            f"{data.source}: found {data.kind}, which are there to be measured on, wanted {_wanted(objective)}"
        )
    if isinstance(_inner(objective), MarginMSELoss):
        found = f"{' and '.join(data.roles)} alone" if taught else "no teacher"
        raise InputError(
            f"{data.source}: found {found}, which {name} cannot learn from; wanted anchor, positive, negative and"
            " --teacher, or its scores in columns positive_score and negative_score, or its margins in a column margin"
        )
    if data.kind == "scored":
        raise InputError(
            f"{data.source}: found sentence1, sentence2 and score, which {name} cannot train on; wanted anchor and"
            " positive (--column anchor=sentence1 --column positive=sentence2, with --where score=1 for near pairs, or"
            " `nearfar convert` by a threshold), or an objective of graded pairs: cosent, angle"
        )
    alone = "a stream" if isinstance(data, Stream) else "pairs"
    found = "labels" if data.kind == "labelled" else "negatives" if _negatives(data) else alone
    raise InputError(f"{data.source}: found {found}, which {name} has no place for; wanted {_wanted(objective)}")


def check_suited(
    data: Sequence[Data], objectives: Sequence[Objective], settings: Settings, views: Sequence[View]
) -> None:
    """Raise an InputError where a setting would change nothing, whichever of the data a batch is from.

    Args:
        data: tables or streams.
        objectives: of each of them.
        settings: of the run.
        views: of the run.
    """
    taught = settings.teacher is not None
    each = list(zip(data, objectives, strict=True))
    kinds = {contrast_for(one, objective, taught=taught) for one, objective in each}
    names = " and ".join(dict.fromkeys(type(objective).__name__ for objective in objectives))
    if taught and not any(_can_be_taught(one, objective) for one, objective in each):
        raise InputError(
            f"--teacher: found {settings.teacher}, wanted none: it grades pairs for marginmse, cosent and angle, and"
            f" {names} makes {' and '.join(sorted(map(str, kinds)))} of this data"
        )
    changed = ", ".join(view.name for view in views if view.space == "embedding" and view.name != "dropout")
    for name, found, wanted in (
        ("mixed", settings.mixed, {"pairs"}),
        ("queue", settings.queue, {"pairs", "views", "labelled"}),
        ("guide", settings.guide, {"pairs", "views", "labelled"}),
        ("view", changed, {"pairs", "views", "sampled", "graded"}),
    ):
        if found and not kinds & wanted:
            raise InputError(
                f"--{name}: found {found}, wanted none: {names} makes"
                f" {' and '.join(sorted(map(str, kinds)))} of this data, and it has no place there"
            )


def is_scored(data: Data) -> bool:
    """Whether the rows bring a teacher's scores or margins of their own."""
    return any(map(is_taught, data.roles))


def _negatives(data: Data) -> bool:
    return any(map(NEGATIVE.fullmatch, data.roles))


def _check_rows(table: Table) -> None:
    if len(table) < 2:
        raise InputError(f"{table.source}: found {len(table)} row, wanted at least 2 to contrast with each other")
    if table.kind == "labelled" and len(set(table.column("label"))) < 2:
        raise InputError(f"{table.source}: found one label only, wanted at least two")


def _wanted(objective: Objective) -> str:
    """What tables the objective takes, in words."""
    words = {
        "pairs": "anchor and positive",
        "views": "text or pairs alone",
        "labelled": "text and label",
        "graded": "sentence1, sentence2 and score",
    }
    wanted = " or ".join(word for kind, word in words.items() if kind in objective.contrasts)
    if not wanted and "sampled" in objective.contrasts:
        return "text or pairs alone, in a table whose texts can be counted"
    return wanted or f"nothing that a table holds: it is made for nearfar.{objective.contrasts[0]} in your own loop"
