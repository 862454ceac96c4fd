"""Small tables, an encoder, and what a batch of them becomes."""

from __future__ import annotations

import numpy as np
import torch

import nearfar as nf
from nearfar.encoders import build_static, open_encoder
from nearfar.encoders.static import StaticEncoder

WORDS = "a cat sat on the mat while two dogs ran after some old red car near that house".split()


def texts(count: int, seed: int = 0) -> list[str]:
    """Texts of four words, no two alike."""
    generator, found = np.random.default_rng(seed), dict[str, None]()
    while len(found) < count:
        found[" ".join(generator.choice(WORDS, 4))] = None
    return list(found)


def translations(count: int, seed: int = 0) -> nf.Table:
    """Anchors, and each word of theirs in another language: near only once that is learnt."""
    generator, syllables = np.random.default_rng(seed), "ka lo mi tu ne ra so vi pe du".split()
    known = {
        f"{a}{b}": f"{b}{c}{a}"
        for a in syllables
        for b, c in zip(syllables, syllables[3:] + syllables[:3], strict=True)
    }
    rows = [generator.choice(list(known), 4) for _ in range(count)]
    return nf.Table.from_columns(
        {"anchor": [" ".join(row) for row in rows], "positive": [" ".join(known[word] for word in row) for row in rows]}
    )


def pairs_table(count: int = 20, negatives: bool = False) -> nf.Table:
    """Anchors and positives, all different."""
    every = texts(3 * count)
    columns = {"anchor": every[:count], "positive": every[count : 2 * count]}
    return nf.Table.from_columns(columns | ({"negative": every[2 * count :]} if negatives else {}))


def encoder(**options: float) -> StaticEncoder:
    """A static one whose vectors are learnt."""
    made = open_encoder(build_static(lambda: [WORDS], width=8), **options)  # type: ignore[arg-type]
    assert isinstance(made, StaticEncoder)
    made.optimiser(0.1)
    torch.manual_seed(0)
    return made
