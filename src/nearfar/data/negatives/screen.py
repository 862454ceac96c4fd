"""Rough scores in int8, with a bound on how wrong they are.

Products of int8 take a quarter of the time of those in float32 where the processor has instructions for them. Before
the vectors are rounded they are turned by a random rotation, which leaves their products as they are and spreads what
stands in few coordinates over all of them: the error is then less than half as large.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

ROWS, RUN = 256, 120 * 1024
"""Queries and candidates of one product: 30 MiB of scores, which the allocator keeps at hand (up to 32)."""

GROUP = 16
"""Candidates of which only the best is looked at first."""

LARGEST, SHIFT = 127, 128
"""Of int8, and what makes it uint8, which the product wants of the queries."""

TRIAL = 8192
"""Candidates of the products by which `worth` decides: as many as it is about, so that a call's overhead does not."""

HALF = 0.51
"""Error of a score rounded to whole steps, and a little for scaling it in float32."""


@dataclass(frozen=True)
class Asked:
    """A few queries, rounded; see `of`.

    Attributes:
        values: ``(ROWS, d)`` uint8, rows of zeros after the last query.
        step: of the scores that leave the product, in units of the rows.
        steps: ``(r,)`` the cosine that a step is worth.
        wrong: ``(r,)`` most that rounding the query changes a cosine.
        lengths: ``(r,)`` of the rounded queries.
    """

    values: Tensor
    step: float
    steps: Tensor
    wrong: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, queries: Tensor) -> Asked:
        """Rotate and round up to `ROWS` queries of length 1 or 0."""
        queries = queries @ rotation(queries.shape[1])[0]
        units = queries.abs().amax(1) / LARGEST
        units = units.maximum(units.median()).clamp(min=1e-9)
        rounded = (queries / units[:, None]).round()
        back = rounded * units[:, None]
        values = torch.full((ROWS, queries.shape[1]), SHIFT, dtype=torch.uint8)
        values[: len(queries)] = rounded.add_(SHIFT).to(torch.uint8)
        step = 1.05 / (255 * units.min().item())  # a cosine of rounded vectors is below 1.05
        return cls(values, step, step * units, (queries - back).norm(dim=1), back.norm(dim=1))


@dataclass(frozen=True)
class Packed:
    """A run of candidates, rounded; see `of`.

    Attributes:
        start: place of the first one.
        weight: their values, as oneDNN wants them.
        units: ``(w,)`` of each candidate; w is their number, made up to a multiple of `GROUP`.
        wrong: ``(w,)`` most that rounding the candidate changes a cosine with a vector of length 1.
    """

    start: int
    weight: Tensor
    units: Tensor
    wrong: Tensor

    @classmethod
    def of(cls, start: int, candidates: Tensor) -> Packed:
        """Rotate and round up to `RUN` candidates of length 1 or 0."""
        turn, _ = rotation(candidates.shape[1])
        wide = -(-len(candidates) // GROUP) * GROUP
        units, wrong = torch.zeros(wide), torch.zeros(wide)
        values = torch.zeros((wide, candidates.shape[1]), dtype=torch.int8)
        for place in range(0, len(candidates), 4096):
            part = candidates[place : place + 4096] @ turn
            own = (part.abs().amax(1) / LARGEST).clamp_(min=1e-9)
            rounded = (part / own[:, None]).round_()
            rows = slice(place, place + len(part))
            units[rows], values[rows] = own, rounded.to(torch.int8)
            wrong[rows] = rounded.mul_(own[:, None]).sub_(part).norm(dim=1)
        return cls(start, torch.ops.onednn.qlinear_prepack(values, [ROWS, values.shape[1]]), units, wrong)

    def scores(self, asked: Asked) -> Tensor:
        """``(ROWS, w)`` uint8, in steps; 0 where negative."""
        return _product(asked.values, self.weight, self.units, asked.step, torch.uint8)


def _product(values: Tensor, weight: Tensor, units: Tensor, step: float, dtype: torch.dtype) -> Tensor:
    nothing = torch.zeros(len(units), dtype=torch.int64)
    product: Tensor = torch.ops.onednn.qlinear_pointwise(
        values, 1.0, SHIFT, weight, units, nothing, None, step, 0, dtype, "none", [], ""
    )
    return product


@cache
def rotation(width: int) -> tuple[Tensor, float]:
    """A fixed random rotation ``(width, width)`` and the most that it changes a cosine, by rounding."""
    generator = torch.Generator().manual_seed(0)
    exact = torch.linalg.qr(torch.randn((width, width), generator=generator, dtype=torch.float64)).Q
    turn = exact.float()
    skew = (turn.double() @ turn.double().T - torch.eye(width, dtype=torch.float64)).norm().item()
    return turn, skew + 4 * width * 2.0**-24  # two rotated vectors, and the sum of their products


@cache
def worth(width: int) -> bool:
    """Whether this machine's products of int8 are right (without VNNI they overflow) and faster than float32's."""
    generator = torch.Generator().manual_seed(0)
    extremes = torch.randint(0, 2, (TRIAL + ROWS, width), generator=generator) * 2 * LARGEST - LARGEST
    extremes[0] = extremes[-1] = LARGEST
    left, right = extremes[TRIAL:], extremes[:TRIAL]
    try:
        weight = torch.ops.onednn.qlinear_prepack(right.to(torch.int8), [ROWS, width])
        values, units = (left + SHIFT).to(torch.uint8), torch.ones(TRIAL)
        found = _product(values, weight, units, 1.0, torch.float32)
    except (AttributeError, RuntimeError):  # a build of torch without them
        return False
    plain = left.float(), right.float().T
    if not torch.equal(found, plain[0] @ plain[1]):
        return False
    return _seconds(lambda: _product(values, weight, units, 1e6, torch.uint8)) < _seconds(lambda: torch.mm(*plain))


def _seconds(run: Callable[[], Tensor], times: int = 5) -> float:
    """The shortest of several runs: the first sets things up, and others may meet other work."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)
