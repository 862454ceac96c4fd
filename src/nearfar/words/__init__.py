"""Words: vectors of words by NEG, NCE or InfoNCE on words and their neighbourhoods, at word2vec's own work."""

from nearfar.words.training import Moment, WordOutcome, train_words
from nearfar.words.vectors import WordVectors

__all__ = ["Moment", "WordOutcome", "WordVectors", "train_words"]
