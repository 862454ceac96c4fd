"""Vectors that learn from runs of a corpus, on threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.data.negatives.noise import NoiseDistribution
from nearfar.settings import Settings
from nearfar.words.corpus import Corpus
from nearfar.words.grams import own_rows

RUN = 20_000
"""Words that a thread learns from at a time."""

LEAST_RATE = 1e-4
"""Share of the learning rate at the end of a run, as of word2vec."""

Rows = tuple[NDArray[np.int64], NDArray[np.int32]]


@dataclass
class Model:
    """What is learnt.

    Attributes:
        inputs: ``(R, d)``; rows of words, those of n-grams behind them.
        outputs: ``(V, d)``.
        biases: ``(V,)``, of NCE.
        starts, rows: which rows of `inputs` make the vector of a word; see `kernels.learn_window`.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    biases: NDArray[np.float32]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def start(cls, rows: Rows, width: int, seed: int) -> Model:
        """Small random input vectors, and output vectors of 0, as word2vec starts."""
        words, count = len(rows[0]) - 1, int(rows[1].max()) + 1
        inputs = np.random.default_rng(seed).random((count, width), np.float32)
        inputs -= np.float32(0.5)
        inputs /= np.float32(width)
        inputs[0] = 0
        return cls(inputs, np.zeros((words, width), np.float32), np.zeros(words, np.float32), *rows)

    def composed(self) -> NDArray[np.float32]:
        """``(V, d)``: the input vectors of all words, each made of its rows."""
        from scipy.sparse import csr_matrix

        sizes = np.diff(self.starts)
        parts = np.repeat((1 / np.sqrt(sizes)).astype(np.float32), sizes)
        found: NDArray[np.float32] = csr_matrix((parts, self.rows, self.starts)) @ self.inputs[: self.rows.max() + 1]
        return found


def kept_share(counts: NDArray[np.int64], subsample: float) -> NDArray[np.float64]:
    """Chance ``(V,)`` of each word to be kept: sqrt(t / f) + t / f, f being its share of the corpus.

    That is what word2vec does; the paper (Mikolov et al. 2013, section 2.3) prints sqrt(t / f). 0 keeps all.
    """
    if not subsample:
        return np.ones(len(counts))
    with np.errstate(divide="ignore"):
        rarity = subsample * counts.sum() / counts
    kept: NDArray[np.float64] = np.minimum(1, np.sqrt(rarity) + rarity)
    return kept


class Learner:
    """Learns from a corpus, run by run.

    Args:
        corpus: on disk.
        model: changed in place.
        settings: resolved by `plan.resolved`.

    Attributes:
        runs: runs of the corpus, in all epochs together.
    """

    def __init__(self, corpus: Corpus, model: Model, settings: Settings) -> None:
        self.corpus, self.model, self.settings = corpus, model, settings
        self.bounds = corpus.runs(RUN)
        self.in_epoch = len(self.bounds) - 1
        self.runs = self.in_epoch * (settings.epochs or 1)
        kept = kept_share(corpus.counts, settings.subsample)
        noise = NoiseDistribution(corpus.counts, alpha=settings.noise_power)
        stay, alias = noise.table
        log_noise = np.zeros(len(noise), np.float32)
        if settings.objective == "nce":
            log_noise[1:] = noise.log_probability(torch.arange(1, len(noise))) + math.log(settings.noise)
        self.tables = (_as_bits(stay), alias.astype(np.int32), log_noise, _as_bits(kept))

    def begin(self) -> None:
        """Before the first run: NCE's scores start as the words' log-probabilities, so that they are normalised."""
        if self.settings.objective == "nce":
            counts = self.corpus.counts[1:]
            seen = counts * kept_share(counts, self.settings.subsample)  # what subsampling leaves is modelled
            self.model.biases[1:] = np.log(seen / seen.sum())

    def learn(self, number: int) -> tuple[float, int]:
        """One run; the loss of a sample of its anchors, and of how many."""
        epoch, run = divmod(number, self.in_epoch)
        ids = self.corpus.part(int(self.bounds[run]), int(self.bounds[run + 1]))
        state = np.random.SeedSequence([self.settings.seed, epoch, run]).generate_state(1, np.uint64) | np.uint64(1)
        rates = (self.rate(number), self.rate(number + 1))
        return _learnt(self.model, self.tables, self._options(), rates, ids, state)

    def rate(self, number: int) -> float:
        """The learning rate before a run: down linearly, by words seen."""
        epoch, run = divmod(number, self.in_epoch)
        done = (epoch + self.bounds[run] / self.bounds[-1]) / (self.settings.epochs or 1)
        return float((self.settings.learning_rate or 0) * max(LEAST_RATE, 1 - done))

    def words_before(self, number: int) -> int:
        """Words of the corpus that are seen when so many runs are done, rare ones counted in."""
        epoch, run = divmod(number, self.in_epoch)
        return int(self.corpus.read * (epoch + self.bounds[run] / self.bounds[-1]))

    def _options(self) -> tuple[int, np.float32, bool, int, int]:
        from nearfar.words.kernels import INFONCE, NCE, NEG

        objective = {"neg": NEG, "nce": NCE, "infonce": INFONCE}[self.settings.objective]
        scale = np.float32(1 / (self.settings.temperature or 1.0))
        settings = self.settings
        return objective, scale, settings.architecture == "cbow", settings.window, settings.noise


def in_turn(
    learner: Learner, first: int, last: int, threads: int, pausing: Callable[[], bool]
) -> Iterator[tuple[int, float, int]]:
    """Runs from `first` to before `last` on threads; each gives its number, loss and anchors, in order.

    Where `pausing` says so no further run is begun, and those that are under way are the last.
    """
    waiting: deque[tuple[int, Future[tuple[float, int]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while True:
            while first < last and len(waiting) < 2 * threads and not pausing():
                waiting.append((first, pool.submit(learner.learn, first)))
                first += 1
            if not waiting:
                return
            number, future = waiting.popleft()
            yield (number, *future.result())


def compile_() -> None:
    """Compile what learns, or load it where an earlier run left it, so that it takes no time of the run."""
    bits, zero = np.zeros(1, np.uint32), np.zeros(1, np.int32)
    model = Model.start(own_rows(1), 1, 0)
    options = (0, np.float32(1), False, 1, 1)
    _learnt(model, (bits, zero, np.zeros(1, np.float32), bits), options, (0.0, 0.0), zero[:0], np.ones(1, np.uint64))


def _learnt(
    model: Model,
    tables: tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.float32], NDArray[np.uint32]],
    options: tuple[int, np.float32, bool, int, int],
    rates: tuple[float, float],
    ids: NDArray[np.int32],
    state: NDArray[np.uint64],
) -> tuple[float, int]:
    """`kernels.learn_run` in the one place that calls it: another type of any argument would be compiled anew."""
    from nearfar.words.kernels import learn_run

    loss, watched = learn_run(
        model.inputs, model.outputs, model.biases, model.starts, model.rows, *tables, *options, rates, ids, state
    )
    return float(loss), int(watched)


def _as_bits(share: NDArray[np.float64]) -> NDArray[np.uint32]:
    return (share * (2**32 - 1)).astype(np.uint32)
