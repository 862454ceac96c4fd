"""What the space of a batch looks like, cheaply: a few milliseconds on a sample of its rows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfar.contrasts import Contrast, Strip
from nearfar.objectives import Objective
from nearfar.objectives.base import RowLoss

SAMPLE = 128
"""Anchors that are looked at."""

PULLED = 64
"""Anchors whose far candidates are looked at, all of them."""

KERNEL = 2.0
"""The t of uniformity."""

Figures = dict[str, float | None]


@torch.no_grad()
def space_of(contrast: Contrast, objective: Objective) -> Figures:
    """Figures of the first anchors of a batch, by cosine; None where one has no meaning.

    - ``alignment``: mean of |x - c|^2 over near candidates, 0 to 4 (Wang & Isola 2020, alpha 2).
    - ``uniformity``: log of the mean of exp(-2 |x - y|^2) over distinct pairs of anchors, 0 (one point) to about -4
      (the same, t 2).
    - ``mean_cosine``: of the same pairs (Ethayarajh 2019).
    - ``effective_rank``: exp of the entropy of the singular values, 1 to the smaller of rows and width (Roy & Vetterli
      2007; RankMe, Garrido et al. 2023).
    - ``rank_bound``: what it can be at most.
    - ``effective_negatives``: see there.

    Args:
        contrast: with at least two anchors.
        objective: whose pull counts.
    """
    rows = slice(0, min(SAMPLE, len(contrast)))
    anchors = normalize(contrast.anchors[rows].double(), dim=1)
    gram = anchors @ anchors.T
    above = torch.ones_like(gram, dtype=torch.bool).triu(1)
    cosines = gram[above]
    return {
        "alignment": _alignment(contrast, anchors, contrast.relation(rows)),
        "uniformity": (2 * KERNEL * (cosines - 1)).exp().mean().log().item(),
        "mean_cosine": cosines.mean().item(),
        "effective_rank": _effective_rank(gram),
        "rank_bound": float(min(anchors.shape)),
        "effective_negatives": effective_negatives(contrast, objective),
    }


def _alignment(contrast: Contrast, anchors: Tensor, strip: Strip) -> float | None:
    row, column = strip.near.listed()
    column = column - contrast.own_count  # where the trainer has own candidates, these are far
    every = max(1, len(row) // (4 * SAMPLE))  # a class can be most of the batch
    row, column = row[::every], column[::every]
    if not len(row) or bool((column < 0).any()):
        return None
    near = normalize(contrast.candidates[column].double(), dim=1)
    return (anchors[row] - near).square().sum(1).mean().item()


def _effective_rank(gram: Tensor) -> float:
    """Of the vectors whose products these are: singular values are the roots of the eigenvalues."""
    values = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    shares = values / values.sum()
    rank: float = torch.special.entr(shares).sum().exp().item()
    return rank


@torch.no_grad()
def effective_negatives(contrast: Contrast, objective: Objective) -> float | None:
    """How many far candidates an anchor's gradient comes from: (sum of w)^2 / sum of w^2, w = |d loss / d score|.

    Of a softmax it is 1 / sum of P^2 over the far candidates' shares P. A mean over anchors that anything far pulls at;
    None where there is none, where nearness is graded, or where the equation's rows do not stand alone.
    """
    objective = getattr(objective, "objective", objective)  # of a Matryoshka: over the whole space
    if not isinstance(objective, RowLoss) or not contrast.columns or contrast.scores is not None:
        return None
    rows = slice(0, min(PULLED, len(contrast)))
    strip, space = contrast.relation(rows), objective.space(contrast)
    slopes = space.tensors[0].new_empty(rows.stop, contrast.columns)
    space.make_scores([part.detach() for part in space.tensors]).fill(rows, slopes, strip.ignored)
    try:
        objective.slopes_(slopes, strip)
    except NotImplementedError:
        return None
    for entries in (strip.near.listed(), strip.ignored):
        slopes[entries] = 0
    pull = slopes.double().abs()
    pull /= pull.amax(1, keepdim=True).clamp(min=torch.finfo(pull.dtype).tiny)  # their squares may be too small
    total = pull.sum(1)
    some = total > 0
    if not bool(some.any()):
        return None
    return (total[some].square() / pull[some].square().sum(1)).mean().item()
