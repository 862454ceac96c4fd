"""`nearfar compare`: which objective, view or negatives, with evidence."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.commands.options import with_settings
from nearfar.commands.shared import Columns, Overwrite, Where, console, open_tables, say, several
from nearfar.errors import InputError, RunError
from nearfar.settings import Settings

if TYPE_CHECKING:
    from nearfar.comparing import Plan

OTHERS = (
    "objective objective_for temperature matryoshka minutes metric track log_folder checkpoint_every keep keep_after"
    " license language"
).split()
"""Settings that a comparison decides itself, or that say how a single run is kept."""


Objectives = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="To compare, with options that are then not searched, as in infonce:temperature=0.1; all that suit the"
        " data. With another --vary the one that all use; infonce.",
    ),
]
Vary = Annotated[str, typer.Option(metavar="WHAT", help="objective, view, negatives, temperature or batch-size.")]
Values = Annotated[
    list[str] | None, typer.Option(metavar="VALUE", help="Of another --vary: what to compare; the usual ones.")
]
Trials = Annotated[
    int, typer.Option(min=0, help="Runs of each to search its temperature, margin or learning rate with.")
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Of training in all, an equal share for each run; preparing and judging come on top."
        " Without it each run is as long as --epochs or --steps say.",
    ),
]


@partial(with_settings, without=OTHERS)
def compare(
    data: Annotated[list[str], typer.Argument(help="Tables: files, folders, hub names.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the comparison.")],
    settings: dict[str, Any],
    objective: Objectives = None,
    vary: Vary = "objective",
    value: Values = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each that count.")] = 3,
    trials: Trials = 5,
    minutes: Minutes = None,
    column: Columns = None,
    where: Where = None,
    evaluate_on: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="FILE", help="Table to judge on (test); else a part is held out. Repeatable."),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Table to choose by (validation); else a part is held out. Repeatable."),
    ] = None,
    keep_best: Annotated[bool, typer.Option("--keep-best", help="Keep the best run's model in OUT/model.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the comparison in OUT.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Train the same encoder under several objectives, or by other views or negatives, and say what can be told apart.

    Each gets the same number of trials and seeds, and with --minutes the same time. OUT holds table.md, report.html,
    comparison.json, and each run that is over, from which --resume goes on.

    Example: nearfar compare pairs.tsv -o which --objective infonce --objective triplet --objective lifted --minutes 10

    Example: nearfar compare pairs.tsv -o which --validation dev.tsv --eval test.tsv --minutes 20

    Example: nearfar compare notes.txt -o views --vary view --value crop --validation dev.tsv --eval test.tsv
    """
    base = Settings.build(settings)
    if several():
        raise InputError("compare: found several ranks, wanted one process, which trains one model after the other")
    from nearfar.comparing.runs import check_out
    from nearfar.comparing.variants import check_names

    check_names(vary, objective or (), value or ())
    tests, validations = evaluate_on or [], validation or []
    check_out(output, [*data, *tests, *validations], resume=resume, overwrite=overwrite)
    opened = open_tables(data, column, where)
    judges = [[open_tables([source])[0] for source in some] for some in (validations, tests)]
    with console.status("importing"):
        from nearfar.comparing import Plan, split, variants_of

    train, choosing, judging, note = split(opened, *judges, share=base.held_out, seed=base.seed)
    variants, left_out = variants_of(vary, objective or (), value or (), train, base)
    plan = Plan(train, choosing, judging, note, variants, base, seeds, trials, minutes)
    _run(plan, vary, left_out, output, overwrite=overwrite, keep_best=keep_best)


def _run(plan: Plan, vary: str, left_out: dict[str, str], output: Path, *, overwrite: bool, keep_best: bool) -> None:
    from nearfar.comparing import compare_variants
    from nearfar.comparing.result import Result, write_result
    from nearfar.comparing.runs import MODEL, Runs

    runs = Runs(output, plan.identity, overwrite=overwrite)
    for name, reason in left_out.items():
        say(f"{name}: left out: {reason}")
    try:
        finished, failed, starts = compare_variants(plan, runs, tell=say, model=output / MODEL if keep_best else None)
    except KeyboardInterrupt:
        raise RunError(f"interrupted; the runs that are over are in {output}, and --resume goes on") from None
    result = Result.of(vary, plan, finished, left_out | failed, starts)
    write_result(result, output)
    say((output / "table.md").read_text("utf-8"))
