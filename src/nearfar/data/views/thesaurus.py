"""Words that may stand for each other: of WordNet's files, or near each other in a static encoder."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.data.views import korean
from nearfar.data.views.units import cut
from nearfar.errors import InputError

Lookup = Callable[[str], tuple[str, ...]]
"""A unit of text -> what may stand in its place; none where nothing is known."""

WORDNET = Path("/usr/share/wordnet")
"""Where Debian's `wordnet-base` puts its files."""

HOW = (
    "`apt-get install wordnet-base` and `pip install nearfar[wordnet]` for English, or model=FOLDER,"
    " a static encoder that `nearfar train` wrote, for any language"
)
AROUND = re.compile(r"(\W*)(.*?)(\W*)", re.DOTALL)
"""A word, and the marks before and after it in its unit."""


@lru_cache(maxsize=8)
def open_thesaurus(wordnet: str, model: str, senses: int, closest: int, similarity: float) -> Lookup:
    """What knows synonyms; a word is looked up in WordNet first.

    Args:
        wordnet: its folder; empty: Debian's, where it and nltk are there.
        model: folder of a static encoder, or empty.
        senses: of WordNet, the most frequent.
        closest: neighbours in the encoder.
        similarity: cosine that a neighbour has at least.

    Raises:
        InputError: there is neither, or one that is named cannot be read.
    """
    sources: list[Lookup] = []
    if wordnet or (WORDNET.is_dir() and _nltk() is not None):
        sources.append(_of_wordnet(Path(wordnet or WORDNET), senses))
    if model:
        sources.append(_of_encoder(Path(model), closest, similarity))
    if not sources:
        raise InputError(f"found no source of synonyms, wanted one: {HOW}")

    @lru_cache(maxsize=1 << 17)
    def look_up(unit: str) -> tuple[str, ...]:
        before, word, after = apart(unit)
        found = next(filter(None, (source(word.lower()) for source in sources)), ())
        return tuple(f"{before}{_as_written(word, other)}{after}" for other in found)

    return look_up


def apart(unit: str) -> tuple[str, str, str]:
    """The marks before a word, the word, and the marks after it."""
    match = AROUND.fullmatch(unit)
    assert match is not None  # anything matches
    return match[1], match[2], match[3]


def _as_written(like: str, word: str) -> str:
    """A word in capitals as another has them."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word


def _nltk() -> Any:
    try:
        from nltk.corpus.reader import wordnet
    except ImportError:
        return None
    return wordnet


def _of_wordnet(folder: Path, senses: int) -> Lookup:
    """The other lemmas of a word's most frequent senses.

    A word is left alone where it is inflected, for the lemma in its place would not be, and where it is a function
    word: WordNet knows "a" as a vitamin and "it" as a field of computing.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    reader = _open_wordnet(folder)
    with reader.open("cntlist.rev") as file:  # at once: nltk searches it on disk for every lemma
        counts = {key: int(count) for key, _, count in map(str.split, file)}

    def look_up(word: str) -> tuple[str, ...]:
        if not (word.isascii() and word.isalpha()) or len(word) < 3 or word in ENGLISH_STOP_WORDS:
            return ()
        own = [lemma for synset in reader.synsets(word) for lemma in synset.lemmas() if lemma.name() == word]
        own.sort(key=lambda lemma: -counts.get(lemma.key(), 0))  # stable, so that equals stay in WordNet's order
        names = [name for lemma in own[:senses] for name in lemma.synset().lemma_names()]
        return tuple(dict.fromkeys(name.replace("_", " ") for name in names if name != word and name.islower()))

    return look_up


def _open_wordnet(folder: Path) -> Any:
    module = _nltk()
    if module is None:
        raise InputError("found no nltk, which reads WordNet; wanted it installed: pip install nearfar[wordnet]")
    import nltk

    if str(folder) not in nltk.data.path:  # nltk opens nothing outside these folders
        nltk.data.path.append(str(folder))

    base: Any = module.WordNetCorpusReader

    class Reader(base):  # type: ignore[misc]
        """Without lexnames and index.sense, which Debian leaves out and synonyms do not need."""

        def open(self, file: str) -> Any:
            if file == "lexnames" and not (folder / file).exists():
                return io.StringIO("".join(f"{number:02} unknown 0\n" for number in range(45)))
            return super().open(file)

        def map_wn(self, version: str = "wordnet") -> None:
            """No mapping of senses to another version, which serves other languages."""

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that other languages are not there
            return Reader(str(folder), None)
    except Exception as error:  # whatever a folder of other files makes nltk raise
        raise InputError(
            f"wordnet: found no WordNet in {folder} ({str(error).strip().partition(chr(10))[0]}), wanted {HOW}"
        ) from error


def _of_encoder(folder: Path, closest: int, similarity: float) -> Lookup:
    """The words whose vectors are nearest by cosine, of those that are one token and one unit.

    So a Korean noun gets another noun in its place and not one with a particle, which would be there twice.
    """
    tokenizer, vectors = _open_static(folder)
    found = list(_words(tokenizer))
    korean.prepare([word for word, _ in found], lasting=False)
    words = [(word, token) for word, token in found if len(cut(word)) == 1]
    numbers = {word: place for place, (word, _) in enumerate(words)}
    rows = vectors[[token for _, token in words]].astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    def look_up(word: str) -> tuple[str, ...]:
        own = numbers.get(word)
        if own is None:
            return ()
        cosines = rows @ rows[own]
        cosines[own] = -1
        best = np.argsort(-cosines, kind="stable")[:closest]
        return tuple(words[place][0] for place in best if cosines[place] >= similarity)

    return look_up


def _open_static(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and vectors from the files themselves: opening the model would import torch into every worker."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        first = json.loads((folder / "modules.json").read_text("utf-8"))[0]
        if not first["type"].endswith("StaticEmbedding"):
            raise ValueError(f"it starts with {first['type']}")
        place = folder / first["path"]
        vectors = load_file(place / "model.safetensors")["embedding.weight"]
        return Tokenizer.from_file(str(place / "tokenizer.json")), vectors
    except Exception as error:  # whatever a missing or damaged file makes json, safetensors or tokenizers raise
        raise InputError(
            f"model: found no static encoder in {folder} ({error}), wanted one of `nearfar train`"
        ) from error


def _words(tokenizer: Any) -> Iterator[tuple[str, int]]:
    """The tokens that are whole words of at least two letters, with their numbers."""
    numbered = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    named = [(token.lstrip("▁Ġ"), number) for token, number in numbered]
    named = [(word, number) for word, number in named if len(word) > 1 and word.isalpha()]
    encoded = tokenizer.encode_batch([word for word, _ in named], add_special_tokens=False)
    for (word, number), encoding in zip(named, encoded, strict=True):
        if encoding.ids == [number]:
            yield word, number
