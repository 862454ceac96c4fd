"""`nearfar analyze`: what the space looks like, as a page, as numbers, as pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfar.commands.shared import (
    SEEDS,
    Columns,
    Overwrite,
    Where,
    check_files,
    check_language,
    console,
    open_model,
    open_tables,
    say,
    write_whole,
)
from nearfar.errors import InputError

if TYPE_CHECKING:
    from nearfar.analysis import Analysis

TEXTS = 10_000
COLOURS = {"good": "green", "watch": "yellow", "bad": "red"}


def analyze(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name.")],
    data: Annotated[str, typer.Argument(help="A table of texts, labelled texts, pairs or scored pairs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The page, an .html file.")] = Path("report.html"),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the numbers here as well.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write each picture here as SVG and PNG as well.")
    ] = None,
    language: Annotated[str, typer.Option(metavar="en|ko", help="Of the page's words: English or Korean.")] = "en",
    before: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Another model, to tell how far the space has moved from it.")
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="A view to whose change the texts are put, as train takes them. Repeatable."),
    ] = None,
    texts: Annotated[int, typer.Option(min=2, help="Texts at most; of more, so many are drawn.")] = TEXTS,
    temperature: Annotated[float, typer.Option(help="Of the softmax whose negatives are weighed.")] = 0.05,
    batch_size: Annotated[int, typer.Option(min=2, help="Rows that see each other as negatives.")] = 512,
    column: Columns = None,
    where: Where = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Of all that is drawn.")] = 0,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples; 0 leaves intervals out.")] = 1000,
    overwrite: Overwrite = False,
) -> None:
    """See the space: a page with a map to walk, pictures, verdicts and lists; works offline, in one file.

    Example: nearfar analyze my-model questions.jsonl -o report.html --json figures.json --pictures figures
    """
    from nearfar.analysis import analyse_table
    from nearfar.analysis.encoding import encoder
    from nearfar.data.limits import above_zero

    check_language(language)
    above_zero("--temperature", str(temperature))
    check_files([output, json_file], overwrite, inputs=[data])
    if pictures:
        _make_folder(pictures)
    (table,) = open_tables([data], column, where)
    most = max(1, texts // min(len(table.text_roles), 2))
    found = analyse_table(
        table,
        encoder(open_model(model), progress=True),
        before=None if before is None else encoder(open_model(before), progress=True),
        views=view or (),
        temperature=temperature,
        batch_size=batch_size,
        most=most,
        seed=seed,
        resamples=resamples,
    )
    _write(found, model, language, output, json_file, pictures)
    _show(found, language)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--pictures: found {path}, which cannot be a folder ({error.strerror}), wanted one"
        ) from error


def _write(
    found: Analysis, model: str, language: Any, output: Path, json_file: Path | None, pictures: Path | None
) -> None:
    from nearfar.analysis.report import draw, render, write_pictures

    written = [output, *([json_file] if json_file else [])]
    with console.status("drawing"):
        drawn = draw(found, language=language)
        write_whole(output, render(drawn.page(Path(model).name or model)))
        if json_file:
            content = {"model": model, **found.to_dict(language)}
            write_whole(json_file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        if pictures:
            written += write_pictures(drawn.specs(), pictures)
    for path in written:
        say(f"wrote {path}")


def _show(found: Analysis, language: Any) -> None:
    from rich.table import Table as Grid
    from rich.text import Text

    from nearfar.analysis.report.space import written
    from nearfar.analysis.words import VERDICTS

    grid = Grid(title=found.source, title_justify="left", show_header=False)
    for figure in found.figures.values():
        word = Text(VERDICTS[figure.verdict][language], style=COLOURS[figure.verdict])
        grid.add_row(Text(figure.title(language)), Text(written(figure)), word, Text(figure.meaning(language)))
    console.print(grid)
    for note in found.notes:
        say(note[language])
