"""Subword tokenizers trained on the corpus itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, get_args

from nearfar.errors import InputError
from nearfar.settings import Subwords

if TYPE_CHECKING:
    from tokenizers import Tokenizer, models

Texts = Callable[[], Iterable[str]]

UNKNOWN = "[UNK]"
ALPHABET = 4_000
"""Characters that are pieces of their own, the most frequent of the corpus; enough for Hangul syllables."""

LONGEST_WORD = 100
"""Characters; a longer word is unknown as a whole, as in BERT."""

MARK = "##"
"""What a WordPiece inside a word starts with."""


def train_subwords(texts: Texts, *, kind: Subwords = "wordpiece", size: int = 8_000) -> Tokenizer:
    """Train a tokenizer on `texts`, cut at white space and punctuation, lower-cased, accents dropped.

    Args:
        texts: makes a pass over the corpus; called twice.
        kind: WordPiece (Schuster & Nakajima 2012), BPE (Sennrich et al. 2016) or Unigram (Kudo 2018).
        size: most pieces that the vocabulary may hold; a small corpus gives fewer.

    Raises:
        InputError: `kind` is unknown or `size` too small.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    if kind not in get_args(Subwords):
        raise InputError(f"tokenizer: found {kind!r}, wanted one of {', '.join(get_args(Subwords))}")
    if size < 100:
        raise InputError(f"vocabulary: found {size}, wanted at least 100 pieces")
    tokenizer = Tokenizer({"wordpiece": models.WordPiece, "bpe": models.BPE, "unigram": models.Unigram}[kind]())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.NFC()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.model = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram}[kind](tokenizer, texts, size)
    return tokenizer


def _wordpiece(tokenizer: Tokenizer, texts: Texts, size: int) -> models.WordPiece:
    """WordPiece whose pieces and numbers depend on the corpus alone.

    The trainer meets the characters inside words in the order of a hash table that differs from process to
    process, and breaks ties by it. Naming them beforehand, in order, takes the chance away.
    """
    from tokenizers import models, trainers

    characters = Counter(chain.from_iterable(map(tokenizer.normalizer.normalize_str, texts())))
    alphabet = sorted(sorted(characters, key=lambda c: (-characters[c], c))[:ALPHABET])
    named = [UNKNOWN, *(f"{MARK}{character}" for character in alphabet if not character.isspace())]
    tokenizer.model = models.WordPiece(unk_token=UNKNOWN)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=2, limit_alphabet=ALPHABET, special_tokens=named, show_progress=False
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return models.WordPiece(tokenizer.get_vocab(), unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD)


def _bpe(tokenizer: Tokenizer, texts: Texts, size: int) -> models.BPE:
    from tokenizers import models, trainers

    tokenizer.model = models.BPE(unk_token=UNKNOWN)
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=[UNKNOWN], show_progress=False)
    tokenizer.train_from_iterator(texts(), trainer)
    model: models.BPE = tokenizer.model
    return model


def _unigram(tokenizer: Tokenizer, texts: Texts, size: int) -> models.Unigram:
    """Unigram whose pieces are in order and whose scores are rounded.

    The trainer sums in the order of a hash table that differs from process to process; scores then differ in
    the eleventh digit, and pieces of equal score in their place.
    """
    from tokenizers import models, trainers

    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=[UNKNOWN], unk_token=UNKNOWN, show_progress=False)
    try:
        tokenizer.train_from_iterator(texts(), trainer)
    except Exception as error:  # the trainer has no type of its own
        raise InputError(f"vocabulary: found {size}, wanted more for unigram pieces ({error})") from error
    scores = {piece: round(score, 6) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]}
    return models.Unigram([(UNKNOWN, scores.pop(UNKNOWN)), *sorted(_settled(scores).items())], unk_id=0)


def _settled(scores: dict[str, float]) -> dict[str, float]:
    """The scores, those of characters that the trainer had dropped and put back in the order of the characters.

    It gives them the lowest score, the next a ten-thousandth more and so on, in the order of a hash table.
    """
    characters = sorted(piece for piece in scores if len(piece) == 1)
    highest = min(scores.values(), default=0.0) + 1e-4 * len(characters)
    back = [character for character in characters if scores[character] <= highest]
    return scores | dict(zip(back, sorted(map(scores.__getitem__, back)), strict=True))
