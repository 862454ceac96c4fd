"""`nearfar convert`: judgements of all kinds to a table of pairs that `nearfar train` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from nearfar.commands.shared import (
    SEEDS,
    Columns,
    Overwrite,
    Where,
    check_file,
    check_named,
    console,
    pairs_of,
    say,
)
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.data.convert import Converted

Names = dict[str, list[str]]

OPTIONS = {
    "nli": ("label", "negatives", "where"),
    "scores": ("near", "far", "negatives", "where"),
    "labels": ("count", "negatives", "seed", "where"),
    "relevance": ("near", "far", "negatives", "draw", "seed"),
}
"""What each conversion has a use for, besides --column."""

KIND = "nli, scores, labels or relevance; else by the columns."
NEGATIVES = "Negatives of a row; 1 of nli and relevance, and of scores with --far; 0 makes pairs."
LABEL = "nli: what a label means, as in entailment=0. May be repeated."
NEAR = "scores, relevance: the least of a positive; 1 of relevance."
FAR = "scores, relevance: the most of a negative; all below --near of relevance."
DRAW = "relevance: whether unjudged documents fill up the negatives; they do."

SAMPLES = 3
LONGEST = 160


def convert(
    data: Annotated[list[str], typer.Argument(help="Files, folders or hub names; of relevance: see above.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help=".jsonl, .csv, .tsv or .parquet.")],
    kind: Annotated[str | None, typer.Option("--from", metavar="KIND", help=KIND)] = None,
    negatives: Annotated[int | None, typer.Option(help=NEGATIVES)] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="MEANING=LABEL", help=LABEL)] = None,
    near: Annotated[float | None, typer.Option(help=NEAR)] = None,
    far: Annotated[float | None, typer.Option(help=FAR)] = None,
    count: Annotated[int | None, typer.Option(help="labels: rows a text; 1.")] = None,
    draw: Annotated[bool | None, typer.Option("--draw/--no-draw", help=DRAW)] = None,
    column: Columns = None,
    where: Where = None,
    seed: Annotated[int | None, typer.Option(min=0, max=SEEDS, help="labels, relevance: of what is drawn; 0.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn judgements into anchor, positive and negatives.

    nli: premise, hypothesis, label. What a premise entails is its positive, what contradicts it its negative.
    scores: sentence1, sentence2, score. Pairs of at least --near; negatives share a sentence and have at most --far.
    labels: text, label. Two texts of one label; with --negatives, texts of others.
    relevance: a query and a document judged relevant; negatives judged not relevant, then drawn. DATA is a folder
    with queries, corpus and qrels files, or the three in this order: query_id, text; doc_id, title, text; query_id,
    doc_id, relevance, or TREC lines.

    Example: nearfar convert snli.tsv -o triples.tsv

    Example: nearfar convert nli.jsonl -o triples.tsv --label entailment=0 --label contradiction=2

    Example: nearfar convert sts.tsv -o pairs.tsv --near 4 --far 1

    Example: nearfar convert intents.csv -o pairs.csv --count 3 --negatives 1

    Example: nearfar convert cranfield/ -o train.jsonl --negatives 5
    """
    given = {
        name: value
        for name, value in locals().items()
        if name in ("label", "negatives", "near", "far", "count", "draw", "seed", "where") and value is not None
    }
    from nearfar.data.writing import check_writable, write_table

    check_writable(output)
    check_file(output, overwrite, inputs=data)
    names, values = pairs_of("column", column), pairs_of("where", where)
    with console.status("reading"):
        kind = kind or _kind_of(data, names)
        _check_options(kind, given)
        made = _MAKERS[kind](data, names, given | {"where": values})
    rows = write_table(output, made.table.batches(), overwrite=overwrite)
    _show(made, rows, output)


def _kind_of(data: Sequence[str], names: Names) -> str:
    """The conversion that the columns ask for."""
    from nearfar.data import columns_of
    from nearfar.data.cells import listed
    from nearfar.data.convert.sources import collection_of, is_qrels, shape_of

    collection = collection_of(data)
    if collection and is_qrels(collection[-1], names):
        return "relevance"
    there = columns_of(data[0])
    if (shape := shape_of(there, names)) is None:
        raise InputError(
            f"{data[0]}: found columns {listed(there)}, wanted premise, hypothesis and label; or sentence1, sentence2"
            " and score; or text and label; or queries, corpus and qrels (--column ROLE=NAME says which plays a role)"
        )
    return shape


def _check_options(kind: str, given: dict[str, Any]) -> None:
    if kind not in OPTIONS:
        raise InputError(f"--from: found {kind!r}, wanted one of {', '.join(OPTIONS)}")
    for name in given:
        if name not in OPTIONS[kind]:
            raise InputError(
                f"--{name}: found it with {kind}, wanted one of --{', --'.join(OPTIONS[kind])} (--from says what it is)"
            )


def _nli(data: Sequence[str], columns: Names, given: dict[str, Any]) -> Converted:
    from nearfar.data.convert import convert_nli

    rows = _read("nli", data, columns, given["where"]).to_pydict()
    return convert_nli(
        rows["premise"],
        rows["hypothesis"],
        rows["label"],
        names=pairs_of("label", given.get("label")),
        source=", ".join(data),
        **_only(given, "negatives"),
    )


def _scores(data: Sequence[str], columns: Names, given: dict[str, Any]) -> Converted:
    from nearfar.data import Table
    from nearfar.data.convert import convert_scores

    if "near" not in given:
        raise InputError("--near: found none, wanted the least score of a positive (--near 4 of scores from 0 to 5)")
    table = Table.from_arrow(_read("scores", data, columns, given["where"]).to_batches(), ", ".join(data))
    return convert_scores(table, **_only(given, "near", "far", "negatives"))


def _labels(data: Sequence[str], columns: Names, given: dict[str, Any]) -> Converted:
    from nearfar.data import Table
    from nearfar.data.convert import convert_labels

    table = Table.from_arrow(_read("labels", data, columns, given["where"]).to_batches(), ", ".join(data))
    return convert_labels(table, **_only(given, "count", "negatives", "seed"))


def _relevance(data: Sequence[str], columns: Names, given: dict[str, Any]) -> Converted:
    from nearfar.data.convert import convert_relevance, read_relevance
    from nearfar.data.convert.sources import CORPUS, QRELS, QUERIES, check_known, collection_of
    from nearfar.data.convert.trec import is_trec

    if (collection := collection_of(data)) is None:
        raise InputError(
            f"{', '.join(data)}: found no queries, corpus and qrels, wanted a folder with files of these names, or the"
            " three in this order"
        )
    check_known(columns, QUERIES, CORPUS, QRELS)
    check_named(columns, {}, [source for source in collection if not is_trec(source)])
    return convert_relevance(
        read_relevance(*collection, columns=columns), **_only(given, "near", "far", "negatives", "draw", "seed")
    )


_MAKERS: dict[str, Callable[[Sequence[str], Names, dict[str, Any]], Converted]] = {
    "nli": _nli,
    "scores": _scores,
    "labels": _labels,
    "relevance": _relevance,
}


def _read(shape: str, data: Sequence[str], columns: Names, where: Names) -> Any:
    """The rows of one of `SHAPES`, as an Arrow table."""
    import pyarrow as pa

    from nearfar.data.convert.sources import SHAPES, check_known, read_columns

    check_known(columns, SHAPES[shape])
    check_named(columns, where, data)
    return pa.Table.from_batches(read_columns(data, SHAPES[shape], columns=columns, where=where))


def _only(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}


def _show(made: Converted, rows: int, output: Path) -> None:
    """How many rows came of how many, why others did not, and some of them."""
    lost = sum(made.left_out.values())
    say(
        f"wrote {rows:,} rows ({', '.join(made.table.roles)}) to {output}, made of {made.read - lost:,} of"
        f" {made.read:,} rows of {made.table.source}"
    )
    if lost:
        reasons = "; ".join(f"{count:,} {why}" for why, count in made.left_out.items())
        say(f"left out {lost:,}: {reasons}")
    for note, times in made.noted.items():
        say(f"{note}: {times:,}")
    grid = Grid(show_lines=True)
    for role in made.table.roles:
        grid.add_column(role, overflow="fold")
    step = max(rows // SAMPLES, 1)
    sample = made.table.select([number * step for number in range(min(SAMPLES, rows))])
    for texts in zip(*(sample.column(role) for role in sample.roles), strict=True):
        grid.add_row(*(escape(_cut(text)) for text in texts))
    console.print(grid)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
