"""Views of token vectors as one change, and the step against the loss that the adversarial one takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nearfar.data.views import View
from nearfar.data.views.embedding import Adversarial, Dropout, EmbeddingView, Mixup
from nearfar.encoders.base import AtOnce, Change


def change_of(views: Sequence[View]) -> Change | None:
    """All views of token vectors one after the other; None where there is none, and the encoder's dropout is all."""
    chosen = [view for view in views if isinstance(view, EmbeddingView) and changes_vectors(view)]
    chosen = [view for view in chosen if not isinstance(view, Adversarial)]
    if not chosen:
        return None

    def change(vectors: Tensor, mask: Tensor) -> Tensor:
        for view in chosen:
            vectors = view(vectors, mask)
        return vectors

    return AtOnce(change) if any(isinstance(view, Mixup) for view in chosen) else change


def changes_vectors(view: View) -> bool:
    """Whether it is at token vectors, rather than at texts or by the encoder's dropout."""
    return isinstance(view, EmbeddingView) and not isinstance(view, Dropout)


def attacked(view: Adversarial, loss: Callable[[Change], Tensor], before: Change | None) -> Change:
    """The change that raises the loss most, to first order, given the random draws that come next.

    Args:
        view: how far it goes.
        loss: the loss under a change.
        before: a change that is made first.
    """
    moves: list[Tensor] = []

    def probe(vectors: Tensor, mask: Tensor) -> Tensor:
        vectors = vectors if before is None else before(vectors, mask)
        moves.append(torch.zeros_like(vectors, requires_grad=True))
        return vectors + moves[0]

    with torch.random.fork_rng():  # the step is trained on under the draws that its gradient was taken under
        (slope,) = torch.autograd.grad(loss(AtOnce(probe)), moves, materialize_grads=True)
        slope = view.aimed(slope)

    def change(vectors: Tensor, mask: Tensor) -> Tensor:
        vectors = vectors if before is None else before(vectors, mask)
        return view.step(vectors, mask, slope)

    return AtOnce(change)
