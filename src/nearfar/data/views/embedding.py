"""Views in the space of token vectors: what an encoder's first layer is given is changed, the text is not.

A change is made to the positive; the anchor stays as it will be met later. Random numbers are torch's own, so that
one seed, and one replay of the cached encoder, covers the encoder's dropout and these alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearfar.data.views.base import View, option
from nearfar.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class EmbeddingView(View):
    """A view made of token vectors."""

    space = "embedding"

    def change(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        """Other vectors in the place of these.

        Args:
            vectors: ``(n, L, d)``, padded.
            mask: ``(n, L)``, True at a text's own tokens: neither padding nor what the model adds.
            generator: of the draws; None is torch's global one.
        """
        return vectors

    def __call__(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        """`change` for each text with `probability`."""
        if self.probability == 1:
            return self.change(vectors, mask, generator)
        chosen = uniform(vectors, (len(vectors), 1, 1), generator) < self.probability
        return self.change(vectors, mask, generator).where(chosen, vectors)


@dataclass(frozen=True, kw_only=True)
class Dropout(EmbeddingView):
    """The same text twice, under the encoder's own dropout (a static encoder leaves out tokens)."""

    name = "dropout"
    keeps = "the text, word for word"
    breaks = "nothing; both views have the same length, which the encoder can take for likeness"
    source = "Gao et al. 2021, SimCSE"


@dataclass(frozen=True, kw_only=True)
class Cutoff(EmbeddingView):
    """Zeros in the place of some tokens, of some features of all tokens, or of a run of tokens.

    Args:
        kind: "tokens", "features" or "span".
        rate: share that is cut off.
    """

    kind: str = option("tokens", "what is cut off: tokens, features or span")
    rate: float = option(0.15, "share that is cut off", least=0, most=0.99)
    name = "cutoff"
    keeps = "most of the tokens, or most features of each"
    breaks = "the word that matters may be the one cut off, a negation for one"
    source = "Shen et al. 2020; Yan et al. 2021, ConSERT"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("tokens", "features", "span"):
            raise InputError(f"cutoff: kind: found {self.kind!r}, wanted tokens, features or span")

    def change(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        if self.kind == "features":
            return vectors * (uniform(vectors, (len(vectors), 1, vectors.shape[2]), generator) >= self.rate)
        cut = self._span if self.kind == "span" else self._tokens
        return vectors * ~cut(vectors, mask, generator)[..., None]

    def _tokens(self, vectors: Tensor, mask: Tensor, generator: Generator | None) -> Tensor:
        draws = uniform(vectors, mask.shape, generator).masked_fill(~mask, 0)
        return mask & (draws < self.rate) & (draws < draws.amax(1, keepdim=True))  # the luckiest always stays

    def _span(self, vectors: Tensor, mask: Tensor, generator: Generator | None) -> Tensor:
        counts, place = mask.sum(1, keepdim=True), mask.cumsum(1) - 1
        least = int(self.rate > 0)
        width = (self.rate * counts).round().long().clamp(min=least).minimum(counts - 1)  # one token stays at least
        first = (uniform(vectors, counts.shape, generator) * (counts - width + 1)).long()
        return mask & (place >= first) & (place < first + width)


@dataclass(frozen=True, kw_only=True)
class Shuffle(EmbeddingView):
    """A text's tokens change places. A mean of vectors, as a static encoder takes it, does not see that."""

    name = "shuffle"
    keeps = "which words there are"
    breaks = "their order: who does what to whom; a static encoder sees no difference at all"
    source = "Yan et al. 2021, ConSERT"

    def change(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        # Sorted by a random key, with what is not a token keeping its place: tokens take each other's places.
        keys = uniform(vectors, mask.shape, generator)
        taken = keys.masked_fill(~mask, 2.0).argsort(1)
        places = (~mask).long().argsort(dim=1, stable=True)
        source = places.scatter(1, places, taken).where(mask, _numbers(mask))
        return vectors.gather(1, source[..., None].expand_as(vectors))


@dataclass(frozen=True, kw_only=True)
class Gaussian(EmbeddingView):
    """Normal noise added to each token vector.

    Args:
        scale: standard deviation, in units of the token vectors' root mean square.
    """

    scale: float = option(0.1, "standard deviation over the vectors' root mean square", least=0)
    name = "gaussian"
    keeps = "the text; every direction is moved alike"
    breaks = "nothing in the text; too large a scale drowns rare words"
    source = "Zhou et al. 2022, DCLR, for noise in this space"

    def change(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        import torch

        noise = torch.zeros_like(vectors)
        count = int(mask.sum())  # most of a padded batch can be padding, and normal draws are dear
        draws = noise.new_empty((count, vectors.shape[2])).normal_(generator=generator)
        noise[mask] = self.scale * root_mean_square(vectors, mask) * draws
        return noise.add_(vectors)


@dataclass(frozen=True, kw_only=True)
class Mixup(EmbeddingView):
    """A share of another text of the batch mixed in, token by token, never more than half.

    Args:
        alpha: of the Beta(alpha, alpha) that the share is drawn from; a small one mixes little in.
    """

    alpha: float = option(0.2, "of the Beta distribution of the share; a small one mixes little in", least=0.05)
    name = "mixup"
    keeps = "more than half of each token vector"
    breaks = "the topic leaks from another text, which is a negative of the same batch"
    source = "Zhang et al. 2018; Lee et al. 2021, i-Mix"

    def change(self, vectors: Tensor, mask: Tensor, generator: Generator | None = None) -> Tensor:
        share = _beta(vectors, self.alpha, generator)
        share = share.minimum(1 - share)[:, None, None]
        partner = _permutation(vectors, generator)
        other = (vectors * mask[..., None])[partner]
        mixed = vectors + share * (other - vectors)
        return mixed.where(mask[..., None], vectors)


@dataclass(frozen=True, kw_only=True)
class Adversarial(EmbeddingView):
    """One step of each token vector in the direction that raises the loss most, by the sign of the gradient.

    The trainer takes the step: a first pass gives the gradient at the token vectors of the positives, a second one
    trains on the moved ones (Goodfellow et al. 2015, fast gradient sign method).

    Args:
        epsilon: length of the step in each number, in units of the token vectors' root mean square.
    """

    epsilon: float = option(0.05, "length of the step over the vectors' root mean square", least=0)
    name = "adversarial"
    keeps = "the text; a step too small to be seen in any one number"
    breaks = "nothing in the text; costs a second pass"
    source = "Goodfellow et al. 2015; Yan et al. 2021, ConSERT"

    def aimed(self, slope: Tensor) -> Tensor:
        """The gradient at the texts ``(n, L, d)`` that the view is applied to, and 0 at the others."""
        if self.probability == 1:
            return slope
        return slope * (uniform(slope, (len(slope), 1, 1), None) < self.probability)

    def step(self, vectors: Tensor, mask: Tensor, slope: Tensor) -> Tensor:
        """The vectors moved along the sign of the loss's gradient at them, ``(n, L, d)``."""
        return vectors + self.epsilon * root_mean_square(vectors, mask) * slope.sign() * mask[..., None]


EMBEDDING_VIEWS: tuple[type[EmbeddingView], ...] = (Dropout, Cutoff, Shuffle, Gaussian, Mixup, Adversarial)


def root_mean_square(vectors: Tensor, mask: Tensor) -> Tensor:
    """The size of a typical number of the tokens' vectors, a scalar without a gradient."""
    rows = vectors.detach()[mask]
    return rows.square().mean().sqrt() if len(rows) else vectors.new_zeros(())


def uniform(like: Tensor, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
    """Draws from [0, 1) in float32."""
    import torch

    return torch.rand(shape, generator=generator, device=like.device)


def _numbers(mask: Tensor) -> Tensor:
    import torch

    return torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)


def _permutation(like: Tensor, generator: Generator | None) -> Tensor:
    import torch

    return torch.randperm(len(like), generator=generator, device=like.device)


def _beta(like: Tensor, alpha: float, generator: Generator | None) -> Tensor:
    """``(n,)`` draws from Beta(alpha, alpha), as a share of two gamma draws."""
    import torch

    rate = torch.full((2, len(like)), alpha, device=like.device)
    first, second = torch._standard_gamma(rate, generator=generator) + torch.finfo(torch.float32).tiny
    share: Tensor = first / (first + second)
    return share
