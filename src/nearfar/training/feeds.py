"""Feeds: which batch comes at which position of a run, out of tables or out of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from nearfar.data.batches import (
    BatchPlan,
    Epoch,
    Order,
    Position,
    SourceRows,
    by_cluster,
    by_length,
    no_duplicates,
    per_class,
    shuffled,
    temperature_weights,
)
from nearfar.data.groups import Ids
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.objectives import weights_of
from nearfar.training.sources import Batch, Source, Streamed, Tokenised, Vectors

START = Position()


class Feed(Protocol):
    """Endless batches, a pure function of the position where the encoder has no say."""

    def batches(self, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """(position, batch) from `start` on."""

    @property
    def steps_in_epoch(self) -> int | None:
        """Batches of an epoch; None where that is not known before it is over."""

    def state(self) -> dict[str, Any]:
        """What a position does not say of the batches to come, for `load`."""

    def load(self, state: dict[str, Any]) -> None:
        """Take on what `state` gave."""


@dataclass
class TableFeed:
    """Batches of tables.

    Attributes:
        sources: ready.
        plan: of their rows.
        moving: whether an epoch's batches depend on the encoder as it is when the epoch begins.
    """

    sources: Sequence[Source]
    plan: BatchPlan
    moving: bool = False
    known: tuple[int, Epoch] | None = field(default=None, init=False)

    @property
    def steps_in_epoch(self) -> int:
        if self.known is None or self.known[0] == 0:  # which will be needed, and clusters are dear
            return len(self._epoch(0))
        return self.plan.steps_in_epoch()

    def batches(self, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        for position, number, rows in self.plan.batches(start, epochs=self._epoch):
            yield position, self.sources[number].batch(rows, position.epoch)

    def _epoch(self, number: int) -> Epoch:
        if self.known is None or self.known[0] != number:
            self.known = number, self.plan.epoch(number)
        return self.known[1]

    def state(self) -> dict[str, Any]:
        if self.known is None or not self.moving:
            return {}
        epoch, (sources, rows) = self.known[0], zip(*self.known[1], strict=True)
        return {
            "epoch": epoch,
            "sources": np.array(sources),
            "rows": np.concatenate(rows),
            "ends": np.cumsum([len(batch) for batch in rows]),
        }

    def load(self, state: dict[str, Any]) -> None:
        if state:
            batches = np.split(state["rows"], state["ends"][:-1])
            self.known = state["epoch"], list(zip(state["sources"].tolist(), batches, strict=True))


@dataclass(frozen=True)
class StreamFeed:
    """Batches of streams, in turn; a stream that has run out waits for the next epoch."""

    sources: Sequence[Streamed]
    batch_size: int

    @property
    def steps_in_epoch(self) -> None:
        return None

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass

    def batches(self, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        position = start
        while True:
            count = 0
            for index, make in enumerate(self._turns(position.epoch)):
                count += 1
                if index >= position.index:
                    yield Position(position.epoch, index), make()
            if not count:
                raise InputError(f"{self.sources[0].stream.source}: found no batch of two rows or more in a whole pass")
            position = Position(position.epoch + 1)

    def _turns(self, epoch: int) -> Iterator[Callable[[], Batch]]:
        left = [source.batches(self.batch_size, epoch) for source in self.sources]
        while left:
            for stream in list(left):
                batch = next(stream, None)
                if batch is None:
                    left.remove(stream)
                else:
                    yield batch


def plan_of(sources: Sequence[Source], settings: Settings, vectors: Callable[[Source], Vectors]) -> BatchPlan:
    """The plan that the settings ask for.

    Args:
        sources: ready.
        settings: with a batch size.
        vectors: the current embedding of each row of a source, for batches by cluster.

    Raises:
        InputError: the batches that are asked for cannot be made of a source.
    """
    assert settings.batch_size is not None
    lengths = [len(source.table) for source in sources]
    weights: list[float] | None = None
    if settings.source_temperature is not None:
        weights = temperature_weights(lengths, temperature=settings.source_temperature)
    if settings.weight_for:
        more = weights_of(settings, [source.table.source for source in sources])
        weights = [share * by for share, by in zip(weights or lengths, more, strict=True)]
    rows = [SourceRows(len(source.table), _order(source, settings, vectors)) for source in sources]
    return BatchPlan(rows, settings.batch_size, settings.seed, weights)


def _order(source: Source, settings: Settings, vectors: Callable[[Source], Vectors]) -> Order:
    if settings.batches == "shuffled":
        return shuffled
    if settings.batches == "cluster":
        return lambda rows, generator, size: by_cluster(vectors(source))(rows, generator, size)  # as it is by then
    if not isinstance(source, Tokenised):
        raise InputError(
            f"{source.table.source}: found --batches {settings.batches} for texts that are viewed anew each epoch,"
            " wanted shuffled or cluster"
        )
    if settings.batches == "length":
        return by_length(np.max([tokens.lengths for tokens in source.tokens.values()], axis=0))
    if settings.batches == "no-duplicates":
        return no_duplicates([source.ids[role] for role in source.table.text_roles])
    return per_class(_labels(source), m=settings.per_class)


def _labels(source: Tokenised) -> Ids:
    if "label" not in source.ids:
        raise InputError(f"{source.table.source}: found no labels, wanted text and label for --batches per-class")
    return source.ids["label"]
