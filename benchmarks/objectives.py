"""Time and memory of the objectives: against the three matrix products, dense PyTorch, and other libraries.

    python benchmarks/objectives.py [--rows 8192] [--width 256 768] [--rounds 5] [--memory 16384 65536]

Every figure is a ratio of medians of interleaved runs in this process, forward and backward; each memory figure comes
from a fresh process. pytorch-metric-learning is compared where it is installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

import nearfar as nf

Run = Callable[[], object]
console = Console(width=120)


def interleaved(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each, taken in turns, the first turn left out."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: median(found) for name, found in times.items()}


def leaf(rows: int, width: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, width, generator=draw), dim=1).requires_grad_()


def step(loss: Callable[[], Tensor], leaves: list[Tensor]) -> Run:
    return lambda: torch.autograd.grad(loss(), leaves, allow_unused=True)


def ours(rows: int, width: int) -> dict[str, tuple[Run, float]]:
    """Each objective's step, and the ratio to the three products that it should stay within."""
    a, b, half = leaf(rows, width, 0), leaf(rows, width, 1), rows // 2
    first, second = leaf(half, width, 2), leaf(half, width, 3)
    labels = torch.arange(rows) // 8

    def large() -> Tensor:
        with nf.execution(max_bytes=5 * rows * rows):
            return nf.InfoNCELoss(symmetric=True)(nf.pairs(a, b))

    losses: dict[str, tuple[Callable[[], Tensor], list[Tensor], float]] = {
        "infonce": (lambda: nf.InfoNCELoss()(nf.pairs(a, b)), [a, b], 1.2),
        "npair": (lambda: nf.NPairLoss()(nf.pairs(a, b)), [a, b], 1.2),
        "supcon, 8 a class": (lambda: nf.SupConLoss()(nf.labelled(a, labels)), [a], 1.2),
        "supcon, 10 classes": (lambda: nf.SupConLoss()(nf.labelled(a, labels % 10)), [a], 1.2),
        "softnn, 8 a class": (lambda: nf.SoftNearestNeighborsLoss()(nf.labelled(a, labels)), [a], 1.2),
        "sigmoid": (lambda: nf.SigmoidLoss()(nf.pairs(a, b)), [a, b], 1.2),
        "contrastive": (lambda: nf.ContrastiveLoss()(nf.pairs(a, b)), [a, b], 1.2),
        "neg, shared noise": (lambda: nf.NEGLoss()(nf.sampled(a, a.detach(), b)), [a, b], 1.2),
        "ntxent": (lambda: nf.NTXentLoss()(nf.views(first, second)), [first, second], 0.9),
        "infonce, symmetric": (lambda: nf.InfoNCELoss(symmetric=True)(nf.pairs(a, b)), [a, b], 1.8),
        "infonce, symmetric, kept": (large, [a, b], 1.2),
        "lifted, 8 a class": (lambda: nf.LiftedStructuredLoss()(nf.labelled(a, labels)), [a], 1.9),
        "triplet, all, 8 a class": (lambda: nf.TripletLoss()(nf.labelled(a, labels)), [a], 2.5),
    }
    return {name: (step(loss, leaves), bound) for name, (loss, leaves, bound) in losses.items()}


def against_products(rows: int, width: int, rounds: int) -> None:
    """Ratios to scores, gradient of anchors and gradient of candidates as bare matrix products."""
    a, b = leaf(rows, width, 0).detach(), leaf(rows, width, 1).detach()

    def products() -> None:
        scores = a @ b.T
        scores @ b
        scores.T @ a

    subjects = ours(rows, width)
    runs: dict[str, Run] = {"products": products} | {name: run for name, (run, _) in subjects.items()}
    times = interleaved(runs, rounds)
    speed = 6 * rows * rows * width / times["products"] / 1e9
    table = Table(title=f"time over three matrix products, N = M = {rows:,}, d = {width}, {speed:.0f} GFLOP/s")
    for heading in ("objective", "ratio", "wanted"):
        table.add_column(heading, justify="left" if heading == "objective" else "right")
    for name, (_, bound) in subjects.items():
        table.add_row(name, f"{times[name] / times['products']:.2f}", f"{bound:.1f}")
    console.print(table)


def dense(rows: int, width: int) -> dict[str, tuple[Run, Run]]:
    """The same loss by us and as a plain dense expression under autograd."""
    a, b, labels = leaf(rows, width, 0), leaf(rows, width, 1), torch.arange(rows) // 8
    itself, near = torch.eye(rows, dtype=torch.bool), labels[:, None] == labels
    own = torch.arange(rows)

    def cosine(x: Tensor, y: Tensor) -> Tensor:
        return normalize(x, dim=1) @ normalize(y, dim=1).T

    def supcon() -> Tensor:
        scores = (cosine(a, a) / 0.1).masked_fill(itself, -torch.inf)
        positive = near & ~itself
        each = (scores.logsumexp(1, keepdim=True) - scores).masked_fill(~positive, 0)
        return (each.sum(1) / positive.sum(1)).mean()

    def neighbours() -> Tensor:
        scores = (-torch.cdist(a, a).square()).masked_fill(itself, -torch.inf)
        return (scores.logsumexp(1) - scores.masked_fill(~near, -torch.inf).logsumexp(1)).mean()

    def contrastive() -> Tensor:
        distance = torch.cdist(a, b)
        return torch.where(itself, distance.square(), (1 - distance).clamp(min=0).square()).mean() / 2

    def sigmoid() -> Tensor:
        scores = 10 * cosine(a, b) - 10
        return torch.where(itself, softplus(-scores), softplus(scores)).sum(1).mean()

    plain: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "infonce": (lambda: nf.InfoNCELoss()(nf.pairs(a, b)), lambda: cross_entropy(cosine(a, b) / 0.05, own)),
        "npair": (lambda: nf.NPairLoss()(nf.pairs(a, b)), lambda: cross_entropy(a @ b.T, own)),
        "supcon": (lambda: nf.SupConLoss()(nf.labelled(a, labels)), supcon),
        "softnn": (lambda: nf.SoftNearestNeighborsLoss()(nf.labelled(a, labels)), neighbours),
        "contrastive": (lambda: nf.ContrastiveLoss()(nf.pairs(a, b)), contrastive),
        "sigmoid": (lambda: nf.SigmoidLoss(learnable=False)(nf.pairs(a, b)), sigmoid),
    }
    return {name: (step(one, [a, b]), step(other, [a, b])) for name, (one, other) in plain.items()}


def metric_learning(rows: int, width: int) -> dict[str, tuple[Run, Run]]:
    """The objectives shared with pytorch-metric-learning; its normalisation and reductions are its own."""
    from pytorch_metric_learning import losses

    a, labels = leaf(rows, width, 0), torch.arange(rows) // 8
    shared = {
        "contrastive": (nf.ContrastiveLoss(), losses.ContrastiveLoss()),
        "triplet": (nf.TripletLoss(distance="euclidean"), losses.TripletMarginLoss()),
        "supcon": (nf.SupConLoss(), losses.SupConLoss()),
        "lifted": (nf.LiftedStructuredLoss(), losses.LiftedStructureLoss()),
        "circle": (nf.CircleLoss(), losses.CircleLoss()),
        "multisimilarity": (nf.MultiSimilarityLoss(epsilon=None), losses.MultiSimilarityLoss()),
    }
    return {
        name: (
            step(lambda our=our: our(nf.labelled(a, labels)), [a]),  # type: ignore[misc]
            step(lambda their=their: their(a, labels), [a]),  # type: ignore[misc]
        )
        for name, (our, their) in shared.items()
    }


def against_peers(title: str, pairs: dict[int, dict[str, tuple[Run, Run]]], rounds: int) -> None:
    """How many times as long the other takes, for each number of rows."""
    table = Table(title=f"time of {title} over ours (above 1: we are faster)")
    table.add_column("objective")
    found: dict[str, list[str]] = {}
    for rows, subjects in pairs.items():
        table.add_column(f"N = {rows:,}", justify="right")
        for name, (one, other) in subjects.items():
            times = interleaved({"ours": one, "other": other}, rounds)
            found.setdefault(name, []).append(f"{times['other'] / times['ours']:.2f}")
    for name, ratios in found.items():
        table.add_row(name, *ratios)
    console.print(table)


MEMORY = """
import torch, nearfar as nf
rows, width = {rows}, 256
a, b = (torch.randn(rows, width, requires_grad=True) for _ in range(2))
torch.autograd.grad(nf.InfoNCELoss()(nf.pairs(a[:64], b[:64])), [a, b])
open("/proc/self/clear_refs", "w").write("5")
read = lambda key: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key)) / 1024
before = read("VmRSS")
import time; start = time.perf_counter()
nf.InfoNCELoss()(nf.pairs(a, b)).backward()
print(round(read("VmHWM") - before - 2 * rows * width * 4 / 2**20), round(time.perf_counter() - start, 1))
"""


def memory(rows: int) -> None:
    """Peak of a fresh process beyond inputs and gradients (Linux)."""
    done = subprocess.run([sys.executable, "-c", MEMORY.format(rows=rows)], capture_output=True, text=True, check=True)
    mebibytes, seconds = done.stdout.split()
    console.print(f"InfoNCE, N = M = {rows:,}, d = 256: {mebibytes} MiB beyond inputs and gradients, {seconds} s")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8192)
    parser.add_argument("--width", type=int, nargs="+", default=[256, 768])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=int, nargs="*", default=[16_384])
    options = parser.parse_args()
    console.print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for width in options.width:
        against_products(options.rows, width, options.rounds)
    against_peers("dense PyTorch", {n: dense(n, 256) for n in (512, 1024, 2048, 4096)}, options.rounds)
    if find_spec("pytorch_metric_learning"):
        sizes = (256, 512)
        against_peers("pytorch-metric-learning", {n: metric_learning(n, 256) for n in sizes}, options.rounds)
    else:
        console.print("pytorch-metric-learning is not installed: pip install pytorch-metric-learning")
    for rows in options.memory:
        memory(rows)


if __name__ == "__main__":
    main()
