"""Tokenizers trained on a corpus depend on the corpus alone."""

import pytest

from nearfar.encoders.subwords import Subwords, _settled, train_subwords
from nearfar.errors import InputError

CORPUS = ["the cat sees " + chr(ord("가") + number) for number in range(300)]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_one_corpus_gives_one_tokenizer(kind: Subwords) -> None:
    # The trainers' hash tables differ from one to the next even within a process.
    assert len({train_subwords(lambda: CORPUS, kind=kind, size=2_000).to_str() for _ in range(3)}) == 1


def test_characters_that_unigram_puts_back_are_scored_in_their_order() -> None:
    kept = {"the": -3.0, "c": -5.0, "가나": -9.0}
    first = {"다": -13.0, "가": -12.9999, "나": -12.9998}
    second = {"나": -13.0, "다": -12.9999, "가": -12.9998}
    settled = _settled(kept | first)
    assert settled == _settled(second | kept) == kept | {"가": -13.0, "나": -12.9999, "다": -12.9998}


def test_unigram_needs_room_for_every_character() -> None:
    with pytest.raises(InputError, match="vocabulary: found 100, wanted more"):
        train_subwords(lambda: CORPUS, kind="unigram", size=100)
