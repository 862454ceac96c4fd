"""The plan of a run: which batch comes at which position, mixed from several sources, shared among ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nearfar.data.batches.orders import Order, Rows, shuffled
from nearfar.data.limits import check_least
from nearfar.errors import InputError

Epoch = list[tuple[int, Rows]]
"""Batches of an epoch: source number and rows."""

Epochs = Callable[[int], Epoch]


@dataclass(frozen=True, order=True)
class Position:
    """Where in a run a batch stands.

    Attributes:
        epoch: from 0.
        index: of the batch in its epoch, from 0.
    """

    epoch: int = 0
    index: int = 0

    @property
    def after(self) -> Position:
        """Where to go on when the batch of this position is done."""
        return Position(self.epoch, self.index + 1)


@dataclass(frozen=True)
class SourceRows:
    """The rows of one table, and how they go together.

    Attributes:
        length: rows.
        order: which cuts them into batches.
    """

    length: int
    order: Order = shuffled


@dataclass(frozen=True)
class BatchPlan:
    """Endless batches, each from one source, as a pure function of this description and of the position.

    Attributes:
        sources: at least one.
        batch_size: rows of a whole batch, before it is shared among ranks.
        seed: of everything random.
        weights: share of the rows of an epoch that each source gets, in any unit; None gives each source its own
            number of rows, so every row comes once an epoch. With weights an epoch has as many rows as all sources
            together; a source that is smaller than its share is repeated, a larger one is walked on through in the
            next epoch, so no row comes a second time before all others of its source have come.

    Raises:
        InputError: there is no source or one without rows, the batch size is below 2, or weights do not suit them.
    """

    sources: Sequence[SourceRows]
    batch_size: int
    seed: int = 0
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.sources:
            raise InputError("sources: found none, wanted at least one")
        for number, source in enumerate(self.sources):
            check_least(f"rows of source {number}", source.length, 1)
        check_least("batch_size", self.batch_size, 2)
        _check_weights(self.weights, len(self.sources))

    def batches(
        self, start: Position = Position(), *, epochs: Epochs | None = None
    ) -> Iterator[tuple[Position, int, Rows]]:
        """(position, source number, rows), without end, from `start` just as a run from the beginning goes on there.

        Args:
            start: where to begin.
            epochs: in the place of `epoch`, where an order does not give the same batches twice.

        Raises:
            InputError: the epoch of `start` has fewer batches.
        """
        epoch, first = start.epoch, start.index
        while True:
            batches = (epochs or self.epoch)(epoch)
            if first > len(batches):
                raise InputError(f"start: found batch {first} of epoch {epoch}, wanted at most {len(batches)}")
            for index in range(first, len(batches)):
                yield Position(epoch, index), *batches[index]
            epoch, first = epoch + 1, 0

    def epoch(self, number: int) -> Epoch:
        """The batches of an epoch: (source number, rows)."""
        queues = [self._of_source(source, number) for source in range(len(self.sources))]
        turns = np.repeat(np.arange(len(queues)), [len(queue) for queue in queues])
        ready = [iter(queue) for queue in queues]
        return [(int(source), next(ready[source])) for source in self._generator(number).permutation(turns)]

    def steps_in_epoch(self, number: int = 0) -> int:
        """How many batches an epoch has; it may differ a little between epochs, with the order and with weights."""
        return len(self.epoch(number))

    def _of_source(self, source: int, epoch: int) -> list[Rows]:
        """The batches of a source in an epoch: its rows go round and round, and the epoch's stretch is cut by pass."""
        length = self.sources[source].length
        begin, end = self._stretch(source, epoch), self._stretch(source, epoch + 1)
        batches: list[Rows] = []
        for number in range(begin // length, -(-end // length)):
            first, last = max(begin - number * length, 0), min(end - number * length, length)
            batches += self._of_pass(source, number, first, last)
        return batches

    def _stretch(self, source: int, epoch: int) -> int:
        """Rows that a source has given before an epoch, moved to the end of a pass where one is nearly there: what a
        pass has left over must not be a batch of a few rows."""
        length = self.sources[source].length
        if self.weights is None:
            return epoch * length
        whole = sum(one.length for one in self.sources)
        given = round(epoch * whole * self.weights[source] / sum(self.weights))
        nearest = (given + length // 2) // length * length
        return nearest if 2 * abs(given - nearest) <= min(self.batch_size, length) else given

    def _of_pass(self, source: int, number: int, first: int, last: int) -> list[Rows]:
        rows = np.arange(self.sources[source].length)
        if last - first < len(rows):
            rows = self._generator(source, number).permutation(rows)[first:last]
        generator = self._generator(source, number, first)
        batches = self.sources[source].order(rows, generator, self.batch_size)
        return [batches[place] for place in generator.permutation(len(batches))]

    def _generator(self, *place: int) -> np.random.Generator:
        # the number of numbers comes first, since trailing zeros of a seed do not count
        return np.random.default_rng((len(place), self.seed, *place))


def temperature_weights(lengths: Sequence[int], *, temperature: float) -> list[float]:
    """Shares of sources in proportion to ``n ** (1 / temperature)``.

    At 1 each in proportion to its rows, the higher the more alike (Conneau & Lample 2019, by the exponent 0.5 to 0.7;
    Raffel et al. 2020, "temperature-scaled mixing").

    Raises:
        InputError: a length or the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature: found {temperature}, wanted a number above 0")
    if not all(length > 0 for length in lengths):
        raise InputError(f"lengths: found {list(lengths)}, wanted numbers above 0")
    logs = np.log(lengths) / temperature
    raised = np.exp(logs - logs.max())
    return [float(share) for share in raised / raised.sum()]


def shard(rows: Rows, rank: int, ranks: int) -> Rows:
    """The part of a batch that a rank works on: runs in the order of ranks, sizes differing by one at most.

    Put together by rank the parts are the batch; with more ranks than rows some are empty.

    Raises:
        InputError: `rank` is none of the ranks.
    """
    if not 0 <= rank < ranks:
        raise InputError(f"rank: found {rank}, wanted 0 to {ranks - 1}")
    return np.array_split(rows, ranks)[rank]


def _check_weights(weights: Sequence[float] | None, sources: int) -> None:
    if weights is None:
        return
    if len(weights) != sources:
        raise InputError(f"weights: found {len(weights)}, wanted {sources}, one for each source")
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise InputError(f"weights: found {list(weights)}, wanted finite numbers above 0")
