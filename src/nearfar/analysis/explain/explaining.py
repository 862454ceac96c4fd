"""Why two texts are near: their cosine as a sum over pairs of their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfar.analysis.explain.parts import Parts, Tell, Vectors, parts_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


@dataclass(frozen=True)
class Explanation:
    """A cosine as a sum over pairs of tokens, but for `error`.

    Attributes:
        first, second: n and m tokens, or runs of neighbouring ones.
        pairs: ``(n, m)``: the part of each pair.
        similarity: the cosine, as the model says.
        exact: whether `error` is rounding alone.
        left_out: tokens of each text beyond what the model reads.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    pairs: Vectors
    similarity: float
    exact: bool
    left_out: tuple[int, int] = (0, 0)

    @property
    def error(self) -> float:
        """The cosine less the sum of all parts."""
        return float(self.similarity - self.pairs.sum())

    def strongest(self, count: int) -> list[tuple[str, str, float]]:
        """The pairs that change the cosine most, up or down, with their part."""
        order = np.argsort(-np.abs(self.pairs), axis=None, kind="stable")[:count]
        rows, columns = np.unravel_index(order, self.pairs.shape)
        return [
            (self.first[i], self.second[j], float(self.pairs[i, j]))
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "similarity": self.similarity,
            "exact": self.exact,
            "error": self.error,
            "first": list(self.first),
            "second": list(self.second),
            "pairs": self.pairs.tolist(),
            "left_out": list(self.left_out),
        }


def explain(
    model: SentenceTransformer,
    first: str,
    second: str,
    *,
    steps: int = 32,
    units: int = 32,
    tell: Tell = lambda share: None,
) -> Explanation:
    """The part of each pair of tokens in the cosine of two texts.

    Each text's vector is taken apart into one vector a token (`parts_of`); the part of a pair is their dot product. Of
    a static encoder these are the tokens' own vectors over their number and the length of the mean, and the sum is the
    cosine. Of a transformer it is the product of two integrated Jacobians (Moeller, Nikolaev & Padó 2023, 2024), from a
    reference whose own tokens are padding. Their models are trained to say 0 for the reference; here what it says is
    shared out evenly among the tokens. The length of a vector counts as a constant.

    Args:
        model: a static encoder or a transformer.
        first, second: texts, to which the model's default prompt is added.
        steps: nodes of the integral, more for a smaller `error`; an exact explanation needs none.
        units: most parts a text is cut into.
        tell: told the share that is done, from 0 to 1: two long texts take a transformer minutes.

    Raises:
        InputError: a text has no token, or the model is of another sort.
    """
    for name, value in (("steps", steps), ("units", units)):
        if value < 1:
            raise InputError(f"{name}: found {value}, wanted at least 1")
    a = parts_of(model, first, steps=steps, units=units, name="first text", tell=lambda share: tell(share / 2))
    b = parts_of(model, second, steps=steps, units=units, name="second text", tell=lambda share: tell((1 + share) / 2))
    return multiplied(a, b)


def multiplied(a: Parts, b: Parts) -> Explanation:
    """The dot product of two sums of vectors, term by term."""
    return Explanation(
        first=a.units,
        second=b.units,
        pairs=a.vectors @ b.vectors.T,
        similarity=float(a.vector @ b.vector),
        exact=a.exact and b.exact,
        left_out=(a.left_out, b.left_out),
    )
