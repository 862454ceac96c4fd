"""Token ids of many texts, flat and on disk: tokenised once, read in any order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tokens:
    """Ragged rows of token ids.

    Attributes:
        ids: ``(total,)`` int32, the rows one after another.
        offsets: ``(n + 1,)`` int64; row i is ``ids[offsets[i]:offsets[i + 1]]``.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``(n,)``: how many tokens each row has."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Tokens:
        """These rows, in this order."""
        starts, lengths = self.offsets[rows], self.lengths_of(rows)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        # Each flat position is its row's start plus its place in the row.
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Tokens(self.ids[places], offsets)

    def lengths_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """``(len(rows),)``: how many tokens these rows have."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def keep(self, kept: NDArray[np.bool_]) -> Tokens:
        """Without the tokens that are False in `kept` ``(total,)``; a row that would be empty keeps its first."""
        through = np.concatenate([[0], np.cumsum(kept)])[self.offsets]
        emptied = (np.diff(through) == 0) & (self.lengths > 0)
        if emptied.any():
            kept = kept.copy()
            kept[self.offsets[:-1][emptied]] = True
            through = np.concatenate([[0], np.cumsum(kept)])[self.offsets]
        return Tokens(self.ids[kept], through)

    def padded(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """``(n, L)`` ids, 0 where a row has ended, and ``(n, L)`` where it has not; L is at least 1."""
        mask = np.arange(max(int(self.lengths.max(initial=0)), 1)) < self.lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = self.ids
        return ids, mask

    def rows(self) -> list[list[int]]:
        """The ids as nested lists."""
        return [self.ids[a:b].tolist() for a, b in pairwise(self.offsets)]

    @classmethod
    def concatenate(cls, parts: Sequence[Tokens]) -> Tokens:
        """The rows of all parts, one part after another."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        ids = np.concatenate([part.ids for part in parts])
        return cls(ids, np.concatenate([[0], np.cumsum(lengths)]))

    @classmethod
    def store(cls, batches: Iterable[Sequence[Sequence[int]]]) -> Tokens:
        """Write batches of rows to an unnamed temporary file and map it, so that memory stays constant."""
        lengths: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        file: Any = tempfile.TemporaryFile(prefix="nearfar-tokens-")  # noqa: SIM115 - lives as long as the map
        for batch in batches:
            lengths.append(np.fromiter(map(len, batch), np.int64, len(batch)))
            np.fromiter(chain.from_iterable(batch), np.int32).tofile(file)
        offsets = np.concatenate(lengths).cumsum()
        file.flush()
        ids = np.memmap(file, np.int32, mode="c", shape=(int(offsets[-1]),)) if offsets[-1] else np.zeros(0)
        return cls(ids.astype(np.int32, copy=False), offsets)
