"""Sources: tables and streams made ready for training, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data import Table
from nearfar.data.groups import Ids, number_texts, numbers_of
from nearfar.data.roles import GROUP, MARKS, is_mark
from nearfar.data.streams import Stream
from nearfar.data.views import Views
from nearfar.encoders import Encoder
from nearfar.encoders.prompts import prompt_of, prompted
from nearfar.encoders.tokens import Tokens
from nearfar.training.teaching import Grades, Teacher

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Batch:
    """Rows of one source that are contrasted with each other.

    Attributes:
        source: what the user called it.
        kind: of the contrast that is made.
        tokens: columns of texts: anchors, positives, and negatives of any number; of labelled texts one column.
        ids: for each column ``(n,)`` numbers of its texts, equal for equal texts; a changed text has that of the
            text it was made of.
        marks: ``(n,)`` labels, scores, or of pairs and views the numbers of groups that the user named; or None.
            Scores of a teacher are ``(n, 1 + k)``, of the positive and of each negative.
        guide: for each column ``(n, g)`` a second model's embeddings, or None.
        log_shares: ``(n,)`` logarithms of how large a share of all rows has each row's positive, where positives are
            noise; else None.
    """

    source: str
    kind: str
    tokens: tuple[Tokens, ...]
    ids: tuple[Ids, ...]
    marks: NDArray[Any] | None = None
    guide: tuple[Vectors, ...] | None = None
    log_shares: Vectors | None = None


@dataclass
class Tokenised:
    """A table whose texts stay as they are, tokenised once.

    Attributes:
        table: where the rows come from.
        kind: of the contrast that is made.
        tokens, ids: of each text role, and of `label` and `group` the ids.
        guide: of each text role ``(n, g)`` a second model's embeddings; empty without one.
        taught: ``(n, 1 + k)`` a teacher's scores, or None.
        log_shares: ``(n,)`` as in `Batch`.
        mined: ``(n, k)`` rows whose positives are negatives of each row, -1 for none; changed as training goes on.
    """

    table: Table
    kind: str
    tokens: dict[str, Tokens]
    ids: dict[str, Ids]
    guide: dict[str, Vectors]
    taught: Grades | None = None
    log_shares: Vectors | None = None
    mined: Ids | None = None

    @classmethod
    def of(
        cls, table: Table, kind: str, encoder: Encoder, guide: Embed | None = None, teacher: Teacher | None = None
    ) -> Tokenised:
        """Tokenise a table, number its texts, and ask the guide once for each text, the teacher for each pair."""
        roles = table.text_roles
        prompts = {role: prompt_of(encoder.model, role) for role in roles}
        tokens = {
            role: encoder.tokenise(prompted(batch[role], prompts[role]) for batch in table.batches()) for role in roles
        }
        named = (role for role in (*roles, "label", GROUP) if role in table.roles)
        ids = {role: number_texts(table, role) for role in named}
        found = {} if guide is None else {role: guide(table.column(role)) for role in roles}
        taught = teacher.grades(table.roles, table.column) if teacher and kind == "graded" else None
        shares = _log_shares(kind, ids[roles[:2][-1]])
        return cls(table, kind, tokens, ids, found, taught, shares)

    def batch(self, rows: Ids, epoch: int) -> Batch:
        """The batch of these rows, in any epoch the same."""
        columns = [[(role, rows)] for role in self.table.text_roles[:2]]
        if self.table.kind == "texts":
            columns *= 2
        negatives = [(role, rows) for role in self.table.negatives]
        if self.mined is not None:
            chosen = self.mined[rows].T.ravel()
            negatives.append(("positive", chosen[chosen >= 0]))
        if negatives:
            columns.append(negatives)
        return Batch(
            self.table.source,
            self.kind,
            tuple(Tokens.concatenate([self.tokens[role].take(at) for role, at in column]) for column in columns),
            tuple(np.concatenate([self.ids[role][at] for role, at in column]) for column in columns),
            self._marks(rows),
            tuple(np.concatenate([self.guide[role][at] for role, at in column]) for column in columns)
            if self.guide
            else None,
            None if self.log_shares is None else self.log_shares[rows],
        )

    def _marks(self, rows: Ids) -> NDArray[Any] | None:
        if self.kind == "graded":
            return np.asarray(self.table.rows[rows]["score"]) if self.taught is None else self.taught[rows]
        marks = self.ids.get("label" if self.kind == "labelled" else GROUP)
        return None if marks is None else marks[rows]


@dataclass(frozen=True)
class Passing:
    """Makes batches of texts as they come by: viewed, tokenised, numbered and guided when they do.

    Attributes:
        source, kind: see `Batch`.
        encoder: whose tokens they become.
        views: what makes positives of lone texts.
        seed: of the views.
        guide: a second model, or None.
        teacher: one that grades pairs, or None.
    """

    source: str
    kind: str
    encoder: Encoder
    views: Views
    seed: int
    guide: Embed | None = None
    teacher: Teacher | None = None

    def batch(self, texts: Mapping[str, Sequence[Any]], rows: Sequence[int], epoch: int) -> Batch:
        """The batch of these texts, by role; rows and epoch are what the views depend on."""
        roles = [role for role in texts if not is_mark(role)]
        columns = [list(texts[role]) for role in roles[:2]]
        if negatives := [text for role in roles[2:] for text in texts[role]]:
            columns.append(negatives)
        original = columns
        viewed = roles == ["text"] and self.kind != "labelled"
        if viewed:
            original, columns = 2 * columns, list(self.views.pairs(columns[0], rows, seed=self.seed, epoch=epoch))
        asked = self.teacher if self.kind == "graded" else None
        taught = None if asked is None else asked.grades([*texts], texts.__getitem__)
        marks = next((texts[role] for role in MARKS if role in texts), None)
        guided = () if self.guide is None else tuple(map(self.guide, original[:1] if viewed else original))
        return Batch(
            self.source,
            self.kind,
            tuple(self.encoder.tokenise([column]) for column in self._prompted(roles, columns)),
            tuple(numbers_of(column) for column in original),
            self._marks(marks) if taught is None else taught,
            (2 * guided if viewed else guided) or None,
        )

    def _marks(self, marks: Sequence[Any] | None) -> NDArray[Any] | None:
        if marks is None:
            return None
        return np.asarray(marks) if self.kind == "graded" else numbers_of(marks)

    def _prompted(self, roles: Sequence[str], columns: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Columns with their prompts: two views have that of their text, all negatives one."""
        for place, column in enumerate(columns):
            yield prompted(column, prompt_of(self.encoder.model, roles[min(place, len(roles) - 1)]))


@dataclass(frozen=True)
class Viewed:
    """A table of lone texts whose views are made anew each epoch; `log_shares` as in `Batch`."""

    table: Table
    passing: Passing
    log_shares: Vectors | None = None

    @classmethod
    def of(cls, table: Table, passing: Passing) -> Viewed:
        """With the texts counted where they are each other's noise."""
        return cls(table, passing, _log_shares(passing.kind, number_texts(table, "text")))

    def batch(self, rows: Ids, epoch: int) -> Batch:
        """The batch of these rows, as the epoch has it."""
        made = self.passing.batch(self.table.rows[rows], rows.tolist(), epoch)
        return made if self.log_shares is None else replace(made, log_shares=self.log_shares[rows])


Source = Tokenised | Viewed


def _log_shares(kind: str, texts: Ids) -> Vectors | None:
    """What `Batch` calls so, of the numbers ``(n,)`` of all rows' texts; None where they are not noise."""
    if kind != "sampled":
        return None
    _, which, counts = np.unique(texts, return_inverse=True, return_counts=True)
    return np.log(counts[which] / len(texts)).astype(np.float32)


@dataclass(frozen=True)
class Streamed:
    """A stream; its rows are numbered as they come out of the shuffle buffer."""

    stream: Stream
    passing: Passing
    buffer: int
    seed: int

    def batches(self, batch_size: int, epoch: int) -> Iterator[Callable[[], Batch]]:
        """One pass; each batch is made where it is called for, so that passing it over costs little."""
        number = 0
        for texts in self.stream.batches(batch_size, buffer=self.buffer, seed=self.seed, epoch=epoch):
            count = len(next(iter(texts.values())))
            rows = range(number, number + count)
            number += count
            if count > 1:  # a lone row has nothing to be contrasted with
                yield partial(self.passing.batch, texts, rows, epoch)
