"""`nearfar mine`: hard negatives for a table of pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from nearfar.commands.shared import (
    SEEDS,
    Columns,
    Overwrite,
    Where,
    check_file,
    console,
    open_model,
    open_tables,
    say,
    write_whole,
)
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.data.negatives import Mined

MEANINGS = {
    "taken": "taken as negatives",
    "positive": "a positive of the anchor",
    "anchor": "the anchor's own text",
    "group": "of the anchor's group",
    "absolute_margin": "within the absolute margin of the positive",
    "relative_margin": "within the relative margin of the positive",
    "max_score": "above the highest score",
    "min_score": "below the lowest score",
    "before_window": "skipped, nearer than the window",
    "after_window": "further than the window",
    "not_drawn": "left over in the window",
}


Count = Annotated[int, typer.Option(help="Negatives of an anchor.")]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help=".jsonl, .csv, .tsv (each .gz, .zst) or .parquet.")
]
Search = Annotated[
    str | None,
    typer.Option(
        help="exact: nearest by cosine, the default; index: about these, for a million candidates (needs "
        "nearfar\\[index]); bm25: by words; mix: ranked by both."
    ),
]
Corpus = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="Table of texts: candidates besides the positives. Repeatable."),
]
Skip = Annotated[int, typer.Option(help="Nearest that are passed over: they may be unmarked positives.")]
Window = Annotated[
    int | None,
    typer.Option(help="Rank at which the window ends, skipped ones included: --skip 10 --window 50 looks at 40."),
]
Drawn = Annotated[str, typer.Option(help="top: the nearest of the window; random: any of it, by --seed.")]
Relative = Annotated[
    float | None, typer.Option(help="Keep what scores this share below the positive: 0.05 keeps what is below 95 %.")
]
Absolute = Annotated[float | None, typer.Option(help="Keep what scores this much below the positive: 0.1.")]
Most = Annotated[float | None, typer.Option(help="Leave out what scores above: 0.8.")]
Least = Annotated[float | None, typer.Option(help="Leave out what scores below: 0.2.")]
JudgeName = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A cross-encoder or second encoder; what it scores as high as the positive is left out.",
    ),
]
JudgeAbsolute = Annotated[
    float | None,
    typer.Option(help="As --absolute-margin, of the judge's scores; 0 where it has no limit, 3 suits logits."),
]
OfJudge = Annotated[float | None, typer.Option(help="The same of the judge's scores.")]
RankByJudge = Annotated[bool, typer.Option("--rank-by-judge", help="The judge decides the ranks too.")]
IncludePositives = Annotated[
    bool, typer.Option("--include-positives", help="Ranked lists with the positives, to evaluate rerankers on.")
]
Form = Annotated[
    str,
    typer.Option(
        "--format",
        help="tuples: negative_1 ... beside a pair; triplets: a row a negative; pairs: sentence1, sentence2, score 1 "
        "or 0; lists: texts and labels of an anchor (.jsonl, .parquet).",
    ),
]
Fewer = Annotated[
    str, typer.Option(help="Tuples with fewer negatives than columns: repeat those it has, or drop the row.")
]
Prompt = Annotated[str | None, typer.Option(help='Put before each text of this side: "query: ".')]
PromptName = Annotated[str | None, typer.Option(help="The same, by its name in the model.")]
Cache = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keeps vectors for the next run.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the counts here.")]


def mine(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name; bm25 mines by words alone.")],
    data: Annotated[str, typer.Argument(help="A table of pairs: anchor, positive.")],
    output: Output,
    count: Count = 3,
    method: Search = None,
    corpus: Corpus = None,
    skip: Skip = 0,
    window: Window = None,
    draw: Drawn = "top",
    relative_margin: Relative = None,
    absolute_margin: Absolute = None,
    max_score: Most = None,
    min_score: Least = None,
    judge: JudgeName = None,
    judge_relative_margin: OfJudge = None,
    judge_absolute_margin: JudgeAbsolute = None,
    judge_max_score: OfJudge = None,
    judge_min_score: OfJudge = None,
    rank_by_judge: RankByJudge = False,
    include_positives: IncludePositives = False,
    form: Form = "tuples",
    fewer: Fewer = "repeat",
    query_prompt: Prompt = None,
    query_prompt_name: PromptName = None,
    corpus_prompt: Prompt = None,
    corpus_prompt_name: PromptName = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 64,
    cache: Cache = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Of --draw random.")] = 0,
    json_file: Json = None,
    column: Columns = None,
    where: Where = None,
    overwrite: Overwrite = False,
) -> None:
    """Find hard negatives: near an anchor, and none of its positives.

    Candidates are the distinct positives, and what --corpus adds. Rows of one anchor share their positives; rows of one
    group, where there is such a column, are no negatives of each other. Neighbours that are positives or that a limit
    refuses are struck off; the window counts what is left. `nearfar train` reads the file as it is.

    Example: nearfar mine my-model pairs.tsv -o mined.jsonl --count 5 --relative-margin 0.05

    Example: nearfar mine bm25 pairs.tsv -o mined.tsv --corpus texts.txt --skip 2

    Example: nearfar mine my-model pairs.tsv -o mined.tsv --skip 10 --window 50 --draw random --judge my-cross-encoder
    """
    given = locals()
    inputs = [data, *(corpus or ())]
    check_output(output, inputs, form, fewer, overwrite)
    check_counts_file(json_file, output, inputs)
    if include_positives and form != "lists":
        raise InputError(f"--include-positives: found --format {form}, wanted lists, which tell positives by labels")
    mined = _mined(given, _rules(given))
    written = write(mined, output, form, fewer, overwrite)
    summarise(mined, written, output, fewer if form == "tuples" else "keep")
    if json_file is not None:
        write_whole(json_file, json.dumps(counts_of(mined, written), indent=2, ensure_ascii=False) + "\n")
        say(f"wrote {json_file}")


def check_counts_file(path: Path | None, output: Path, inputs: list[str]) -> None:
    """Raise an InputError where the counts cannot be written."""
    if path is None:
        return
    check_file(path, overwrite=True, inputs=inputs)
    if path.absolute() == output.absolute():
        raise InputError(f"--json: found the name of --output, {path}, wanted another")


def check_output(output: Path, inputs: list[str], form: str, fewer: str, overwrite: bool) -> None:
    """Raise an InputError where the file cannot be written or cannot hold what is asked for."""
    from typing import get_args

    from nearfar.data.negatives.mined import Fewer, Format
    from nearfar.data.readers import format_of
    from nearfar.data.writing import check_writable

    for option, value, known in (("--format", form, get_args(Format)), ("--fewer", fewer, get_args(Fewer))):
        if value not in known:
            raise InputError(f"{option}: found {value!r}, wanted {' or '.join(known)}")
    check_writable(output)
    if form == "lists" and format_of(output) in (".csv", ".tsv"):
        raise InputError(f"{output}: found {format_of(output)}, which holds no lists, wanted .jsonl or .parquet")
    check_file(output, overwrite, inputs=inputs)


def _rules(given: dict[str, Any]) -> Any:
    """The rules that the options say, with the judge still to be opened."""
    with console.status("importing"):
        from nearfar.data.negatives import Rules

    options = {name: given[name] for name in ("count", "skip", "window", "draw", "rank_by_judge", "include_positives")}
    return Rules(
        **options,
        seed=given["seed"],
        limits=_limits(given),
        judge=given["judge"] and (lambda anchors, candidates: []),
        judge_limits=_limits(given, "judge_"),
    )


def _limits(given: dict[str, Any], prefix: str = "") -> Any:
    from nearfar.data.negatives import Limits

    try:
        return Limits(**{name: given[prefix + name] for name in Limits.__dataclass_fields__})
    except InputError as error:
        raise InputError(f"{prefix}{error}") from None


def _mined(given: dict[str, Any], rules: Any) -> Mined:
    from dataclasses import replace
    from typing import get_args

    from nearfar.mining import mine_negatives, open_judge
    from nearfar.mining.embedding import Encoding
    from nearfar.mining.negatives import Method

    by_words = given["model"] == "bm25"
    method: Any = given["method"] or ("bm25" if by_words else "exact")
    if method not in get_args(Method):
        raise InputError(f"--method: found {method!r}, wanted {', '.join(get_args(Method))}")
    if by_words and method != "bm25":
        raise InputError(f"--method: found {method} with bm25 in the place of a model, wanted no other method")
    (table,) = open_tables([given["data"]], given["column"], given["where"], known=given["corpus"] or ())
    corpus = _corpus(given["corpus"] or ())
    model = None if method == "bm25" else open_model(given["model"])
    if given["judge"] is not None:
        rules = replace(rules, judge=open_judge(given["judge"], batch_size=given["batch_size"]))
    options = {name: given[name] for name in Encoding.__dataclass_fields__}
    with watching() as progress:
        return mine_negatives(
            table, model, method=method, corpus=corpus, rules=rules, encoding=Encoding(**options), progress=progress
        )


def _corpus(sources: list[str] | tuple[()]) -> list[str]:
    """All texts of the tables, whatever role they play."""
    texts = []
    for table in open_tables(list(sources)) if sources else ():
        texts += [text for role in table.text_roles for text in table.column(role)]
    return texts


@contextmanager
def watching() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each thing that is done."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield watch


def write(mined: Mined, output: Path, form: str, fewer: str, overwrite: bool) -> int:
    """Write the rows; how many there were."""
    from nearfar.data.writing import write_table

    return write_table(output, mined.batches(form, fewer), overwrite=overwrite)  # type: ignore[arg-type]


def counts_of(mined: Mined, written: int) -> dict[str, Any]:
    """What the summary says, as plain values."""
    found = mined.found
    return {
        "source": mined.source,
        "anchors": len(mined.task.anchors),
        "candidates": len(mined.task.candidates),
        "rows": len(mined.task.rows),
        "rows_written": written,
        "negatives_wanted": mined.wanted,
        "negatives_columns": mined.count,
        "anchors_with_fewer": int((found < mined.wanted).sum()),
        "anchors_with_none": int((found == 0).sum()),
        "neighbours": mined.reasons,
        "seconds": mined.seconds,
        "queries_per_second": len(mined.task.anchors) / max(mined.seconds, 1e-9),
    }


def summarise(mined: Mined, written: int, output: Path, fewer: str) -> None:
    """Say what was found, what was left out and why."""
    counts = counts_of(mined, written)
    total = max(1, sum(mined.reasons.values()))
    grid = Grid(title="Neighbours of the anchors, and what became of them", title_justify="left")
    for name in ("reason", "count", "share"):
        grid.add_column(name, justify="left" if name == "reason" else "right")
    for reason, number in mined.reasons.items():
        judged = reason.startswith("judge_")
        meaning = MEANINGS[reason.removeprefix("judge_")] + (", by the judge" if judged else "")
        grid.add_row(meaning, f"{number:,}", f"{number / total:.1%}")
    console.print(grid)
    if mined.count < mined.wanted:
        say(
            f"wanted {mined.wanted} negatives, but among {counts['candidates']:,} candidates no anchor has more than "
            f"{mined.count}"
        )
    if few := int((mined.found < mined.count).sum()):
        what = {"repeat": "theirs are repeated", "drop": "their rows are left out", "keep": "they have what there is"}
        say(
            f"{few:,} of {counts['anchors']:,} anchors have fewer than {mined.count} negatives ({what[fewer]}), "
            f"{counts['anchors_with_none']:,} of them none (left out)"
        )
    say(f"{counts['queries_per_second']:,.0f} anchors/s; wrote {written:,} rows to {output}")
