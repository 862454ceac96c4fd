"""`nearfar demo`: the main job on data that is already there, the docstrings of this interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table as Grid

from nearfar.commands.shared import SEEDS, Overwrite, console, say
from nearfar.commands.train import watching

if TYPE_CHECKING:
    from nearfar.demo import Corpus, Example

FIGURES = ("mrr@10", "recall@1", "recall@10", "ndcg@10")
SETTINGS: dict[str, Any] = {
    "tokenizer": "unigram",  # docstrings are full of pieces of words: param, str, init
    "width": 512,
    "batch_size": 1024,
    "epochs": 5,
    "learning_rate": 3e-3,
}


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the model.")] = Path(
        "nearfar-demo"
    ),
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Of the split and of the training.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Learn to find a Python function from its description; needs no network and no data.

    Reads the docstrings of the standard library and of the installed packages, holds some packages out, trains a
    static encoder with InfoNCE on the rest, and compares retrieval before and after with BM25.

    Example: nearfar demo -o demo
    """
    from nearfar.training.output import check_free

    check_free(output, overwrite)
    corpus = _read(seed)
    with console.status("importing"):
        from nearfar.training.output import whole_folder
    with whole_folder(output, overwrite) as folder:
        systems, examples = _train(corpus, folder, seed, output.name)
    _show(systems, examples)
    say(f"The model is in {output}, what happened in {output / 'report.html'}.")


def _read(seed: int) -> Corpus:
    from nearfar.demo import docstring_corpus

    bar = Progress(TextColumn("reading docstrings"), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    with bar:
        task = bar.add_task("")
        corpus = docstring_corpus(seed=seed, progress=lambda done, files: bar.update(task, completed=done, total=files))
    say(
        f"{corpus.files_read:,} Python files: {corpus.found:,} described functions, methods and classes; "
        f"{corpus.duplicates + corpus.near_duplicates:,} repetitions removed; {len(corpus.train):,} pairs to train on, "
        f"{len(corpus.held_out):,} held out, from other packages."
    )
    return corpus


def _train(corpus: Corpus, folder: Path, seed: int, title: str) -> tuple[dict[str, dict[str, float]], list[Example]]:
    """Train, save, and return every system's figures and the examples."""
    from nearfar.analysis.report import training_page, write_page
    from nearfar.demo import (
        bm25_rankings,
        draw_examples,
        four_letters,
        retrieval_figures,
        split,
        table_of,
        vector_rankings,
        with_fields,
    )
    from nearfar.demo.report import add_comparison
    from nearfar.objectives import InfoNCELoss
    from nearfar.settings import Settings
    from nearfar.training import train
    from nearfar.training.output import describe, save
    from nearfar.training.ready import make_model

    # A second split by package chooses the checkpoint, so that the held-out part is looked at once.
    parts = split(corpus.train, held_out=1000, seed=seed + 1)
    table, development = table_of(parts.train, "docstrings"), table_of(parts.held_out, "other packages")
    held_out = table_of(corpus.held_out, "held-out packages")
    queries, names = held_out.column("anchor"), held_out.column("positive")
    settings = Settings(**SETTINGS, seed=seed)
    objective = InfoNCELoss(temperature=0.05, symmetric=True)
    with console.status("building the untrained encoder"):
        model = with_fields(make_model([table], settings))

    def ranked() -> Any:
        encoded = [model.encode(texts, show_progress_bar=False) for texts in (queries, names)]
        return vector_rankings(*encoded)

    rankings = {
        "untrained": ranked(),
        "BM25": bm25_rankings(queries, names),
        "BM25, words cut": bm25_rankings(queries, names, stemmer=four_letters),
    }
    with watching() as watch:
        outcome = train(
            table, objective=objective, model=model, settings=settings, evaluate_on=[development], watch=watch
        )
    rankings["trained"] = ranked()
    say(f"trained in {outcome.seconds:.1f} s")
    systems = {name: retrieval_figures(found, range(len(names))) for name, found in rankings.items()}
    examples = draw_examples(queries, names, rankings, seed=seed)
    save(folder, outcome, [table], title)
    page = training_page(describe(outcome, [table]), outcome.measurements, outcome.similarities, title)
    write_page(add_comparison(page, systems, examples), folder / "report.html")
    return systems, examples


def _show(systems: dict[str, dict[str, float]], examples: list[Example]) -> None:
    figures = Grid(title="Finding a function from its description, held-out packages", title_justify="left")
    figures.caption = (
        "BM25: bm25s, English stop words and Snowball stems; words cut: to four letters, its best on such names"
    )
    figures.caption_justify = "left"
    figures.add_column("")
    for name in FIGURES:
        figures.add_column(name, justify="right")
    for system, values in systems.items():
        figures.add_row(system, *(f"{values[name]:.3f}" for name in FIGURES))
    console.print(figures)
    say(f"trained / BM25, MRR@10: {systems['trained']['mrr@10'] / systems['BM25']['mrr@10']:.2f}\n")
    for number, example in enumerate(examples, start=1):
        say(f"{number:>2}. {example.query}")
        for label in ("untrained", "trained"):
            mark = "=" if example.found[label] == example.wanted else " "
            say(f"   {mark} {label:>9}: {example.found[label]}")
        if example.found["trained"] != example.wanted:
            say(f"        wanted: {example.wanted}")
    console.print()
