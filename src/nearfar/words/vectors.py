"""Word vectors: look up, nearest, analogies, and the folder that sentence-transformers opens."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nearfar.analysis import Lexicon, Measurement, measure
from nearfar.analysis.analogies import answers
from nearfar.analysis.vectors import unit
from nearfar.data import Table
from nearfar.encoders.static import vocabulary_of
from nearfar.errors import InputError
from nearfar.words.corpus import TOKENIZER, word_tokenizer, words_in
from nearfar.words.grams import Grams

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

Vectors = NDArray[np.float32]

WEIGHTS, OUTPUTS, GRAMS, GRAM_VECTORS = "model.safetensors", "outputs.npy", "grams.txt", "grams.npy"


@dataclass(frozen=True)
class WordVectors:
    """A vector for each word of a vocabulary, and with n-grams for any other word too.

    Attributes:
        vocabulary: the tokenizer from texts to words, whose numbers are rows, or its file, which is read when it is
            needed: the words take a quarter of what their vectors of width 100 do.
        vectors: ``(V, d)``; row 0 stands for unknown words and is 0.
        outputs: ``(V, d)`` the words' vectors as middles of a window, or None where they were not kept.
        grams: the n-grams, or None.
        gram_vectors: ``(G, d)`` of them, or None.
    """

    vocabulary: Tokenizer | Path
    vectors: Vectors
    outputs: Vectors | None = None
    grams: Grams | None = None
    gram_vectors: Vectors | None = None

    @classmethod
    def open(cls, folder: str | Path) -> WordVectors:
        """What `save` wrote.

        Raises:
            InputError: the folder holds no word vectors, or damaged ones.
        """
        found = cls.find(folder)
        if found is None:
            raise InputError(f"{folder}: found no word vectors, wanted a folder of nearfar train --encoder words")
        return found

    @classmethod
    def find(cls, folder: str | Path) -> WordVectors | None:
        """What `save` wrote, or None where the folder holds another model.

        Raises:
            InputError: the folder holds word vectors that are damaged.
        """
        from tokenizers import Tokenizer

        place = Path(folder)
        try:
            modules = json.loads((place / "modules.json").read_text("utf-8"))
            text = (place / TOKENIZER).read_text("utf-8")
            is_words = len(modules) == 1 and json.loads(text)["model"]["type"] == "WordLevel"
        except (OSError, ValueError, KeyError):
            return None
        if not is_words:
            return None
        tokenizer, grams, gram_vectors = Tokenizer.from_str(text), None, None
        vectors = _rows(place / WEIGHTS, tokenizer.get_vocab_size())
        outputs = _rows(place / OUTPUTS, len(vectors)) if (place / OUTPUTS).is_file() else None
        if (place / GRAMS).is_file():
            grams = Grams((place / GRAMS).read_text("utf-8").splitlines())
            gram_vectors = _rows(place / GRAM_VECTORS, len(grams.names))
        return cls(tokenizer, vectors, outputs, grams, gram_vectors)

    def save(self, folder: str | Path) -> None:
        """Write a folder of StaticEmbedding, which plain sentence-transformers opens, with what else there is.

        A text is then the mean of its known words' vectors; words that only n-grams know are for `WordVectors` alone.
        """
        place = Path(folder)
        _model(word_tokenizer(), self.vectors).save(str(place), create_model_card=False)
        if isinstance(self.vocabulary, Path):
            shutil.copyfile(self.vocabulary, place / TOKENIZER)
        else:
            self.vocabulary.save(str(place / TOKENIZER))
        if self.outputs is not None:
            np.save(place / OUTPUTS, self.outputs)
        if self.grams is not None and self.gram_vectors is not None:
            (place / GRAMS).write_text("".join(f"{name}\n" for name in self.grams.names), "utf-8")
            np.save(place / GRAM_VECTORS, self.gram_vectors)

    def model(self) -> SentenceTransformer:
        """A SentenceTransformer over the same vectors."""
        return _model(self.tokenizer, self.vectors)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """From texts to words."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.vocabulary)) if isinstance(self.vocabulary, Path) else self.vocabulary

    @cached_property
    def words(self) -> list[str]:
        """The vocabulary, most frequent first; word i has row i + 1."""
        return words_of(self.tokenizer)

    def fold(self, word: str) -> str:
        """How a word is written in the vocabulary."""
        folded: str = self.tokenizer.normalizer.normalize_str(word)
        return folded

    def __contains__(self, word: str) -> bool:
        return self._row(word) > 0

    def __len__(self) -> int:
        """Words, V - 1."""
        return len(self.vectors) - 1

    def __getitem__(self, word: str) -> Vectors:
        """``(d,)``: a word's vector; of one outside the vocabulary by its n-grams.

        Raises:
            InputError: the word is not known; suggests the nearest spelling.
        """
        vector = self._of(self.fold(word))
        if vector.any():
            return vector
        near = difflib.get_close_matches(self.fold(word), self.words[:50_000], n=1)
        raise InputError(f"found {word!r}, wanted a known word{f'; did you mean {near[0]}?' if near else ''}")

    def embed(self, texts: Sequence[str]) -> Vectors:
        """``(n, d)``: the mean of each text's words; 0 where none is known."""
        found = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        cut = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row, (text, encoding) in enumerate(zip(texts, cut, strict=True)):
            ids = encoding.ids
            if 0 in ids and self.grams is not None:
                found[row] = np.mean([self._of(word) for word in words_in(text, self.tokenizer)], axis=0)
            elif ids:
                found[row] = self.vectors[ids].mean(0)
        return found

    def _row(self, word: str) -> int:
        """0 for an unknown word."""
        return self.tokenizer.token_to_id(self.fold(word)) or 0

    def _of(self, word: str) -> Vectors:
        number = self.tokenizer.token_to_id(word) or 0
        found: Vectors = self.vectors[number]
        if not number and self.grams is not None and self.gram_vectors is not None:
            rows = self.grams.rows([word]).indices
            found = self.gram_vectors[rows].sum(0) / np.float32(max(len(rows), 1) ** 0.5)
        return found

    def measure(self, table: Table, *, seed: int = 0, resamples: int = 1000) -> Measurement:
        """As `nearfar.analysis.measure`; an analogy may be answered with any word of the vocabulary."""
        return measure(table, self.embed, lexicon=Lexicon(self.words, self.fold), seed=seed, resamples=resamples)

    def nearest(
        self, near: str | Sequence[str], far: str | Sequence[str] = (), *, count: int = 10
    ) -> list[tuple[str, float]]:
        """The words nearest to the sum of some words' directions less that of others, with their cosines.

        ``nearest(["king", "woman"], ["man"])`` asks what is to woman as king is to man (3CosAdd). The words that were
        given are left out.

        Raises:
            InputError: a word is not known.
        """
        given = [[word] if isinstance(word, str) else list(word) for word in (near, far)]
        if not given[0] + given[1]:
            raise InputError("found no word, wanted at least one")
        towards, away = (unit(np.stack([self[word] for word in part])).sum(0) if part else 0.0 for part in given)
        direction = unit(np.atleast_2d(towards - away))[0].astype(np.float32)
        if not direction.any():
            raise InputError(
                f"found {' '.join(map(str, given[1]))} to be taken away, wanted words that leave something"
            )
        cosines = self._units @ direction
        cosines[[0, *map(self._row, given[0] + given[1])]] = -np.inf
        order = np.argsort(-cosines, kind="stable")[: min(count, int(np.isfinite(cosines).sum()))]
        return [(self.words[row - 1], float(cosines[row])) for row in order.tolist()]

    def analogy(self, a: str, b: str, c: str) -> dict[str, str]:
        """What is to c as b is to a, by "3cosadd" and by "3cosmul"; see `analysis.analogies.analogy_hits`.

        Raises:
            InputError: a word is not in the vocabulary.
        """
        if unknown := [word for word in (a, b, c) if word not in self]:
            raise InputError(f"found {unknown[0]!r}, wanted a word of the vocabulary")
        asked = np.array([[self._row(word) - 1 for word in (a, b, c)]])
        found = answers(self._units[1:], asked)[:, 0].tolist()
        return {name: self.words[number] for name, number in zip(("3cosadd", "3cosmul"), found, strict=True)}

    @cached_property
    def _units(self) -> Vectors:
        return unit(self.vectors).astype(np.float32)

    def write_word2vec(self, path: str | Path, *, binary: bool = False) -> None:
        """Write word2vec's text or binary format, which gensim's `KeyedVectors.load_word2vec_format` reads."""
        with open(path, "wb") as file:
            file.write(f"{len(self)} {self.vectors.shape[1]}\n".encode())
            for word, vector in zip(self.words, self.vectors[1:], strict=True):
                if binary:
                    file.write(f"{word} ".encode() + vector.astype("<f4").tobytes() + b"\n")
                else:
                    file.write(f"{word} {' '.join(f'{number:.9g}' for number in vector.tolist())}\n".encode())


def _rows(path: Path, count: int) -> Vectors:
    """The matrix of a file, which is to have so many rows."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found = load_file(path)["embedding.weight"] if path.name == WEIGHTS else np.load(path, mmap_mode="r")
        shape = found.shape
    except (OSError, ValueError, KeyError, EOFError, AttributeError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).partition('.')[0] or 'empty'})") from error
    if len(shape) != 2 or len(found) != count:
        raise InputError(f"{path}: found shape {shape}, wanted ({count}, d), a row for each name")
    return found


def _model(tokenizer: Tokenizer, vectors: Vectors) -> SentenceTransformer:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, torch.from_numpy(vectors))], device="cpu")


def words_of(tokenizer: Tokenizer) -> list[str]:
    """The words that a tokenizer knows, from row 1 on."""
    return vocabulary_of(tokenizer)[1:]
