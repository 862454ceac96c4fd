"""Contrasts whose candidates are each anchor's own: triplets, judged pairs, noise samples, graded pairs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nearfar.contrasts.base import Contrast, Places, Recipe, Strip, nothing
from nearfar.contrasts.checks import check_embeddings, check_numbers, check_own, check_shape, check_weights


def triplets(anchors: Tensor, positives: Tensor, negatives: Tensor, *, weights: Tensor | None = None) -> Contrast:
    """Anchor i sees positive i and negative i only.

    Args:
        anchors: ``(N, d)``.
        positives: ``(N, d)``.
        negatives: ``(N, d)``, or ``(N, k, d)`` with k for each anchor, seen by it alone.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("anchors", anchors)
    check_embeddings("positives", positives, like=anchors, rows=len(anchors))
    far = check_own("negatives", negatives, anchors)
    return Contrast(
        anchors,
        anchors[:0],
        lambda rows: Strip(_first_column(rows, anchors), nothing(anchors)),
        "triplets",
        Recipe(triplets, {"anchors": anchors, "positives": positives, "negatives": negatives}, {"weights": weights}),
        own=(positives[:, None], far),
        weights=check_weights(weights, len(anchors), anchors),
    )


def judged(first: Tensor, second: Tensor, near: Tensor, *, weights: Tensor | None = None) -> Contrast:
    """Pair i alone, near or far by ``near[i]``.

    An equation that holds near against far candidates of one row (the softmax family, triplets, circle,
    multi-similarity) has no term here: its loss is 0, its gradient zero. `ContrastiveLoss` is made for such pairs.

    Args:
        first: ``(N, d)``.
        second: ``(N, d)``.
        near: ``(N,)`` booleans.
        weights: ``(N,)``, per pair.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("first", first)
    check_embeddings("second", second, like=first, rows=len(first))
    check_shape("near", near, (len(first),))
    if near.dtype != torch.bool:
        raise ValueError(f"near: found dtype {near.dtype}, wanted booleans")
    verdict = near.to(first.device)

    def relation(rows: slice) -> Strip:
        here = verdict[rows, None]
        return Strip(Places(torch.zeros_like(here, dtype=torch.long), here), nothing(first))

    return Contrast(
        first,
        first[:0],
        relation,
        "judged",
        Recipe(judged, {"first": first, "second": second}, {"near": near, "weights": weights}),
        own=(second[:, None],),
        weights=check_weights(weights, len(first), first),
    )


def sampled(
    anchors: Tensor,
    positives: Tensor,
    noise: Tensor | None = None,
    log_noise_positive: Tensor | None = None,
    log_noise: Tensor | None = None,
    *,
    weights: Tensor | None = None,
) -> Contrast:
    """Row i's positive is near, samples from a noise distribution are far.

    Args:
        anchors: ``(N, d)``.
        positives: ``(N, d)``.
        noise: ``(N, k, d)``, k for each anchor, or ``(k, d)``, shared by all anchors; None takes the positives of the
            N - 1 other rows, which in a batch drawn at random are samples of how the data itself is distributed.
        log_noise_positive: ``(N,)`` log-probability of each positive under the noise distribution, for NCE.
        log_noise: ``(N, k)`` or ``(k,)`` that of each sample; None where `noise` is.
        weights: ``(N,)``, per anchor.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("anchors", anchors)
    count = len(anchors)
    check_embeddings("positives", positives, like=anchors, rows=count)
    recipe = Recipe(
        sampled,
        {"anchors": anchors, "positives": positives, "noise": noise},
        {"log_noise_positive": log_noise_positive, "log_noise": log_noise, "weights": weights},
    )
    if noise is None:
        return _in_batch(recipe)
    shared = not (isinstance(noise, Tensor) and noise.dim() == 3)
    if shared:
        check_embeddings("noise", noise, like=anchors)
    else:
        check_own("noise", noise, anchors)
    if (log_noise_positive is None) != (log_noise is None):
        missing = "log_noise" if log_noise is None else "log_noise_positive"
        raise ValueError(f"{missing}: found None, wanted log-probabilities beside the other one")
    logs = None
    if log_noise_positive is not None and log_noise is not None:
        of_positive = check_numbers("log_noise_positive", log_noise_positive, (count,), anchors)[:, None]
        of_noise = check_numbers("log_noise", log_noise, tuple(noise.shape[:-1]), anchors)
        logs = (of_positive, of_noise) if shared else (torch.cat([of_positive, of_noise], dim=1), of_noise[:0, 0])
    return Contrast(
        anchors,
        noise if shared else anchors[:0],
        lambda rows: Strip(_first_column(rows, anchors), nothing(anchors)),
        "sampled",
        recipe,
        own=(positives[:, None],) if shared else (positives[:, None], noise),
        weights=check_weights(weights, count, anchors),
        log_noise=logs,
    )


def _in_batch(recipe: Recipe) -> Contrast:
    """`sampled` without noise of its own: row i is near to column i, and all other columns are its noise."""
    anchors, positives = recipe.embeddings["anchors"], recipe.embeddings["positives"]
    log_positive, weights = recipe.others["log_noise_positive"], recipe.others["weights"]
    assert anchors is not None
    assert positives is not None
    if recipe.others["log_noise"] is not None:
        raise ValueError("log_noise: found log-probabilities, wanted None where there is no noise but the positives")
    count, logs = len(anchors), None
    if log_positive is not None:
        of_positive = check_numbers("log_noise_positive", log_positive, (count,), anchors)
        logs = (of_positive[:, None][:, :0], of_positive)

    def relation(rows: slice) -> Strip:
        itself = torch.arange(rows.start, rows.stop, device=anchors.device)
        return Strip(Places(itself[:, None]), nothing(anchors))

    return Contrast(
        anchors,
        positives,
        relation,
        "sampled",
        recipe,
        weights=check_weights(weights, count, anchors),
        log_noise=logs,
    )


def graded(
    first: Tensor, second: Tensor | Sequence[Tensor], scores: Tensor, *, weights: Tensor | None = None
) -> Contrast:
    """Pairs with a graded nearness, by a person's or a teacher's score; none is near or far as such.

    Args:
        first: ``(N, d)``.
        second: ``(N, d)`` with scores ``(N,)``, or ``(N, k, d)`` with scores ``(N, k)``: k candidates for each; or
            several of either, one after another.
        scores: larger is nearer, in any unit.
        weights: ``(N,)``, per row of `first`.

    Raises:
        ValueError: a shape, dtype or value is wrong; the message names the argument.
    """
    check_embeddings("first", first)
    several = isinstance(second, Sequence) and not isinstance(second, Tensor)
    parts = tuple(second) if several else (second,)
    if not parts:
        raise ValueError("second: found no tensor, wanted one at least")
    own = tuple(check_own("second", part, first) for part in parts)
    count = len(first), sum(part.shape[1] for part in own)
    grades = check_numbers("scores", scores, count if several else tuple(parts[0].shape[:-1]), first)
    return Contrast(
        first,
        first[:0],
        lambda rows: Strip(_no_places(rows, first), nothing(first)),
        "graded",
        Recipe(
            graded, {"first": first, "second": parts if several else second}, {"scores": scores, "weights": weights}
        ),
        own=own,
        weights=check_weights(weights, len(first), first),
        scores=grades.reshape(count),
    )


def _no_places(rows: slice, like: Tensor) -> Places:
    return Places(torch.empty(rows.stop - rows.start, 0, dtype=torch.long, device=like.device))


def _first_column(rows: slice, like: Tensor) -> Places:
    return Places(torch.zeros(rows.stop - rows.start, 1, dtype=torch.long, device=like.device))
