"""Which views and which negatives help: one static encoder, one budget, one change at a time, several seeds.

    python benchmarks/views.py views SENTENCES DEV TEST [--rows 15000] [--seeds 3]
    python benchmarks/views.py negatives TRIPLES DEV TEST [--seeds 3] [--only mined --only BM25]

Writes a Markdown table: Spearman on both sets, and the difference on TEST to the first line with its 95 % interval, a
bootstrap over the pairs of TEST of the mean over seeds. `helps` and `harms` where the interval lies on one side of 0.
Nothing is chosen on TEST.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer

import nearfar as nf
from nearfar.training.ready import make_model

Options = Mapping[str, Any]
Cosines = NDArray[np.float64]  # (seeds, pairs)

VIEWS = (
    "dropout crop span delete swap repeat insert synonym mask typo inverse_cloze adjacent"
    " cutoff:kind=tokens cutoff:kind=features cutoff:kind=span shuffle gaussian mixup adversarial"
).split()
COMMON: Mapping[str, Options] = {
    "views": {"temperature": 0.1, "learning_rate": 1e-3, "batch_size": 512, "epochs": 1},
    "negatives": {"temperature": 0.1, "batch_size": 512, "epochs": 4},
}

WINDOW = 30
"""Nearest among which mined negatives are drawn, as while training."""


def of_views(wordnet: bool, model: str) -> dict[str, Options]:
    """Each view alone; synonyms come from WordNet, or from neighbours in a model."""
    source = "" if wordnet else f":model={model}"
    return {name: {"view": [name + (source if name in ("synonym", "insert") else "")]} for name in VIEWS}


def of_negatives(guide: str, rows: int) -> dict[str, Options]:
    """Each way to have negatives; the guide is the model of another seed that was trained with those of the batch."""
    return {
        "in the batch": {},
        "no text twice in a batch": {"batches": "no-duplicates"},
        "near texts in a batch": {"batches": "cluster"},
        "mined anew each epoch": {"mine_every": max(rows // COMMON["negatives"]["batch_size"], 1)},
        "mined once by the start": {"mined": "exact"},
        "mined once by BM25": {"mined": "bm25"},
        "mixed (MoCHi), 4": {"mixed": 4},
        "queue of 4,096 (MoCo)": {"queue": 4096},
        "guide": {"guide": guide, "guide_margin": 0.0},
        "given (contradictions)": {"given": True},
    }


def cosines(model: SentenceTransformer, table: nf.Table) -> Cosines:
    """Of each pair of a scored table."""
    first, second = (
        model.encode(table.column(role), normalize_embeddings=True, show_progress_bar=False)
        for role in ("sentence1", "sentence2")
    )
    return np.einsum("nd,nd->n", first, second).astype(np.float64)


def trained(table: nf.Table, start: SentenceTransformer, seed: int, options: Options) -> SentenceTransformer:
    """The last model of a run: choosing the best would hide a view that harms."""
    chosen = {name: value for name, value in options.items() if name not in ("given", "mined")}
    if table.negatives and not options.get("given"):
        table = nf.Table.from_columns({role: table.column(role) for role in ("anchor", "positive")}, table.source)
    if method := options.get("mined"):
        limits = nf.Limits(relative_margin=0.05 if method == "exact" else None)  # words know little of false negatives
        rules = nf.Rules(count=1, window=WINDOW, draw="random", limits=limits, seed=seed)
        table = nf.mine_negatives(table, start, method=method, rules=rules).table
    settings = nf.Settings(**{**chosen, "seed": seed, "held_out": 0.0})  # type: ignore[arg-type]
    return nf.train(table, model=copy.deepcopy(start), settings=settings).model


def interval(first: Cosines, other: Cosines, scores: Cosines, resamples: int = 1000) -> tuple[float, float]:
    """95 % of the mean difference over seeds, over resampled pairs."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        rows = generator.integers(0, len(scores), len(scores))
        gains = [
            spearmanr(b[rows], scores[rows])[0] - spearmanr(a[rows], scores[rows])[0]
            for a, b in zip(first, other, strict=True)
        ]
        found.append(np.mean(gains))
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def show(found: dict[str, dict[str, Cosines]], scores: dict[str, Cosines]) -> None:
    """The table."""
    base = next(iter(found.values()))["test"]
    print("| | dev | test | difference | 95 % | |\n| --- | --: | --: | --: | --- | --- |")
    for name, by_set in found.items():
        values = {key: np.mean([spearmanr(row, scores[key])[0] for row in rows]) for key, rows in by_set.items()}
        line = f"| {name} | {values['dev']:.3f} | {values['test']:.3f} |"
        if by_set["test"] is base:
            print(f"{line} | | |")
            continue
        low, high = interval(base, by_set["test"], scores["test"])
        verdict = "helps" if low > 0 else "harms" if high < 0 else "nothing to tell"
        gain = values["test"] - np.mean([spearmanr(row, scores["test"])[0] for row in base])
        print(f"{line} {gain:+.3f} | {low:+.3f} to {high:+.3f} | {verdict} |", flush=True)


@contextmanager
def saved(model: SentenceTransformer) -> Iterator[str]:
    """The folder of a model, for a while."""
    folder = tempfile.mkdtemp()
    model.save(folder)
    yield folder
    shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["views", "negatives"])
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("test")
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", action="append", help="Lines whose name holds this, besides the first; repeatable.")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    given = parser.parse_args()
    whole = nf.read_table(given.data)
    sets = {name: nf.read_table(path) for name, path in (("dev", given.dev), ("test", given.test))}
    scores = {name: np.asarray(table.column("score")) for name, table in sets.items()}
    found: dict[str, dict[str, list[Cosines]]] = {}
    for seed in track(range(given.seeds), "seeds"):
        rows = np.random.default_rng(seed).permutation(len(whole))[: given.rows]
        table = whole.select(np.sort(rows))
        start = make_model([table], nf.Settings(seed=seed))
        common = COMMON[given.what]
        helper = start if given.what == "views" else trained(table, start, seed + 100, common)
        with saved(helper) as folder:
            english = given.wordnet.exists() and ".en." in Path(given.data).name
            cases: dict[str, Options | None] = (
                {"untrained": None, **of_views(english, folder)}
                if given.what == "views"
                else {**of_negatives(folder, len(table)), "untrained": None}
            )
            for number, (name, options) in enumerate(cases.items()):
                if number and given.only and not any(word in name for word in given.only):
                    continue
                model = start if options is None else trained(table, start, seed, {**common, **options})
                for key, scored in sets.items():
                    found.setdefault(name, {}).setdefault(key, []).append(cosines(model, scored))
    show({name: {key: np.stack(rows) for key, rows in by.items()} for name, by in found.items()}, scores)


if __name__ == "__main__":
    main()
