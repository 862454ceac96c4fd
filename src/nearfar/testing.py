"""Laws that every objective obeys, for putting one's own through them.

    nearfar.testing.check_objective(lambda **options: MyLoss(margin=0.3, **options))

Each law is a function of its own; a broken one raises an AssertionError that names the law, the contrast and the
figures. `mutants` breaks an objective on purpose: laws that let a mutant pass would prove nothing.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nearfar.contrasts import Contrast, Strip, graded, judged, labelled, pairs, sampled, triplets, views
from nearfar.execution import execution
from nearfar.execution.cached import cached
from nearfar.objectives import Objective

Make = Callable[..., Objective]
Build = Callable[[list[Tensor], Tensor], Contrast]

ROWS, WIDTH = 7, 4
BUILDS: dict[str, Build] = {
    "pairs": lambda x, ids: pairs(x[0], x[1], groups=ids),
    "views": lambda x, ids: views(x[0], x[1], groups=ids),
    "labelled": lambda x, ids: labelled(x[0], ids),
    "triplets": lambda x, ids: triplets(x[0], x[1], x[2]),
    "judged": lambda x, ids: judged(x[0], x[1], ids % 2 == 0),
    "sampled": lambda x, ids: sampled(x[0], x[1], x[2], -1.0 - ids, -2.0 - ids),
    "graded": lambda x, ids: graded(x[0], torch.stack(x[1:], dim=1), torch.stack([ids, -ids], dim=1)),
}
"""Contrasts that the laws are tried on, where the objective takes them."""


AGREEING: dict[str, Callable[[Tensor, Tensor], Contrast]] = {
    "views": views,
    "labelled": lambda x, y: labelled(torch.cat([x, y]), torch.arange(4).repeat(2)),
    "sampled": lambda x, y: sampled(x, y, x.flip(0)[:, None], x.new_full((4,), -2.0), x.new_full((4, 1), -2.0)),
    "graded": lambda x, y: graded(x, torch.stack([y, x.flip(0)], dim=1), torch.tensor([[1.0, 0.0]] * 4)),
}
"""Contrasts whose near ones are rows of equal number, or those that are graded 1."""


EVEN: dict[str, Build] = {
    "pairs": lambda x, w: pairs(x[0], x[1], weights=w),
    "views": lambda x, w: views(x[0], x[1], weights=w),
    "labelled": lambda x, w: labelled(x[0][:6], torch.arange(6) // 2, weights=w[:6]),
}
"""Contrasts whose rows see equally much, with weights."""

ALONE: dict[str, Build] = {
    "triplets": lambda x, w: triplets(x[0], x[1], x[2], weights=w),
    "judged": lambda x, w: judged(x[0], x[1], x[2][:, 0] > 0, weights=w),
    "sampled": lambda x, w: sampled(x[0], x[1], x[2][:, None], -1.0 - x[2][:, 0], -2.0 + x[2][:, :1], weights=w),
    "graded": lambda x, w: graded(x[0], torch.stack([x[1], x[2]], dim=1), x[2][:, :2], weights=w),
}
"""Contrasts whose rows do not see each other, with weights."""


def check_objective(
    make: Make, *, monotone: bool = True, differentiable: bool = True, isotropic: bool = True, linear: bool = True
) -> None:
    """Put an objective through all laws but that of ranks (`check_ranks`).

    Args:
        make: builds it; takes the objective's keyword arguments, among them ``reduction``.
        monotone: whether a nearer near candidate never raises the loss and a nearer far one never lowers it.
        differentiable: whether its gradient is that of its value; not where it holds weights in it fixed.
        isotropic: whether no direction of the space is special to it.
        linear: whether it is the weighted mean of its rows' terms, each row counting by its weight alone where all see
            equally much; not where it is, say, a logarithm of such a mean.

    Raises:
        AssertionError: a law is broken.
        ValueError: `make` builds nothing, or it takes none of the contrasts that the laws are tried on.
    """
    if not callable(make) or (hasattr(make, "contrasts") and not isinstance(make, type)):
        raise ValueError(f"make: found {make!r}, wanted what builds an objective: its class, or a function")
    kinds = [kind for kind in BUILDS if kind in make().contrasts]
    if not kinds:
        raise ValueError(f"contrasts: found {make().contrasts}, wanted some of {', '.join(BUILDS)}")
    for kind in kinds:
        strips_change_nothing(make(), kind)
        order_changes_nothing(make(), kind)
        if isotropic:
            rotation_changes_nothing(make(), kind)
        hard_numbers_stay_finite(make(), kind)
        memory_is_linear(make(), kind)
        a_cached_encoder_changes_nothing(make(), kind)
        if kind in AGREEING:
            agreement_is_rewarded(make(), kind)
        if differentiable:
            gradient_is_that_of_the_value(make(), kind)
        if kind in ALONE:
            a_weight_counts_rows(make(), kind)
        if kind in EVEN:
            an_ignored_candidate_changes_nothing(make(), kind)
        if kind in EVEN and linear:
            weights_make_a_weighted_mean(make(), kind)
    if monotone and "triplets" in kinds:
        near_pulls_and_far_pushes(make())
    if "pairs" in kinds:
        what_is_ignored_counts_nothing(make())


def strips_change_nothing(objective: Objective, kind: str) -> None:
    """Loss and gradient are the same for any number of rows at a time."""
    whole = _loss_and_gradients(objective, kind)
    for rows in (1, 2, 5):
        with execution(strip_rows=rows):
            _same(f"strips of {rows} rows", kind, _loss_and_gradients(objective, kind), whole)


def order_changes_nothing(objective: Objective, kind: str) -> None:
    """The order of the batch does not matter."""
    embeddings, ids = _inputs()
    order = torch.arange(ROWS).flip(0)
    plain = objective(BUILDS[kind](embeddings, ids))
    moved = objective(BUILDS[kind]([part[order] for part in embeddings], ids[order]))
    _same("order", kind, [moved], [plain])


def rotation_changes_nothing(objective: Objective, kind: str) -> None:
    """No direction of the space is special. (Not so for AnglE and Matryoshka, which split it.)"""
    embeddings, ids = _inputs()
    turn = torch.linalg.qr(_draw(WIDTH, WIDTH, seed=9))[0]
    plain = objective(BUILDS[kind](embeddings, ids))
    _same("rotation", kind, [objective(BUILDS[kind]([part @ turn for part in embeddings], ids))], [plain])


def gradient_is_that_of_the_value(objective: Objective, kind: str) -> None:
    """Finite differences in float64 agree."""
    embeddings, ids = _inputs()
    leaves = [part.requires_grad_() for part in embeddings]
    right = torch.autograd.gradcheck(
        lambda *parts: objective(BUILDS[kind](list(parts), ids)), leaves, fast_mode=True, raise_exception=False
    )
    assert right, f"gradient: over {kind} it is not that of the value"


def hard_numbers_stay_finite(objective: Objective, kind: str) -> None:
    """Zero rows, equal rows, one class, one row, and scores of thousands give finite numbers."""
    embeddings, ids = _inputs(torch.float32)
    zeros = [part.clone() for part in embeddings]
    for part in zeros:
        part[::2] = 0
    cases = {
        "zero rows": (zeros, ids),
        "equal rows": ([part[:1].repeat(ROWS, 1) for part in embeddings], ids),
        "one group": (embeddings, torch.zeros_like(ids)),
        "all different": (embeddings, torch.arange(ROWS)),
        "one row": ([part[:1] for part in embeddings], ids[:1]),
        "scores of thousands": ([60 * part for part in embeddings], ids),
    }
    for name, (parts, labels) in cases.items():
        leaves = [part.clone().requires_grad_() for part in parts]
        loss = objective(BUILDS[kind](leaves, labels))
        found = [loss, *torch.autograd.grad(loss, leaves, materialize_grads=True)]
        assert all(part.isfinite().all() for part in found), f"finite: over {kind} with {name} something is not"


def memory_is_linear(objective: Objective, kind: str) -> None:
    """What the graph keeps for the backward pass grows with the batch and not with its square."""
    small, large = (_bytes_kept(objective, kind, rows) for rows in (64, 256))
    assert large <= 5 * small, f"memory: over {kind} the graph keeps {small} bytes for 64 rows, {large} for 256"


def a_cached_encoder_changes_nothing(objective: Objective, kind: str) -> None:
    """The gradient at an encoder's weights is the same where it encodes in chunks, twice, with dropout on."""
    _, ids = _inputs()
    texts = [_draw(ROWS, WIDTH, seed=seed) for seed in range(3)]
    encoder = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.3)).double()
    gradients = []
    for encode in (_in_chunks, lambda model, part: cached(model, part.split(2), parameters=model.parameters())):
        encoder.zero_grad()
        torch.manual_seed(5)
        objective(BUILDS[kind]([encode(encoder, part) for part in texts], ids)).backward()
        gradients.append([weight.grad.clone() for weight in encoder.parameters() if weight.grad is not None])
    _same("cached encoder", kind, gradients[1], gradients[0])


def near_pulls_and_far_pushes(objective: Objective) -> None:
    """Moving a candidate towards its anchor never raises the loss where it is near, never lowers it where it is far."""
    anchors, positives, negatives = (normalize(part, dim=1).requires_grad_() for part in _inputs()[0])
    loss = objective(triplets(anchors, positives, negatives))
    pulled, pushed = torch.autograd.grad(loss, [positives, negatives], materialize_grads=True)
    for name, sign, gradient, side in (("near", -1, pulled, positives), ("far", 1, pushed, negatives)):
        towards = anchors - side * (anchors * side).sum(1, keepdim=True)
        along = sign * (gradient * towards).sum(1)
        assert (along >= -1e-12).all(), f"direction: a {name} candidate is moved the wrong way"
        assert along.any(), f"direction: no {name} candidate is moved at all"


def agreement_is_rewarded(objective: Objective, kind: str) -> None:
    """Near ones at one place and far ones at right angles have a lower loss than near ones at right angles."""
    axes = torch.eye(4, dtype=torch.float64)
    good, bad = (AGREEING[kind](axes, axes[order]) for order in ([0, 1, 2, 3], [1, 2, 3, 0]))
    assert objective(good) < objective(bad), f"agreement: over {kind} a solved batch has no lower loss"


def what_is_ignored_counts_nothing(objective: Objective) -> None:
    """Rows of one group do not see each other: their loss is the mean of what each has alone."""
    (anchors, positives, _), _ = _inputs()
    together = objective(pairs(anchors[:2], positives[:2], groups=torch.zeros(2, dtype=torch.long)))
    alone = [objective(pairs(anchors[i : i + 1], positives[i : i + 1])) for i in range(2)]
    _same("ignored", "pairs", [together], [(alone[0] + alone[1]) / 2])


def an_ignored_candidate_changes_nothing(objective: Objective, kind: str) -> None:
    """A candidate that every row ignores changes neither loss nor gradient, and has none."""
    plain = _loss_and_gradients(objective, kind)
    embeddings, ids = _inputs()
    leaves = [part.requires_grad_() for part in embeddings]
    contrast, more = BUILDS[kind](leaves, ids), _draw(2, WIDTH, seed=8).requires_grad_()
    loss = objective(_with_ignored(contrast, more))
    gradients = torch.autograd.grad(loss, [*leaves, more], materialize_grads=True)
    _same("ignored candidates", kind, [loss.detach(), *gradients], [*plain, torch.zeros_like(more)])


def a_weight_counts_rows(objective: Objective, kind: str) -> None:
    """A row of weight 2 is that row twice, and one of weight 0 is not there."""
    embeddings, _ = _inputs()
    counts = torch.tensor([2, 1, 0, 1, 3, 0, 1])
    weighted = objective(ALONE[kind](embeddings, counts.double()))
    rows = [part.repeat_interleave(counts, 0) for part in embeddings]
    _same("weights", kind, [weighted], [objective(ALONE[kind](rows, torch.ones(len(rows[0]))))])


def weights_make_a_weighted_mean(objective: Objective, kind: str) -> None:
    """The loss is the mean of what it is for each row alone, by the rows' weights."""
    embeddings, _ = _inputs()
    count = 6 if kind == "labelled" else ROWS
    weights = _draw(ROWS, seed=7).square()
    one_by_one = torch.stack([objective(EVEN[kind](embeddings, row)) for row in torch.eye(ROWS)[:count].double()])
    assert one_by_one.max() > one_by_one.min(), f"weighted mean: over {kind} a row's weight changes nothing"
    mean = (one_by_one * weights[:count]).sum() / weights[:count].sum()
    _same("weighted mean", kind, [objective(EVEN[kind](embeddings, weights))], [mean])


def check_ranks(make: Make, kind: str = "pairs", sizes: tuple[int, ...] = (3, 1, 3)) -> None:
    """Loss and gradient on processes of their own, with so many rows each, are those of one process.

    Raises:
        AssertionError: they are not.
        ValueError: the contrast is none of `BUILDS`, or the sizes do not add up to `ROWS`.
    """
    if kind not in BUILDS:
        raise ValueError(f"kind: found {kind!r}, wanted one of {', '.join(BUILDS)}")
    if sum(sizes) != ROWS or min(sizes) < 1:
        raise ValueError(f"sizes: found {sizes}, wanted numbers from 1 up that add up to {ROWS}")
    whole = _loss_and_gradients(make(), kind)
    found = run_on_ranks(_Part(make, kind, sizes), len(sizes))
    for rank, (loss, *gradients) in enumerate(found):
        _same(f"rank {rank} of {len(sizes)}", kind, [loss], whole[:1])
        _same(f"rank {rank} of {len(sizes)}", kind, gradients, [part.split(sizes)[rank] for part in whole[1:]])


def run_on_ranks(function: Callable[[int], Any], count: int) -> list[Any]:
    """What `function` returns for each rank of a gloo group of processes; it and its results are pickled."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_on_rank, (function, count, folder), nprocs=count, start_method="spawn")  # type: ignore[attr-defined, no-untyped-call]
        return [pickle.loads(Path(folder, f"{rank}.pickle").read_bytes()) for rank in range(count)]


def mutants(objective: Objective) -> Iterator[tuple[str, Objective]]:
    """The objective broken on purpose, with the name of the fault: each breaks a law."""
    yield "flipped sign", _Mutant(objective, lambda contrast: contrast, lambda loss, contrast: -loss)  # type: ignore[misc]
    yield "dropped mask", _Mutant(objective, _without_ignored, lambda loss, contrast: loss)  # type: ignore[misc]
    yield "forgotten weights", _Mutant(objective, _without_weights, lambda loss, contrast: loss)  # type: ignore[misc]
    yield "forgotten row", _Mutant(objective, _without_first, lambda loss, contrast: loss)  # type: ignore[misc]
    yield "value without its gradient", _Mutant(objective, lambda contrast: contrast, _half_a_gradient)  # type: ignore[misc]


class _Mutant:
    by_direction = False

    def __init__(
        self, plain: Objective, contrast: Callable[[Contrast], Contrast], loss: Callable[[Tensor, Contrast], Tensor]
    ) -> None:
        self.plain, self.of_contrast, self.of_loss = plain, contrast, loss
        self.contrasts, self.reduction = plain.contrasts, plain.reduction
        self.equation, self.source = plain.equation, plain.source

    def __call__(self, contrast: Contrast, *, strip_rows: int | None = None) -> Tensor:
        return self.of_loss(self.plain(self.of_contrast(contrast), strip_rows=strip_rows), contrast)


def _without_ignored(contrast: Contrast) -> Contrast:
    def relation(rows: slice) -> Strip:
        strip = contrast.relation(rows)
        return Strip(strip.near, (strip.ignored[0][:0], strip.ignored[1][:0]))

    return replace(contrast, relation=relation)


def _with_ignored(contrast: Contrast, more: Tensor) -> Contrast:
    """With candidates at the end that no row sees; both sides are then no longer the same items."""

    def relation(rows: slice) -> Strip:
        strip = contrast.relation(rows)
        row = torch.arange(rows.stop - rows.start).repeat_interleave(len(more))
        column = contrast.columns + torch.arange(len(more)).repeat(rows.stop - rows.start)
        return Strip(strip.near, (torch.cat([strip.ignored[0], row]), torch.cat([strip.ignored[1], column])))

    return replace(contrast, candidates=torch.cat([contrast.candidates, more]), relation=relation, slots=None)


def _without_weights(contrast: Contrast) -> Contrast:
    return replace(contrast, weights=None)


def _without_first(contrast: Contrast) -> Contrast:
    weights = torch.ones(len(contrast), dtype=contrast.anchors.dtype)
    weights[0] = 0
    return replace(contrast, weights=weights)


def _half_a_gradient(loss: Tensor, contrast: Contrast) -> Tensor:
    return loss / 2 + loss.detach() / 2


class _Part:
    """A rank's part of the inputs, put through an objective; can be pickled."""

    def __init__(self, make: Make, kind: str, sizes: tuple[int, ...]) -> None:
        self.make, self.kind, self.sizes = make, kind, sizes

    def __call__(self, rank: int) -> list[Tensor]:
        embeddings, ids = _inputs()
        leaves = [part.split(self.sizes)[rank].clone().requires_grad_() for part in embeddings]
        with execution(group=torch.distributed.group.WORLD):
            loss = self.make()(BUILDS[self.kind](leaves, ids.split(self.sizes)[rank]))
        return [loss.detach(), *torch.autograd.grad(loss, leaves, materialize_grads=True)]


def _on_rank(rank: int, function: Callable[[int], Any], count: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    try:
        Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(function(rank)))
    finally:
        torch.distributed.destroy_process_group()


def _draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _inputs(dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """Three sides of a batch, and ids of which some occur twice."""
    return [_draw(ROWS, WIDTH, seed=seed).to(dtype) for seed in range(3)], torch.tensor([0, 1, 0, 2, 3, 1, 4])


def _in_chunks(model: nn.Module, part: Tensor) -> Tensor:
    return torch.cat([model(chunk) for chunk in part.split(2)])


def _loss_and_gradients(objective: Objective, kind: str) -> list[Tensor]:
    embeddings, ids = _inputs()
    leaves = [part.requires_grad_() for part in embeddings]
    loss = objective(BUILDS[kind](leaves, ids))
    return [loss.detach(), *torch.autograd.grad(loss, leaves, materialize_grads=True)]


def _bytes_kept(objective: Objective, kind: str, rows: int) -> int:
    """Bytes of the tensors that the graph of a loss keeps alive."""
    leaves = [_draw(rows, WIDTH, seed=seed).requires_grad_() for seed in range(3)]
    with execution(strip_rows=8):
        loss = objective(BUILDS[kind](leaves, torch.arange(rows) // 2))
    seen: dict[int, int] = {}
    nodes, done = [loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in done:
            continue
        done.add(node)
        nodes += [parent for parent, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_saved_") or name == "saved_tensors":
                value = getattr(node, name)
                for part in value if isinstance(value, tuple | list) else (value,):
                    if isinstance(part, Tensor):
                        seen[part.data_ptr()] = part.nbytes
    return sum(seen.values())


def _same(law: str, kind: str, found: list[Tensor], wanted: list[Tensor]) -> None:
    for one, other in zip(found, wanted, strict=True):
        gap = (one - other).abs().max().item() if one.numel() else 0.0
        assert gap <= 1e-9 * max(1.0, other.abs().max().item()), f"{law}: over {kind} off by {gap:.3g}"
