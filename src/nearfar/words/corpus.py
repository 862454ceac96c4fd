"""A corpus as a file of word ids: counted in one pass, written in a second, mapped from then on."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nearfar.errors import InputError
from nearfar.words.reading import Faults, Lines, Text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "[UNK]"
"""Stands for every word that has no vector, at row 0, whose vector is 0 and stays so."""

END = -1
"""Ends a line in the file of ids."""

WORD = r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*"
"""Letters, marks and digits, and apostrophes between them."""

CHUNKS = 1 << 15
"""Pieces between white space that are kept in memory: most of a text is the same few again and again."""

IDS, COUNTS, TOKENIZER, RECORD = "ids.int32", "counts.npy", "tokenizer.json", "corpus.json"


@dataclass(frozen=True)
class Corpus:
    """Word ids on disk.

    Attributes:
        path: int32; each line's words, ended by END. Words that are too rare are left out.
        length: numbers in the file.
        counts: ``(V,)`` of each word; 0 of row 0.
        read: words of the corpus, rare ones included.
        source: what it was read from.
        fingerprint: of the text.
        examples: some words and their rows, for the model card.
        faults: lines that were no UTF-8.
    """

    path: Path
    length: int
    counts: NDArray[np.int64]
    read: int
    source: str
    fingerprint: str
    faults: Faults
    examples: Mapping[str, int]

    @property
    def kept(self) -> int:
        """Words of the corpus that have vectors."""
        return int(self.counts.sum())

    def described(self) -> dict[str, Any]:
        """What nearfar.json says of it; its rows are words."""
        about = {"source": self.source, "kind": "corpus", "roles": ["text"], "rows": self.read}
        return about | {"fingerprint": self.fingerprint}

    @property
    def vocabulary(self) -> Path:
        """The file of the tokenizer from texts to ids."""
        return self.path.with_name(TOKENIZER)

    def open_tokenizer(self) -> Tokenizer:
        """Read that file; for a hundred thousand words this takes 20 MB, which training does without."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.vocabulary))

    def part(self, first: int, last: int) -> NDArray[np.int32]:
        """A copy of these ids; the file is mapped while they are copied, so that pages that were read do not add up."""
        if first == last:
            return np.empty(0, np.int32)
        return np.array(np.memmap(self.path, np.int32, mode="r", offset=4 * first, shape=(last - first,)))

    def runs(self, words: int) -> NDArray[np.int64]:
        """Where runs of about so many ids start, at the start of a line or, in a long line, inside it; and the end."""
        starts = [0]
        while starts[-1] < self.length:
            place = starts[-1] + words
            ends = np.flatnonzero(self.part(min(place, self.length), min(place + words, self.length)) == END)
            starts.append(min(self.length, place + (int(ends[0]) + 1 if len(ends) else words)))
        return np.array(starts, np.int64)


def read_corpus(text: Text, folder: Path, *, least: int, most: int | None = None) -> Corpus:
    """Count the words, choose those that get vectors, and write their ids.

    Args:
        text: passed over twice.
        folder: of the files to be.
        least: times that a word must occur.
        most: words at the most, the most frequent ones; None: all.

    Raises:
        InputError: no word occurs so often, or one alone does; says how often the most frequent ones do.
    """
    tokenizer = count_words(lambda: text.lines(Faults()), least=least, most=most)
    if tokenizer.get_vocab_size() < 3:
        raise InputError(f"{text.source}: {_too_rare(text, least)}")
    tokenizer.save(str(folder / TOKENIZER))
    faults, length, digest = Faults(), 0, hashlib.sha256()
    counts = np.zeros(tokenizer.get_vocab_size(), np.int64)
    with open(folder / IDS, "wb") as file:
        for ids in _encoded(tokenizer, _digested(text.lines(faults), digest)):
            found = np.bincount(ids[ids != END], minlength=len(counts))
            counts += found
            kept = ids[ids != 0]
            kept.tofile(file)
            length += len(kept)
        file.flush()
        os.fsync(file.fileno())
    read, counts[0] = int(counts.sum()), 0
    corpus = Corpus(folder / IDS, length, counts, read, text.source, digest.hexdigest(), faults, _examples(tokenizer))
    _remember(corpus, folder, [text.stamp(), least, most])
    return corpus


def _examples(tokenizer: Tokenizer) -> dict[str, int]:
    """Three words behind the hundred most frequent ones, or the last there are."""
    size = tokenizer.get_vocab_size()
    first = max(1, min(100, size - 3))
    rows = range(first, min(size, first + 3))
    return {str(tokenizer.id_to_token(row)): row for row in rows}


def _remember(corpus: Corpus, folder: Path, made_of: list[Any]) -> None:
    """Write what `open_corpus` needs; the record comes last, so that half a corpus is none."""
    np.save(folder / COUNTS, corpus.counts)
    names = ("length", "read", "source", "fingerprint", "examples")
    record = {name: getattr(corpus, name) for name in names} | {"made_of": made_of, "faults": vars(corpus.faults)}
    (folder / RECORD).write_text(json.dumps(record), "utf-8")


def open_corpus(text: Text, folder: Path, *, least: int, most: int | None = None) -> Corpus | None:
    """The corpus that `read_corpus` left in this folder; None where there is none, or of another text."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        if record.pop("made_of") != json.loads(json.dumps([text.stamp(), least, most])):
            return None
        if (folder / IDS).stat().st_size != 4 * record["length"]:
            return None
        counts = np.load(folder / COUNTS)
    except (OSError, ValueError, KeyError):
        return None
    return Corpus(folder / IDS, counts=counts, **record | {"faults": Faults(**record["faults"])})


def count_words(lines: Lines, *, least: int, most: int | None) -> Tokenizer:
    """A tokenizer whose vocabulary is the corpus's words, lower-cased, the most frequent first."""
    from tokenizers import models

    tokenizer, counts, chunks = word_tokenizer(), Counter[str](), Counter[str]()
    for run in lines():
        chunks.update(chain.from_iterable(map(str.split, run)))
        if len(chunks) > CHUNKS:
            _count_into(counts, chunks, tokenizer)
    _count_into(counts, chunks, tokenizer)
    words = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    numbers = {word: number for number, word in enumerate([UNKNOWN, *words[:most]])}
    tokenizer.model = models.WordLevel(numbers, unk_token=UNKNOWN)
    return tokenizer


def word_tokenizer() -> Tokenizer:
    """It cuts texts into words and knows none of them yet."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    return tokenizer


def words_in(text: str, tokenizer: Tokenizer) -> list[str]:
    """The words of a text, known or not, as the vocabulary writes them."""
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))]


def _count_into(counts: Counter[str], chunks: Counter[str], tokenizer: Tokenizer) -> None:
    for chunk, count in chunks.items():
        for word in words_in(chunk, tokenizer):
            counts[word] += count
    chunks.clear()


class _Ids(dict[str, list[int]]):
    """What stands between white space -> ids of its words. No word holds white space, so each is cut only once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def __missing__(self, chunk: str) -> list[int]:
        if len(self) > CHUNKS:
            self.clear()
        found = [self.tokenizer.token_to_id(word) or 0 for word in words_in(chunk, self.tokenizer)]
        self[chunk] = found
        return found


def _digested(runs: Iterator[Sequence[str]], digest: hashlib._Hash) -> Iterator[Sequence[str]]:
    """The same runs, whose lines go into `digest` on the way."""
    for run in runs:
        digest.update("".join(f"{line}\n" for line in run).encode())
        yield run


def _encoded(tokenizer: Tokenizer, runs: Iterator[Sequence[str]]) -> Iterator[NDArray[np.int32]]:
    """Ids of each run of lines, each line ended by END."""
    known = _Ids(tokenizer)
    for run in runs:
        ids: list[int] = []
        for line in run:
            for chunk in line.split():
                ids += known[chunk]
            if ids and ids[-1] != END:
                ids.append(END)
        yield np.array(ids, np.int32)


def _too_rare(text: Text, least: int) -> str:
    """What to say of a corpus without two words that occur so often."""
    tokenizer = count_words(lambda: text.lines(Faults()), least=1, most=2)
    names = [tokenizer.id_to_token(number) for number in range(1, tokenizer.get_vocab_size())]
    if len(names) < 2:
        found = f"the word {names[0]!r} alone" if names else "no word"
        return f"found {found}, wanted text of at least two different words"
    often = sum(int((ids == 2).sum()) for ids in _encoded(tokenizer, text.lines(Faults())))
    return f"--min-count: found {least}, which leaves no two words; wanted {often} or less"
