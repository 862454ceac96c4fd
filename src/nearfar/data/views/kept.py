"""What was worked out for a text, kept within a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Remembers the results of a function of texts.

    The first texts stay and none is put out for a later one: passes over a table that is larger than the bound
    would else put every text out just before it comes again. What does not fit lasts until the next batch.

    Args:
        compute: texts -> a result for each.
        most: characters of text that are kept; 32 Mi are about half a million sentences.
    """

    def __init__(self, compute: Callable[[list[str]], Iterable[Value]], most: int = 1 << 25) -> None:
        self._compute = compute
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Forget all results."""
        self._room = self._most
        self._lasting: dict[str, Value] = {}
        self._passing: dict[str, Value] = {}

    def __call__(self, text: str) -> Value:
        """The result of one text."""
        for found in (self._lasting, self._passing):
            if text in found:
                return found[text]
        self.add([text], lasting=True)
        return self(text)

    def add(self, texts: Sequence[str], *, lasting: bool) -> None:
        """Work out those of a batch that are not known, all together.

        Args:
            texts: the batch.
            lasting: whether they will come again after it.
        """
        self._passing.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._lasting]
        for text, value in zip(new, self._compute(new), strict=True) if new else ():
            if lasting and len(text) <= self._room:
                self._room -= len(text)
                self._lasting[text] = value
            else:
                self._passing[text] = value
