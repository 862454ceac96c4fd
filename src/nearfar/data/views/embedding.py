"""Views in embedding space: what is done to vectors, by the encoder or the trainer."""

from __future__ import annotations

from dataclasses import dataclass

from nearfar.data.views.base import View


@dataclass(frozen=True, kw_only=True)
class Dropout(View):
    """The same text twice; the encoder's dropout makes two vectors of it."""

    name = "dropout"
    space = "embedding"
    keeps = "every word"
    breaks = "nothing of the text; both sides are equally long, which the encoder may learn instead of the meaning"
    source = "Gao et al. 2021 (SimCSE)"
