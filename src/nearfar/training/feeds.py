"""Feeds: which batch comes at which position of a run, out of tables or out of streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nearfar.data.batches import (
    BatchPlan,
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
from nearfar.training.sources import Batch, Source, Streamed, Tokenised, Vectors

START = Position()


class Feed(Protocol):
    """Endless batches, a pure function of the position where the encoder has no say."""

    def batches(self, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        """(position, batch) from `start` on."""

    @property
    def steps_in_epoch(self) -> int | None:
        """Batches of an epoch; None where that is not known before it is over."""


@dataclass(frozen=True)
class TableFeed:
    """Batches of tables."""

    sources: Sequence[Source]
    plan: BatchPlan

    @property
    def steps_in_epoch(self) -> int:
        return self.plan.steps_in_epoch()

    def batches(self, start: Position = START) -> Iterator[tuple[Position, Batch]]:
        for position, number, rows in self.plan.batches(start):
            yield position, self.sources[number].batch(rows, position.epoch)


@dataclass(frozen=True)
class StreamFeed:
    """Batches of streams, in turn; a stream that has run out waits for the next epoch."""

    sources: Sequence[Streamed]
    batch_size: int

    @property
    def steps_in_epoch(self) -> None:
        return None

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
    weights = None
    if settings.source_temperature is not None:
        weights = temperature_weights(lengths, temperature=settings.source_temperature)
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
