"""Who is near and who is far, as lists: design.md section 3 word for word, one anchor after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

Row = Sequence[complex]


@dataclass(frozen=True)
class Plain:
    """Anchors and candidates, with the candidates near to and far from each anchor listed by number.

    Graded candidates are in neither list but in `own`, with their `scores`.
    """

    anchors: Sequence[Row]
    candidates: Sequence[Row]
    near: list[list[int]]
    far: list[list[int]]
    weights: Sequence[float]
    log_noise: Sequence[float] | None = None
    own: list[list[int]] | None = None
    scores: list[list[float]] | None = None
    labels: Sequence[int] | None = None


def pairs(
    anchors: np.ndarray,
    positives: np.ndarray,
    negatives: np.ndarray | None = None,
    groups: Sequence[int] | None = None,
    guide: Sequence[np.ndarray] | None = None,
    guide_margin: float = 0.0,
    queue: np.ndarray | None = None,
    weights: Sequence[float] | None = None,
    negative_groups: Sequence[int] | None = None,
    texts: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Plain:
    """Row i's positive near; others far unless of anchor i's group, which negatives may have too, or its text."""
    n = len(positives)
    rows = _listed(positives, negatives, queue)
    near = [[i] for i in range(n)]
    known = [*(groups or ()), *(negative_groups or ())]
    far = [[j for j in range(len(rows)) if j != i and not (j < len(known) and known[j] == known[i])] for i in range(n)]
    if texts is not None:
        far = [[j for j in row if not (j < n and texts[1][j] == texts[0][i])] for i, row in enumerate(far)]
    if guide is not None:
        far = _guided(near, far, guide[0], np.concatenate([_flat(part) for part in guide[1:]]), guide_margin)
    return Plain(_listed(anchors), rows, near, far, weights or [1.0] * n)


def views(
    first: np.ndarray,
    second: np.ndarray,
    groups: Sequence[int] | None = None,
    guide: Sequence[np.ndarray] | None = None,
    guide_margin: float = 0.0,
    queue: np.ndarray | None = None,
    weights: Sequence[float] | None = None,
    texts: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Plain:
    """2N items; the other view near; itself in neither list; an item of its group or text in neither; the queue far."""
    n = len(first)
    items = _listed(first, second)
    near, far = [], []
    for i in range(2 * n):
        other = i + n if i < n else i - n
        near.append([other])
        same = [j for j in range(2 * n) if groups is not None and groups[j % n] == groups[i % n]]
        if texts is not None:
            each = [*texts[0], *texts[1]]
            same += [j for j in range(2 * n) if each[j] == each[i]]
        far.append([j for j in range(2 * n) if j not in (i, other, *same)])
    candidates = items + (_listed(queue) if queue is not None else [])
    for row in far:
        row += range(2 * n, len(candidates))
    if guide is not None:
        both = np.concatenate(guide)
        far = _guided(near, far, both, both, guide_margin)
    return Plain(items, candidates, near, far, [*weights, *weights] if weights else [1.0] * 2 * n)


def labelled(
    embeddings: np.ndarray,
    labels: Sequence[int],
    guide: np.ndarray | None = None,
    guide_margin: float = 0.0,
    queue: np.ndarray | None = None,
    weights: Sequence[float] | None = None,
) -> Plain:
    """Same label near, another label and the queue far, itself in neither."""
    items = _listed(embeddings)
    n = len(items)
    candidates = items + (_listed(queue) if queue is not None else [])
    near = [[j for j in range(n) if j != i and labels[j] == labels[i]] for i in range(n)]
    far = [[j for j in range(len(candidates)) if j >= n or labels[j] != labels[i]] for i in range(n)]
    if guide is not None:
        far = _guided(near, far, guide, guide, guide_margin)
    return Plain(items, candidates, near, far, weights or [1.0] * n, labels=labels)


def assigned(
    embeddings: np.ndarray, centres: np.ndarray, assignment: Sequence[int], weights: Sequence[float] | None = None
) -> Plain:
    """The own centre near, the others far."""
    near = [[k] for k in assignment]
    far = [[k for k in range(len(centres)) if k != own] for own in assignment]
    return Plain(_listed(embeddings), _listed(centres), near, far, weights or [1.0] * len(assignment))


def triplets(
    anchors: np.ndarray, positives: np.ndarray, negatives: np.ndarray, weights: Sequence[float] | None = None
) -> Plain:
    """Its own positive near, its own negatives far, nothing else seen."""
    return _own(anchors, [[[p], list(_flat(n))] for p, n in zip(positives, negatives, strict=True)], weights)


def judged(
    first: np.ndarray, second: np.ndarray, near: Sequence[bool], weights: Sequence[float] | None = None
) -> Plain:
    """Its own candidate alone, near or far by the verdict."""
    return _own(first, [[[c], []] if yes else [[], [c]] for c, yes in zip(second, near, strict=True)], weights)


def sampled(
    anchors: np.ndarray,
    positives: np.ndarray,
    noise: np.ndarray | None = None,
    log_noise_positive: Sequence[float] | None = None,
    log_noise: Sequence[float] | Sequence[Sequence[float]] | None = None,
    weights: Sequence[float] | None = None,
) -> Plain:
    """Its own positive near, its own or everybody's noise far; log-probabilities of the noise for each candidate.

    Without noise the positives of the other rows are it.
    """
    n = len(anchors)
    if noise is None:
        return replace(pairs(anchors, positives, weights=weights), log_noise=log_noise_positive)
    rows = noise if noise.ndim == 3 else [noise] * n
    plain = _own(anchors, [[[p], list(k)] for p, k in zip(positives, rows, strict=True)], weights)
    if log_noise is None:
        return plain
    of_noise = log_noise if noise.ndim == 3 else [log_noise] * n
    logs = [log for p, row in zip(log_noise_positive, of_noise, strict=True) for log in (p, *row)]
    return replace(plain, log_noise=logs)


def graded(
    first: np.ndarray,
    second: np.ndarray,
    scores: Sequence[float] | Sequence[Sequence[float]],
    weights: Sequence[float] | None = None,
) -> Plain:
    """Its own candidate, or k of them, with a score for each; neither near nor far."""
    n = len(first)
    rows = _flat(second)
    k = len(rows) // n
    own = [list(range(i * k, (i + 1) * k)) for i in range(n)]
    listed = [list(np.atleast_1d(row)) for row in scores]
    nobody: list[list[int]] = [[] for _ in range(n)]
    return Plain(_listed(first), _listed(second), nobody, nobody, weights or [1.0] * n, own=own, scores=listed)


def _own(anchors: np.ndarray, rows: list[list[list[np.ndarray]]], weights: Sequence[float] | None) -> Plain:
    """Each anchor's near and far candidates, which no other anchor sees."""
    candidates: list[Row] = []
    near, far = [], []
    for near_ones, far_ones in rows:
        start = len(candidates)
        candidates += [list(c) for c in (*near_ones, *far_ones)]
        near.append(list(range(start, start + len(near_ones))))
        far.append(list(range(start + len(near_ones), len(candidates))))
    return Plain(_listed(anchors), candidates, near, far, weights or [1.0] * len(near))


def _guided(
    near: list[list[int]], far: list[list[int]], anchors: np.ndarray, candidates: np.ndarray, margin: float
) -> list[list[int]]:
    """Far candidates that a guide finds further than the nearest near one, less the margin; the rest is dropped."""

    def cosine(i: int, j: int) -> float:
        return float(anchors[i] @ candidates[j] / np.linalg.norm(anchors[i]) / np.linalg.norm(candidates[j]))

    kept = []
    for i, (near_ones, far_ones) in enumerate(zip(near, far, strict=True)):
        least = max((cosine(i, p) for p in near_ones), default=np.inf) - margin
        kept.append([j for j in far_ones if j >= len(candidates) or cosine(i, j) < least])
    return kept


def _flat(part: np.ndarray) -> np.ndarray:
    return np.asarray(part).reshape(-1, np.shape(part)[-1])


def _listed(*parts: np.ndarray | None) -> list[Row]:
    return [list(row) for part in parts if part is not None for row in _flat(part)]
