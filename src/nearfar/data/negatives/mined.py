"""What mining found: negatives, their scores, and why the other neighbours were left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from nearfar.data.negatives.hits import Ids, Scores
from nearfar.data.negatives.task import Task
from nearfar.data.roles import GROUP
from nearfar.data.tables import Table
from nearfar.errors import InputError

Format = Literal["tuples", "triplets", "pairs", "lists"]
Fewer = Literal["repeat", "drop"]
ROWS = 10_000


@dataclass(frozen=True)
class Mined:
    """The negatives of a table.

    Attributes:
        task: the texts by number.
        places: ``(n, count)`` of each anchor's negatives among the candidates, nearest first; -1 where it has fewer.
        scores: ``(n, count)`` theirs; NaN where there is none.
        positive_scores: ``(rows,)`` of each row's anchor and positive.
        reasons: what became of all neighbours looked at: reason -> how many, in the order of asking.
        wanted: negatives asked for; more than `count` where no anchor has as many.
        seconds: of searching and choosing.
        source: what the user called the table.
        ranked: whether positives stand among the negatives, as `Rules.include_positives` asks.
    """

    task: Task
    places: Ids
    scores: Scores
    positive_scores: Scores
    reasons: dict[str, int]
    wanted: int
    seconds: float
    source: str = "memory"
    ranked: bool = False

    @property
    def count(self) -> int:
        """Columns of negatives: what was wanted, or the most that an anchor has."""
        return int(self.places.shape[1])

    @property
    def found(self) -> Ids:
        """``(n,)`` negatives of each anchor."""
        return np.asarray(np.count_nonzero(self.places >= 0, axis=1))

    @property
    def table(self) -> Table:
        """`batches` as tuples, ready to train on."""
        columns: dict[str, list[Any]] = {}
        for batch in self.batches():
            for role, values in batch.items():
                columns.setdefault(role, []).extend(values)
        if not columns:
            raise InputError(f"{self.source}: found no row with {self.count} negatives, wanted some (or fewer=repeat)")
        return Table.from_columns(columns, self.source)

    def batches(self, form: Format = "tuples", fewer: Fewer = "repeat") -> Iterator[dict[str, list[Any]]]:
        """Rows to write, a few thousand at a time: column -> values. A row without any negative is left out.

        Args:
            form: "tuples": anchor, positive, negative_1 ..., a row for each of the table's; "triplets": anchor,
                positive, negative, a row for each negative; "pairs": sentence1, sentence2, score (1 or 0, near or
                far) and similarity, a row for each positive and each negative; "lists": anchor, texts, labels (1 or
                0) and scores, a row for each of the table's. Tuples and triplets have columns of the scores and of the
                table's groups as well.
            fewer: of tuples alone, a row with fewer negatives than columns: "repeat" starts again from its first
                one, "drop" leaves the row out.

        Raises:
            InputError: there is no such form.
        """
        if form not in get_args(Format):
            raise InputError(f"format: found {form!r}, wanted {', '.join(get_args(Format))}")
        if self.ranked and form != "lists":
            raise InputError(f"format: found {form!r}, wanted lists, which tell positives from negatives")
        if fewer not in get_args(Fewer):
            raise InputError(f"fewer: found {fewer!r}, wanted {' or '.join(get_args(Fewer))}")
        least = self.count if form == "tuples" and fewer == "drop" else 1
        kept = np.flatnonzero(self.found[self.task.rows[:, 0]] >= least)
        make = {"tuples": self._tuples, "triplets": self._triplets, "pairs": self._pairs, "lists": self._lists}[form]
        for start in range(0, len(kept), ROWS):
            yield make(kept[start : start + ROWS])

    def _texts(self, places: Ids) -> list[str]:
        return [self.task.candidates[place] for place in places]

    def _anchors(self, rows: Ids) -> list[str]:
        return [self.task.anchors[number] for number in self.task.rows[rows, 0]]

    def _groups(self, rows: Ids) -> dict[str, list[Any]]:
        """The column of groups, which training has a use for too; nothing where the table has none."""
        groups = self.task.groups
        return {} if groups is None else {GROUP: [groups[row] for row in rows]}

    def _tuples(self, rows: Ids) -> dict[str, list[Any]]:
        numbers = self.task.rows[rows, 0]
        column = np.arange(self.count) % self.found[numbers][:, None]
        places = np.take_along_axis(self.places[numbers], column, 1)
        scores = np.take_along_axis(self.scores[numbers], column, 1)
        one = ["negative"] if self.count == 1 else [f"negative_{number + 1}" for number in range(self.count)]
        texts: dict[str, list[Any]] = {
            "anchor": self._anchors(rows),
            "positive": self._texts(self.task.rows[rows, 1]),
            **{name: self._texts(places[:, i]) for i, name in enumerate(one)},
        }
        texts["positive_score"] = self.positive_scores[rows].tolist()
        scored = {f"{name}_score": scores[:, i].tolist() for i, name in enumerate(one)}
        return texts | scored | self._groups(rows)

    def _flat(self, rows: Ids) -> tuple[Ids, Ids, Ids]:
        """Of each negative of these rows: the row, the anchor's number, the column."""
        row, column = np.nonzero(self.places[self.task.rows[rows, 0]] >= 0)
        return rows[row], self.task.rows[rows[row], 0], column

    def _triplets(self, rows: Ids) -> dict[str, list[Any]]:
        row, number, column = self._flat(rows)
        return {
            "anchor": self._anchors(row),
            "positive": self._texts(self.task.rows[row, 1]),
            "negative": self._texts(self.places[number, column]),
            "positive_score": self.positive_scores[row].tolist(),
            "negative_score": self.scores[number, column].tolist(),
            **self._groups(row),
        }

    def _pairs(self, rows: Ids) -> dict[str, list[Any]]:
        """Each positive, and after the last one of an anchor its negatives, once."""
        last = dict(zip(self.task.rows[:, 0].tolist(), range(len(self.task.rows)), strict=True))
        columns: dict[str, list[Any]] = {"sentence1": [], "sentence2": [], "score": [], "similarity": []}
        for row in rows.tolist():
            number, place = self.task.rows[row].tolist()
            ends = last[number] == row
            near = [(place, 1.0, float(self.positive_scores[row]))]
            far = zip(self.places[number].tolist(), self.scores[number].tolist(), strict=True) if ends else ()
            for at, grade, score in [*near, *((at, 0.0, score) for at, score in far if at >= 0)]:
                values = (self.task.anchors[number], self.task.candidates[at], grade, score)
                for column, value in zip(columns.values(), values, strict=True):
                    column.append(value)
        return columns

    def _lists(self, rows: Ids) -> dict[str, list[Any]]:
        numbers = self.task.rows[rows, 0]
        places, scores = self.places[numbers], self.scores[numbers]
        labels = self.task.is_positive(numbers, places)
        if not self.ranked:  # the row's own positive leads
            places = np.concatenate([self.task.rows[rows, 1:], places], axis=1)
            scores = np.concatenate([self.positive_scores[rows, None], scores], axis=1)
            labels = np.concatenate([np.ones((len(rows), 1), bool), labels], axis=1)
        sizes = np.count_nonzero(places >= 0, axis=1)
        return {
            "anchor": self._anchors(rows),
            "texts": [self._texts(row[:size]) for row, size in zip(places, sizes, strict=True)],
            "labels": [row[:size].astype(int).tolist() for row, size in zip(labels, sizes, strict=True)],
            "scores": [row[:size].tolist() for row, size in zip(scores, sizes, strict=True)],
        }
