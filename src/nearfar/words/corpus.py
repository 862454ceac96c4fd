"""A corpus as a file of word ids: counted in one pass, written in a second, mapped from then on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError
from nearfar.words.kernels import END
from nearfar.words.reading import Lines

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"
"""Stands for every word that has no vector, at row 0, whose vector is 0 and stays so."""

WORD = r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*"
"""Letters, marks and digits, and apostrophes between them."""


@dataclass(frozen=True)
class Corpus:
    """Word ids on disk.

    Attributes:
        ids: int32, mapped; each line's words, ended by END. Words that are too rare are left out.
        counts: ``(V,)`` of each word; 0 of row 0.
        tokenizer: from texts to ids.
        read: words of the corpus, rare ones included.
    """

    ids: NDArray[np.int32]
    counts: NDArray[np.int64]
    tokenizer: Tokenizer
    read: int

    @property
    def kept(self) -> int:
        """Words of the corpus that have vectors."""
        return int(self.counts.sum())

    def runs(self, words: int) -> NDArray[np.int64]:
        """Where runs of about so many words start, at the start of a line or, in a long line, inside it; and the end.

        Found by looking at the ids near the places alone, so that the file is not read for it.
        """
        starts = [0]
        while starts[-1] < len(self.ids):
            place = starts[-1] + words
            ends = np.flatnonzero(self.ids[place : place + words] == END)
            starts.append(min(len(self.ids), place + (int(ends[0]) + 1 if len(ends) else words)))
        return np.array(starts, np.int64)


def read_corpus(lines: Lines, place: Path, *, least: int, most: int | None) -> Corpus:
    """Count the words, choose those that get vectors, and write their ids.

    Args:
        lines: makes a pass over the corpus; called twice.
        place: the file of ids to be.
        least: times that a word must occur.
        most: words at the most, the most frequent ones; None: all.

    Raises:
        InputError: no word occurs so often; says how often the most frequent one does.
    """
    tokenizer = count_words(lines, least=least, most=most)
    if tokenizer.get_vocab_size() < 2:
        raise InputError(_too_rare(lines, least))
    read = 0
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    with open(place, "wb") as file:
        for ids in _encoded(tokenizer, lines()):
            found = np.bincount(ids[ids != END], minlength=len(counts))
            read += int(found.sum())
            counts += found
            ids[ids != 0].tofile(file)
        file.flush()
        os.fsync(file.fileno())
    counts[0] = 0
    return Corpus(np.memmap(place, np.int32, mode="r"), counts, tokenizer, read)


def count_words(lines: Lines, *, least: int, most: int | None) -> Tokenizer:
    """A tokenizer whose vocabulary is the corpus's words, lower-cased, the most frequent first."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    trainer = trainers.WordLevelTrainer(
        vocab_size=2**31 if most is None else most + 1,
        min_frequency=least,
        special_tokens=[UNKNOWN],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines(), trainer)
    return tokenizer


def _encoded(tokenizer: Tokenizer, runs: Iterator[Sequence[str]]) -> Iterator[NDArray[np.int32]]:
    """Ids of each run of lines, each line ended by END."""
    for run in runs:
        rows = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(run), add_special_tokens=False)]
        yield np.fromiter(chain.from_iterable((*row, END) for row in rows), np.int32)


def _too_rare(lines: Lines, least: int) -> str:
    every = count_words(lines, least=1, most=1)
    if every.get_vocab_size() < 2:
        return "found no word in the corpus, wanted text"
    often = sum(int((ids == 1).sum()) for ids in _encoded(every, lines()))
    return f"--min-count: found {least}, but no word occurs so often; wanted {often} or less, which leaves words"
