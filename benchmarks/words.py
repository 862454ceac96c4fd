"""Word vectors beside gensim's: speed, quality, memory, Korean, and what the three objectives learn.

    python benchmarks/words.py DATA [--part peer memory korean objectives] [--seeds 0 1 2] [--pictures FOLDER]

DATA holds `corpus/` and `word/`. A part prints a table in Markdown; gensim is measured in the same process, on the
same words, with the same settings: 100 numbers a vector, 5 noise words, windows of 5, 5 epochs, two threads.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

import nearfar as nf
from nearfar.analysis.report import histogram_chart, line_chart
from nearfar.data import Table, read_table
from nearfar.words import WordOutcome, WordVectors, train_words
from nearfar.words.corpus import END, Corpus, read_corpus
from nearfar.words.reading import open_text

ENGLISH = ("ws-353-all.en.tsv", "men-tr-3k.en.tsv", "simlex-999.en.tsv", "google_analogy.en.tsv")
KOREAN = ("ws353.ko.tsv", "analogy.ko.tsv")


def english(data: Path) -> list[Path]:
    """The English corpora."""
    return sorted((data / "corpus").glob("*.en.txt.gz"))


def tables(data: Path, names: tuple[str, ...]) -> list[Table]:
    """Tables of words."""
    return [read_table(data / "word" / name) for name in names]


def figures(vectors: WordVectors, measured_on: list[Table]) -> list[float]:
    """The main figure of each table, and the coverage of the last."""
    found = [vectors.measure(table, resamples=0) for table in measured_on]
    return [m.figures[m.main] for m in found] + [m.figures["coverage"] for m in found]


def row(name: str, values: list[list[float]], places: int = 3) -> str:
    """A row of means over seeds, each with its standard deviation where there are several."""
    cells = []
    for column in zip(*values, strict=True):
        spread = f" ± {stdev(column):.{places}f}" if len(column) > 1 else ""
        cells.append(f"{mean(column):.{places}f}{spread}")
    return f"| {name} | " + " | ".join(cells) + " |"


def sentences_of(corpus: Corpus) -> list[list[str]]:
    """The corpus as gensim takes it: lists of words, without those that are too rare."""
    ids = corpus.part(0, corpus.length)
    tokenizer = corpus.open_tokenizer()
    names = [tokenizer.id_to_token(number) for number in range(len(corpus.counts))]
    return [[names[number] for number in line[line != END]] for line in np.split(ids, np.flatnonzero(ids == END) + 1)]


def ours_of(data: Path, seed: int, epochs: int) -> tuple[WordVectors, float, float]:
    """Our vectors, words a second, and words a second of processor time."""
    spent: list[tuple[float, float]] = []
    outcome = train_words(
        english(data),
        settings=nf.Settings(seed=seed, threads=2, epochs=epochs),
        watch=lambda moment: spent.append((moment.progress, time.process_time())) if moment.runs else None,
    )
    words = outcome.words * epochs * (spent[-1][0] - spent[0][0])
    return outcome.vectors, outcome.words_per_second, words / (spent[-1][1] - spent[0][1])


def gensims(corpus: Corpus, sentences: list[list[str]], seed: int, epochs: int) -> tuple[WordVectors, float, float]:
    """The same of gensim's skip-gram with negative sampling."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=100, window=5, negative=5, sg=1, workers=2, min_count=1, sample=1e-3, epochs=epochs, seed=seed + 1
    )
    model.build_vocab(sentences)
    started, processor = time.monotonic(), time.process_time()
    model.train(sentences, total_examples=model.corpus_count, epochs=epochs)
    seconds, processor = time.monotonic() - started, time.process_time() - processor
    vectors = np.zeros((len(corpus.counts), 100), np.float32)
    tokenizer = corpus.open_tokenizer()
    for number in range(1, len(vectors)):
        vectors[number] = model.wv[tokenizer.id_to_token(number)]
    return WordVectors(tokenizer, vectors), corpus.read * epochs / seconds, corpus.read * epochs / processor


def peer(data: Path, seeds: list[int], epochs: int) -> None:
    """Speed and quality beside gensim."""
    measured_on = tables(data, ENGLISH)
    ours: list[list[float]] = []
    theirs: list[list[float]] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        corpus = read_corpus(open_text(english(data), place), place, least=5)
        sentences = sentences_of(corpus)
        for seed in seeds:
            for found, run in (
                (ours, lambda seed=seed: ours_of(data, seed, epochs)),
                (theirs, lambda seed=seed: gensims(corpus, sentences, seed, epochs)),
            ):
                vectors, wall, processor = run()
                found.append([wall / 1e6, processor / 1e6, *figures(vectors, measured_on)])
                print(f"<!-- seed {seed}: {[round(value, 3) for value in found[-1]]} -->", flush=True)
    print(f"{corpus.read:,} words, {len(corpus.counts) - 1:,} of them different, {epochs} epochs, seeds {seeds}\n")
    headings = ["million words/s", "a processor second", *ENGLISH, *(f"covered: {name}" for name in ENGLISH)]
    print("| | " + " | ".join(headings) + " |")
    print("| --- |" + " ---: |" * len(headings))
    print(row("nearfar", ours))
    print(row("gensim", theirs))
    for place, what in enumerate(("wall", "processor")):
        ratios = [round(a[place] / b[place], 2) for a, b in zip(ours, theirs, strict=True)]
        print(f"\n{what} speed, nearfar / gensim: {ratios}")


MEASURE = """
import runpy, sys
from pathlib import Path
try:
    runpy.run_module("nearfar", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def peak(folder: Path, width: int, *sources: Path) -> tuple[float, float]:
    """The most memory that `nearfar train` takes, start to end, and what its vectors are, in MiB."""
    out = folder / "out"
    line = ["train", *sources, "-o", out, "--overwrite", "--encoder", "words", "--width", width, "--epochs", 1]
    words = [sys.executable, "-c", MEASURE, *map(str, line)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    vectors = 2 * (out / "model.safetensors").stat().st_size / 2**20
    return int(done.stdout.split()[-1]) / 2**10, vectors


def made_up(path: Path, words: int) -> Path:
    """A text in which each of so many words comes five times."""
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(words), 5))
    path.write_text("\n".join(" ".join(f"w{number:x}" for number in row) for row in np.array_split(order, words // 4)))
    return path


def memory(data: Path) -> None:
    """The most that whole processes take, beyond one that trains 100 words of width 8, against their vectors."""
    print("| corpus | width | vectors, MiB | a run beyond the smallest, MiB | over |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copies = [folder / f"copy-{path.name}" for path in english(data)]
        for copy, path in zip(copies, english(data), strict=True):
            copy.symlink_to(path.resolve())
        few, many = made_up(folder / "few.txt", 100), made_up(folder / "many.txt", 400_000)
        peak(folder, 8, few)  # which may have to compile
        process = peak(folder, 8, few)[0]
        for title, sources, width in (
            ("English", english(data), 100),
            ("English, twice", [*english(data), *copies], 100),
            ("English", english(data), 800),
            ("400,000 words", [many], 100),
        ):
            most, vectors = peak(folder, width, *sources)
            over = (most - process) / vectors - 1
            print(f"| {title} | {width} | {vectors:.1f} | {most - process:.1f} | {over:+.0%} |", flush=True)
        print(f"\nthe smallest run: {process:.0f} MiB")


def korean(data: Path, seeds: list[int], epochs: int) -> None:
    """Korean words with and without n-grams of jamo."""
    measured_on = tables(data, KOREAN)
    print("| | million words/s | " + " | ".join([*KOREAN, *(f"covered: {name}" for name in KOREAN)]) + " |")
    print("| --- |" + " ---: |" * (1 + 2 * len(KOREAN)))
    for subwords in (False, True):
        found = []
        for seed in seeds:
            outcome = train_words(
                data / "corpus/sentences.ko.txt.gz",
                settings=nf.Settings(subwords=subwords, seed=seed, threads=2, epochs=epochs),
            )
            found.append([outcome.words_per_second / 1e6, *figures(outcome.vectors, measured_on)])
        print(row("n-grams" if subwords else "words alone", found), flush=True)


def scores_of(outcome: WordOutcome, contexts: np.ndarray) -> np.ndarray:
    """``(n, V - 1)``: the model's score of each word in the middle of a window of this one word."""
    vectors = outcome.vectors
    assert vectors.outputs is not None
    scores: np.ndarray = vectors.vectors[contexts] @ vectors.outputs[1:].T
    return scores + outcome.biases[1:]


def objectives(data: Path, epochs: int, pictures: Path | None) -> None:
    """The same pairs by three objectives: norms, partition functions, neighbours."""
    measured_on = tables(data, ENGLISH)
    with tempfile.TemporaryDirectory() as folder:
        counts = read_corpus(open_text(english(data), Path(folder)), Path(folder), least=5).counts
    noise = nf.NoiseDistribution(counts).log_probability(torch.arange(1, len(counts))).double().numpy()
    contexts = np.random.default_rng(0).choice(len(counts), 2_000, p=counts / counts.sum())
    frequency = np.log10(counts[1:] / counts.sum())
    bins = np.digitize(frequency, edges := np.arange(-6, -1.5, 0.5))
    lines: dict[str, list[tuple[float, float]]] = {}
    samples: dict[str, Any] = {}
    print(
        "| objective | "
        + " | ".join(ENGLISH)
        + " | log Σ exp(s): median, 5 % to 95 % | with noise | norm and frequency |"
    )
    print("| --- |" + " ---: |" * (len(ENGLISH) + 3))
    for name in ("nce", "neg", "infonce"):
        outcome = train_words(english(data), settings=nf.Settings(objective=name, threads=1, epochs=epochs))
        scores = scores_of(outcome, contexts).astype(np.float64)
        shift = {"nce": np.zeros(1), "neg": noise + np.log(5), "infonce": noise}[name]
        plain, shifted = (np.log(np.exp(part).sum(1)) for part in (scores, scores + shift))
        norms = np.linalg.norm(outcome.vectors.vectors[1:], axis=1)
        lines[name] = [
            (float(edge), float(norms[bins == place].mean()))
            for place, edge in enumerate(edges)
            if (bins == place).any()
        ]
        samples[name] = shifted
        cells = [f"{value:.3f}" for value in figures(outcome.vectors, measured_on)[: len(ENGLISH)]]
        cells += [
            "{1:.2f}, {0:.2f} to {2:.2f}".format(*np.quantile(part, [0.05, 0.5, 0.95])) for part in (plain, shifted)
        ]
        print(f"| `{name}` | {' | '.join(cells)} | {np.corrcoef(norms, frequency)[0, 1]:.2f} |", flush=True)
        for word in ("river", "money", "king"):
            print(f"<!-- {name} {word}: {', '.join(near for near, _ in outcome.vectors.nearest(word, count=6))} -->")
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, drawn in (
            ("norms", line_chart(lines, x="log10 of a word's share of the corpus", y="mean norm")),
            ("partition", histogram_chart(samples, x="log of the partition function")),
        ):  # on white, since the site may be dark
            (pictures / f"words-{name}.svg").write_text(drawn.replace("<svg ", '<svg style="background:#fff" ', 1))


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", nargs="+", default=["peer", "memory", "korean", "objectives"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pictures", type=Path, help="Folder for what `objectives` draws.")
    given = parser.parse_args()
    for part in given.part:
        if part == "peer":
            peer(given.data, given.seeds, given.epochs)
        elif part == "memory":
            memory(given.data)
        elif part == "korean":
            korean(given.data, given.seeds, given.epochs)
        else:
            objectives(given.data, given.epochs, given.pictures)
        print()


if __name__ == "__main__":
    main()
