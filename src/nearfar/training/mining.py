"""Negatives mined anew while training goes on (ANCE): near by the encoder as it is, and soon stale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfar.data.groups import Ids
from nearfar.data.negatives.mining import mine
from nearfar.data.negatives.rules import Limits, Rules
from nearfar.data.negatives.search import VectorSearch, as_unit
from nearfar.data.negatives.task import Task
from nearfar.encoders import Encoder
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.ready import embed_all
from nearfar.training.sources import Source, Tokenised

WINDOW = 30
"""Nearest neighbours among which negatives are drawn: the very nearest are too often true."""

MARGIN = 0.05
"""Share of its positive's score that a negative must stay below (NV-Retriever, de Souza et al. 2024)."""


@dataclass(frozen=True)
class _Mine:
    """A source, its texts by number, and for each anchor and each candidate the first row that it stands in."""

    source: Tokenised
    task: Task
    anchor_rows: Ids
    candidate_rows: Ids

    @classmethod
    def of(cls, source: Tokenised) -> _Mine:
        task = Task.of_table(source.table)
        firsts = (np.unique(column, return_index=True)[1] for column in task.rows.T)  # both numbered as they come
        return cls(source, task, *firsts)


class Miner:
    """Every so many steps finds the nearest wrong positives of each anchor (Xiong et al. 2021, ANCE).

    The vectors are those of the step at which it looks; until the next time the encoder moves on and they are stale.

    Args:
        encoder: whose embeddings are searched.
        settings: `mine_every`, `mine_count`, `seed`.
        sources: those of pairs are mined.

    Raises:
        InputError: mining is asked for and there are no pairs.
    """

    def __init__(self, encoder: Encoder, settings: Settings, sources: Sequence[Source]) -> None:
        self.encoder, self.every, self.settings = encoder, settings.mine_every, settings
        pairs = [one for one in sources if isinstance(one, Tokenised) and one.table.kind == one.kind == "pairs"]
        if self.every and not pairs:
            raise InputError(f"mine_every: found {self.every}, wanted none, as there are no pairs to mine negatives of")
        self.mines = [_Mine.of(source) for source in pairs] if self.every else []

    def refresh(self, step: int) -> str:
        """Mine where it is time; a line about it, or ""."""
        if not self.every or step == 0 or step % self.every:
            return ""
        found = sum(self._mine(mine, step) for mine in self.mines)
        return f"{found:,} negatives mined with the vectors of this step, stale until step {step + self.every}"

    def state(self) -> list[Ids | None]:
        """The mined negatives of each source, for `load`."""
        return [mine.source.mined for mine in self.mines]

    def load(self, state: Sequence[Ids | None]) -> None:
        """Take on what `state` gave."""
        for place, mined in zip(self.mines, state, strict=True):
            place.source.mined = mined

    def _mine(self, place: _Mine, step: int) -> int:
        source = place.source
        anchors = embed_all(source.tokens["anchor"].take(place.anchor_rows), self.encoder)
        candidates = embed_all(source.tokens["positive"].take(place.candidate_rows), self.encoder)
        rules = Rules(
            count=self.settings.mine_count,
            window=max(WINDOW, self.settings.mine_count),
            draw="random",
            limits=Limits(relative_margin=MARGIN),
            seed=self.settings.seed + step,
        )
        try:
            mined = mine(place.task, VectorSearch(as_unit(anchors), as_unit(candidates)), rules)
        except InputError:  # none is below the margin
            source.mined = None
            return 0
        rows = np.where(mined.places >= 0, place.candidate_rows[mined.places], -1)
        source.mined = rows[place.task.rows[:, 0]]
        return int((mined.places >= 0).sum())
