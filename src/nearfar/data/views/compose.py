"""Several views after each other, with randomness that depends on seed, row and epoch alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nearfar.data.views.base import TextView, View, valid
from nearfar.data.views.draws import row_keys, row_randoms, uniforms
from nearfar.data.views.registry import parse_view


@dataclass(frozen=True)
class Views:
    """A composition of views.

    Those in text space change the positive one after the other; one that makes both sides anew (`span`,
    `inverse_cloze`, `adjacent`) makes them of the positive as it is then.

    Attributes:
        views: in order, those in embedding space among them.
        unchanged: view -> texts that it was applied to and gave back, since there was nothing to change or
            nothing would have been left.
    """

    views: tuple[View, ...]
    unchanged: Counter[str] = field(default_factory=Counter, compare=False)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Views:
        """Views from their settings, as `parse_view` reads them.

        Raises:
            InputError: one of them is not a view's.
        """
        return cls(tuple(parse_view(text) for text in texts))

    @property
    def in_text(self) -> tuple[TextView, ...]:
        """Those in text space."""
        return tuple(view for view in self.views if isinstance(view, TextView))

    @property
    def in_embedding(self) -> tuple[View, ...]:
        """Those in embedding space."""
        return tuple(view for view in self.views if view.space == "embedding")

    def settings(self) -> list[str]:
        """What `parse` reads back."""
        return [str(view) for view in self.views]

    def prepare(self) -> None:
        """Open what the views need, so that what is missing is known before the work.

        Raises:
            InputError: something that a view needs is not there.
        """
        for view in self.in_text:
            view.prepare()

    def pair(self, text: str, *, seed: int, row: int, epoch: int) -> tuple[str, str]:
        """Anchor and positive of one text; see `pairs`."""
        (anchor,), (positive,) = self.pairs([text], [row], seed=seed, epoch=epoch)
        return anchor, positive

    def pairs(self, texts: Sequence[str], rows: Sequence[int], *, seed: int, epoch: int) -> tuple[list[str], list[str]]:
        """Anchors and positives, a function of each text and its (seed, row, epoch) alone.

        Args:
            texts: any texts.
            rows: the number of each in its table.
            seed: of the run.
            epoch: the pass over the data.
        """
        anchors = [valid(text) for text in texts]
        positives = anchors.copy()
        for place, view in enumerate(self.in_text):
            chosen: Sequence[int] = range(len(texts))
            if view.probability < 1:
                keys = row_keys(rows, seed=seed, epoch=epoch, place=-1 - place)
                chosen = np.flatnonzero(uniforms(keys, 0, 1)[:, 0] < view.probability).tolist()
            view.prepare([positives[index] for index in chosen], lasting=place == 0)
            randoms = row_randoms([rows[index] for index in chosen], seed=seed, epoch=epoch, place=place)
            same = 0
            for index, random in zip(chosen, randoms, strict=True):
                text = positives[index]
                first, second = view.apply(text, random)
                positives[index] = second
                if first is not text:
                    anchors[index] = first
                elif second == text:
                    same += 1
            self.unchanged[view.name] += same
        return anchors, positives
