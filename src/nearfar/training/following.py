"""What follows some texts through a run: their nearest neighbours, and the spectrum of the space around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nearfar.analysis import spectrum
from nearfar.analysis.vectors import unit
from nearfar.data import Table
from nearfar.encoders import Encoder
from nearfar.encoders.prompts import DEFAULT, prompt_of, prompted
from nearfar.encoders.static import StaticEncoder
from nearfar.settings import Settings
from nearfar.training.fitting import Data

FOLLOWED = 4
"""Texts that are followed where the settings name none."""

AMONG, AMONG_SLOWLY = 2_000, 200
"""Texts among which neighbours are looked for; of an encoder that is not static, whose texts cost milliseconds each."""

NEAR = 5
"""Neighbours of a text."""

DIRECTIONS = 64
"""Of the spectrum, the strongest."""


class Following:
    """Looks up the neighbours of a few texts among a sample of the data.

    The sample is drawn by the seed, from what is measured on first, and changes nothing that is learnt.

    Args:
        encoder: of the run.
        data: that is trained on; streams are not looked into.
        evaluate_on: tables to measure on, whose texts are followed where the settings name none.
        settings: their `follow` and `seed`.
    """

    def __init__(
        self, encoder: Encoder, data: Sequence[Data], evaluate_on: Sequence[Table], settings: Settings
    ) -> None:
        self.encoder = encoder
        most = AMONG if isinstance(encoder, StaticEncoder) else AMONG_SLOWLY
        tables = [*evaluate_on, *(one for one in data if isinstance(one, Table))]
        among = list(dict.fromkeys(_texts(tables, most, settings.seed)))[:most]
        self.followed = list(settings.follow) or among[:FOLLOWED]
        self.among = among
        prompt = prompt_of(encoder.model, DEFAULT)
        self.tokens = encoder.tokenise([prompted([*self.followed, *among], prompt)]) if len(among) > 1 else None

    @torch.no_grad()
    def look(self) -> dict[str, Any] | None:
        """Neighbours and spectrum by the encoder as it is; None where there is nothing to look among.

        ``texts``: for each followed text its nearest others, with cosines; ``among``: how many there are; ``spectrum``:
        the largest shares of the sample's variance along its principal axes.
        """
        if self.tokens is None:
            return None
        model, training = self.encoder.model, self.encoder.model.training
        model.eval()
        try:
            vectors = unit(self.encoder.embed(self.tokens).float().cpu().numpy())
        finally:
            model.train(training)
        if not np.isfinite(vectors).all():
            return None
        count = len(self.followed)
        cosines = vectors[:count] @ vectors[count:].T
        texts = [
            {"text": text, "near": self._near(text, row)} for text, row in zip(self.followed, cosines, strict=True)
        ]
        variances = spectrum(vectors[count:])
        shares = variances / max(float(variances.sum()), np.finfo(np.float64).tiny)
        return {"texts": texts, "among": len(self.among), "spectrum": shares[:DIRECTIONS].tolist()}

    def _near(self, text: str, cosines: NDArray[np.float64]) -> list[dict[str, Any]]:
        order = np.argsort(-cosines, kind="stable")[: NEAR + 1].tolist()
        others = [place for place in order if self.among[place] != text]
        return [{"text": self.among[place], "cosine": float(cosines[place])} for place in others[:NEAR]]


def _texts(tables: Sequence[Table], most: int, seed: int) -> Iterator[str]:
    """Texts of some rows of each table, those of its first role first."""
    generator = np.random.default_rng(seed)
    for table in tables:
        count = min(len(table), most // len(tables) + 1)
        rows = table.select(np.sort(generator.choice(len(table), count, replace=False)))
        for role in table.text_roles[:2]:
            yield from rows.column(role)
