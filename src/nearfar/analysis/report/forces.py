"""How hard an objective pulls and pushes: the force on one near and on one far candidate, over its cosine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nearfar.analysis.report.drawing import INK, colours, svg
from nearfar.contrasts import Contrast, assigned, graded, sampled, triplets, views
from nearfar.objectives import MarginMSELoss, Objective


def at_cosine(cosine: Tensor) -> Tensor:
    """A vector of length 1 at that cosine to the first axis, ``(1, 2)``."""
    return torch.stack([cosine, (1 - cosine.square()).sqrt()])[None]


def contrast_of(objective: Objective, near: Tensor, far: Tensor) -> Contrast:
    """An anchor with a near and a far candidate at these cosines, in a form that the objective takes."""
    anchor = torch.tensor([[1.0, 0.0]], dtype=near.dtype)
    one, other = at_cosine(near), at_cosine(far)
    if "triplets" in objective.contrasts:
        return triplets(anchor, one, other)
    if "sampled" in objective.contrasts:
        log = torch.zeros(1, dtype=near.dtype)
        return sampled(anchor, one, other, log, log)
    if "assigned" in objective.contrasts:
        return assigned(anchor, torch.cat([one, other]), torch.tensor([0]))
    if "views" in objective.contrasts:
        return views(torch.cat([anchor, other]), torch.cat([one, other]))
    if isinstance(objective, MarginMSELoss):
        return graded(anchor, torch.stack([one, other], dim=1), torch.tensor([[1.0, 0.0]]))
    return graded(anchor.repeat(2, 1), torch.cat([one, other]), torch.tensor([1.0, 0.0]))


def forces(objective: Objective, side: str) -> Iterator[tuple[float, float]]:
    """Cosine of one candidate, and what drives it: minus the slope of the loss; the other one stays at 0.5."""
    for cosine in torch.linspace(-0.98, 0.98, 99, dtype=torch.float64):
        moved = cosine.clone().requires_grad_()
        still = torch.tensor(0.5, dtype=torch.float64)
        loss = objective(contrast_of(objective, *((moved, still) if side == "near" else (still, moved))))
        (slope,) = torch.autograd.grad(loss, moved, materialize_grads=True)
        yield cosine.item(), -slope.item()


def force_chart(name: str, objective: Objective) -> str:
    """The forces of an objective on a near and on a far candidate, side by side, as SVG.

    Args:
        name: of the line.
        objective: whose forces they are.
    """
    rows = [
        {"x": x, "y": y, "line": name, "candidate": f"on the {side} candidate"}
        for side in ("near", "far")
        for x, y in forces(objective, side)
    ]
    encoding = {
        "x": {"field": "x", "type": "quantitative", "title": "cosine to the anchor"},
        "y": {"field": "y", "type": "quantitative", "title": "force along the cosine"},
        "color": colours([name]),
    }
    header = {"labelColor": INK, "labelFontSize": 13}
    return svg(
        {
            "data": {"values": rows},
            "facet": {"column": {"field": "candidate", "sort": "descending", "title": None, "header": header}},
            "resolve": {"scale": {"y": "independent"}},
            "spec": {"width": 250, "height": 200, "mark": {"type": "line"}, "encoding": encoding},
        }
    )
