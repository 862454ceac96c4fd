"""A run on words: a corpus in, word vectors out, with checkpoints and measurements on the way."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nearfar.analysis import Measurement
from nearfar.data import Table
from nearfar.encoders.memory import free_bytes, give_back
from nearfar.errors import InputError
from nearfar.settings import Settings
from nearfar.training.checkpoints import checkpoints_in
from nearfar.training.identity import NO_MATTER
from nearfar.training.journal import entry_of, figures_of
from nearfar.training.keeping import Checkpoints, Keeper
from nearfar.training.recorded import described
from nearfar.words.corpus import Corpus, open_corpus, read_corpus
from nearfar.words.grams import Grams, own_rows, own_rows_and_grams
from nearfar.words.learning import Learner, Model, Rows, compile_, in_turn
from nearfar.words.plan import resolved
from nearfar.words.reading import Text, open_text
from nearfar.words.vectors import WordVectors, words_of


@dataclass(frozen=True)
class Moment:
    """What a watcher of the run is shown after each run of the corpus.

    Attributes:
        runs: done, of about 20,000 words each.
        progress: share of the whole that is over, 0 to 1.
        loss: a smoothed loss of a sample of the anchors.
        words_per_second: of the corpus.
        epoch: that has just ended, counted from 1; else 0.
        measurements: of that epoch's end.
        note: something that a person may want to know, or "".
        stage: what the run is at: "reading, line 12,000", "compiling", "training".
    """

    runs: int
    progress: float
    loss: float
    words_per_second: float
    epoch: int = 0
    measurements: tuple[Measurement, ...] = ()
    note: str = ""
    stage: str = "training"


PATIENCE = 2.0
"""Seconds of waiting for the compiler, or for what it left before, that are not worth a word."""

COMPILING = "waits for numba, which compiles the training, once for this version of nearfar on this machine"


@dataclass
class WordOutcome:
    """A finished run on words.

    Attributes:
        vectors: what came of it.
        biases: ``(V,)`` of the words as middles, by NCE; else 0.
        settings: with every None resolved.
        corpus: what nearfar.json says of it.
        examples: some words and their rows.
        words: of the corpus, rare ones counted in.
        evaluate_on: tables that were measured on.
        measurements: of `vectors`, with bootstrap intervals.
        history: one entry an epoch: step (runs done), progress, seconds, loss, figures of each table.
        seconds: of training, without reading the corpus.
        words_per_second: of the corpus, while training.
        notes: what a person may want to know.
        interrupted: a person stopped the run early.
    """

    vectors: WordVectors
    biases: np.ndarray
    settings: Settings
    corpus: Mapping[str, Any]
    examples: Mapping[str, int]
    words: int
    evaluate_on: Sequence[Table] = ()
    measurements: tuple[Measurement, ...] = ()
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    words_per_second: float = 0.0
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False


def train_words(
    corpus: str | Path | Sequence[str | Path],
    *,
    settings: Settings | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    where: Mapping[str, Sequence[str]] | None = None,
    evaluate_on: Sequence[Table] = (),
    watch: Callable[[Moment], None] = lambda moment: None,
    check: Callable[[Mapping[str, Any]], None] = lambda corpus: None,
    checkpoints: Checkpoints | None = None,
) -> WordOutcome:
    """Train word vectors by NEG, NCE or InfoNCE on words and their neighbourhoods.

    The corpus is read twice, once to count its words and once to write their ids to disk; training maps that file.

    Args:
        corpus: files of plain text, perhaps compressed, folders of them, tables, or "-" for standard input.
        settings: those of words count; None takes the defaults, see `nearfar.words.plan`.
        columns, where: of tables, as of `read_table`.
        evaluate_on: tables to measure on after each epoch.
        watch: called as the corpus is read and as runs of it are done. Raising KeyboardInterrupt inside ends the run.
        check: called with what nearfar.json says of the corpus once that is read; raising an error refuses it.
        checkpoints: where to keep the ids and what it takes to go on; None keeps nothing.

    Returns:
        The outcome, whose vectors are those at the end; with checkpoints their words stay in that folder until they are
        asked for.

    Raises:
        InputError: the corpus cannot be read or leaves fewer than two words, or settings do not fit.
        Stopped: `checkpoints.stop` asked for it.
    """
    settings = resolved(settings or Settings())
    sources = [corpus] if isinstance(corpus, str | Path) else list(corpus)
    with ExitStack() as stack:
        if checkpoints:
            folder = folder_of_corpus(checkpoints)
            folder.mkdir(parents=True, exist_ok=True)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        compiler = ThreadPoolExecutor(1)
        stack.callback(compiler.shutdown, wait=False)
        compiled = compiler.submit(compile_)  # while the corpus is read
        try:
            text = open_text(sources, folder, columns=columns, where=where, watch=partial(_reading, watch))
            read = _corpus(text, folder, settings, checkpoints)
            check(read.described())
            return _Run(read, settings, evaluate_on, watch, checkpoints).run(compiled)
        except (InputError, KeyboardInterrupt, SystemExit):  # refused, or ended while the corpus was read
            if checkpoints and not checkpoints_in(checkpoints.folder):  # else an unfinished run needs it
                forget_corpus(checkpoints)
            raise


def _reading(watch: Callable[[Moment], None], lines: int) -> None:
    watch(Moment(0, 0.0, float("nan"), 0.0, stage=f"reading, line {lines:,}"))


def folder_of_corpus(checkpoints: Checkpoints) -> Path:
    """Where the ids of a run's corpus are, which make reading it again unnecessary."""
    return checkpoints.folder / "corpus"


def forget_corpus(checkpoints: Checkpoints) -> None:
    """Remove them, and the folder of the checkpoints where there are none."""
    shutil.rmtree(folder_of_corpus(checkpoints), ignore_errors=True)
    with suppress(OSError):  # what else is in there stays
        checkpoints.folder.rmdir()


def _corpus(text: Text, folder: Path, settings: Settings, checkpoints: Checkpoints | None) -> Corpus:
    """The ids that an earlier process left, where this run goes on; else read anew."""
    going_on = checkpoints and (checkpoints.resume or checkpoints.resume_from)
    left = open_corpus(text, folder, least=settings.min_count, most=settings.vocabulary) if going_on else None
    return left or read_corpus(text, folder, least=settings.min_count, most=settings.vocabulary)


def _parts(corpus: Corpus, subwords: bool) -> tuple[Grams | None, Rows]:
    """The n-grams, where there are some, and which rows make the vector of a word."""
    if not subwords:
        return None, own_rows(len(corpus.counts))
    names = words_of(corpus.open_tokenizer())
    grams = Grams.of(names)
    return grams, own_rows_and_grams(grams.rows(["", *names]))


def _check_size(corpus: Corpus, settings: Settings, rows: int) -> None:
    """Raise an InputError where the vectors do not fit into memory."""
    words = len(corpus.counts) - 1
    wanted, free = 4 * (settings.width or 0) * (rows + len(corpus.counts)), free_bytes(torch.device("cpu"))
    if wanted > free:
        raise InputError(
            f"--width: found {settings.width:,}, which takes {wanted / 2**20:,.0f} MiB for {words:,} words and"
            f" {rows - words - 1:,} n-grams, wanted what {free / 2**20:,.0f} MiB of free memory hold"
        )


class _Run:
    """The state of one run."""

    SMOOTHING = 0.9

    def __init__(
        self,
        corpus: Corpus,
        settings: Settings,
        evaluate_on: Sequence[Table],
        watch: Callable[[Moment], None],
        checkpoints: Checkpoints | None,
    ) -> None:
        self.corpus, self.settings, self.watch, self.tables = corpus, settings, watch, evaluate_on
        self.grams, parts = _parts(corpus, settings.subwords)
        _check_size(corpus, settings, int(parts[1].max()) + 1)
        self.model = Model.start(parts, settings.width or 0, settings.seed)
        self.learner = Learner(corpus, self.model, settings)
        give_back()
        self.place, self.kept, self.loss, self.seconds = 0, 0, float("nan"), 0.0
        self.stopping = self.interrupted = False
        self.history: list[dict[str, Any]] = []
        self.notes = [str(corpus.faults)] if corpus.faults.lines else []
        self.about = corpus.described()
        self.keeper = Keeper(checkpoints, settings, self._identity()) if checkpoints else None

    def run(self, compiled: Future[None]) -> WordOutcome:
        self.learner.begin()
        if self.keeper and (found := self.keeper.begin()):
            self._load(found[0])
            self.notes.append(found[1])
        for note in self.notes:
            self._show(note=note)
        try:
            compiled.result(timeout=PATIENCE)
        except TimeoutError:
            self._show(note=COMPILING, stage="compiling")
            compiled.result()
        try:
            while self.place < self.learner.runs:
                self._stretch()
                self._keep()
        except KeyboardInterrupt:
            self.interrupted = True
        return self._outcome()

    def _stretch(self) -> None:
        """Learn to the end of the epoch, or until it is time for a checkpoint."""
        started, before = time.monotonic(), self.seconds
        epoch = self.place // self.learner.in_epoch
        end = (epoch + 1) * self.learner.in_epoch
        for number, loss, watched in in_turn(self.learner, self.place, end, self.settings.threads or 1, self._pausing):
            self.place, self.seconds = number + 1, before + time.monotonic() - started
            if watched:
                self._smooth(loss / watched)
            self._show()
        if self.place == end:
            self._measure()

    def _pausing(self) -> bool:
        """Whether it is time for a checkpoint, or the run is asked to stop."""
        if self.keeper is None:
            return False
        self.stopping = self.stopping or self.keeper.checkpoints.stop()
        if every := self.settings.checkpoint_every:  # runs are under way, so that the very number may be passed
            return self.stopping or self.place // every > self.kept // every
        return self.stopping or self.keeper.due(self.place)

    def _keep(self) -> None:
        if self.keeper is None or not self._pausing():
            return
        self.keeper.write(self.place, self._state())
        self.kept = self.place
        if self.stopping:
            self.keeper.stop(self.place)

    def _smooth(self, loss: float) -> None:
        self.loss = loss if np.isnan(self.loss) else self.SMOOTHING * self.loss + (1 - self.SMOOTHING) * loss

    def _measure(self) -> None:
        found: tuple[Measurement, ...] = ()
        if self.tables:
            vectors = self._vectors()
            found = tuple(vectors.measure(table, resamples=0) for table in self.tables)
        entry = entry_of(self.place, self.place / self.learner.runs, self.seconds, self.loss)
        self.history.append(entry | {"measurements": figures_of(found)})
        self._show(epoch=len(self.history), measurements=found)

    def _show(
        self, epoch: int = 0, measurements: tuple[Measurement, ...] = (), note: str = "", stage: str = "training"
    ) -> None:
        progress = self.place / self.learner.runs
        self.watch(Moment(self.place, progress, self.loss, self._speed(), epoch, measurements, note, stage))

    def _speed(self) -> float:
        return self.learner.words_before(self.place) / self.seconds if self.seconds else 0.0

    def _state(self) -> dict[str, Any]:
        names = ("place", "loss", "seconds", "history")
        return vars(self.model) | {name: getattr(self, name) for name in names} | {"loss": repr(self.loss)}

    def _load(self, state: Mapping[str, Any]) -> None:
        for name in vars(self.model):
            setattr(self.model, name, state[name])
        self.place, self.seconds, self.history = state["place"], state["seconds"], state["history"]
        self.kept, self.loss = self.place, float(state["loss"])

    def _identity(self) -> dict[str, Any]:
        return {
            "settings": self.settings.model_dump(exclude={*NO_MATTER, "threads"}),
            "objective": self.settings.objective,
            "parameters": {},
            "data": [{name: self.about[name] for name in ("source", "rows", "fingerprint")}],
            "evaluate_on": [described(table) for table in self.tables],
            "encoder": {"shapes": [list(self.model.inputs.shape), list(self.model.outputs.shape)]},
        }

    def _vectors(self) -> WordVectors:
        model, words = self.model, len(self.model.outputs)
        vocabulary = self.corpus.vocabulary if self.keeper else self.corpus.open_tokenizer()
        if self.grams is None:
            return WordVectors(vocabulary, model.inputs, model.outputs)
        return WordVectors(vocabulary, model.composed(), model.outputs, self.grams, model.inputs[words:])

    def _outcome(self) -> WordOutcome:
        vectors = self._vectors()
        self._check_learnt(vectors)
        return WordOutcome(
            vectors,
            self.model.biases,
            self.settings,
            self.about,
            self.corpus.examples,
            self.corpus.read,
            self.tables,
            tuple(vectors.measure(table) for table in self.tables),
            self.history,
            self.seconds,
            self._speed(),
            self.notes,
            self.interrupted,
        )

    def _check_learnt(self, vectors: WordVectors) -> None:
        """Raise an InputError where the run was for nothing."""
        if not np.isfinite(vectors.vectors.sum()):
            higher = ", or a higher --temperature" if self.settings.temperature else ""
            raise InputError(
                f"--learning-rate: found {self.settings.learning_rate:g}, with which the vectors become NaN or"
                f" infinite; wanted a lower one{higher}"
            )
        if np.isnan(self.loss) and not self.interrupted:
            raise InputError(
                f"{self.corpus.source}: found no two words beside each other once --subsample"
                f" {self.settings.subsample:g} has left out frequent ones, wanted a larger corpus or --subsample 0"
            )
