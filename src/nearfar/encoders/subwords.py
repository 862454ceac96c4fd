"""Subword tokenizers trained on the corpus itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

from nearfar.errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Subwords = Literal["wordpiece", "bpe", "unigram"]

UNKNOWN = "[UNK]"
LONGEST_WORD = 100
"""Characters; a longer word is unknown as a whole, as in BERT."""

MARK = "##"
"""What a WordPiece inside a word starts with."""


def train_subwords(texts: Iterable[str], *, kind: Subwords = "wordpiece", size: int = 8_000) -> Tokenizer:
    """Train a tokenizer on `texts`, cut at white space and punctuation, lower-cased, accents dropped.

    Args:
        texts: the corpus, read once.
        kind: WordPiece (Schuster & Nakajima 2012), BPE (Sennrich et al. 2016) or Unigram (Kudo 2018).
        size: most pieces that the vocabulary may hold; a small corpus gives fewer.

    Raises:
        InputError: `kind` is unknown or `size` too small.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    if kind not in get_args(Subwords):
        raise InputError(f"tokenizer: found {kind!r}, wanted one of {', '.join(get_args(Subwords))}")
    if size < 100:
        raise InputError(f"vocabulary: found {size}, wanted at least 100 pieces")
    makers: dict[Subwords, Callable[[], tuple[Any, Any]]] = {
        "wordpiece": lambda: (
            models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD),
            trainers.WordPieceTrainer(vocab_size=size, special_tokens=[UNKNOWN], show_progress=False),
        ),
        "bpe": lambda: (
            models.BPE(unk_token=UNKNOWN),
            trainers.BpeTrainer(vocab_size=size, special_tokens=[UNKNOWN], show_progress=False),
        ),
        "unigram": lambda: (
            models.Unigram(),
            trainers.UnigramTrainer(vocab_size=size, special_tokens=[UNKNOWN], unk_token=UNKNOWN, show_progress=False),
        ),
    }
    model, trainer = makers[kind]()
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.NFC()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(texts, trainer)
    if kind == "wordpiece":
        # The trainer numbers the same pieces differently from run to run; a seed must give one model.
        pieces = sorted(set(tokenizer.get_vocab()) - {UNKNOWN})
        numbered = {piece: number for number, piece in enumerate([UNKNOWN, *pieces])}
        tokenizer.model = models.WordPiece(numbered, unk_token=UNKNOWN, max_input_chars_per_word=LONGEST_WORD)
    return tokenizer
