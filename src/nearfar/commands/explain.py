"""`nearfar explain`: why two texts are near, by the part of each pair of their tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column
from rich.table import Table as Grid
from rich.text import Text

from nearfar.commands.shared import check_files, console, open_model, say, write_whole

if TYPE_CHECKING:
    from nearfar.analysis.explain import Explanation

LABEL = 16
"""Characters of a token, or of a run of them, in the heat table."""

PLUS, MINUS = (42, 125, 225), (225, 102, 42)


def explain(
    first: Annotated[str, typer.Argument(metavar="TEXT", help="A text.")],
    second: Annotated[str, typer.Argument(metavar="TEXT", help="Another.")],
    model: Annotated[str, typer.Option("--model", metavar="MODEL", help="A model folder or a hub name.")],
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page of its own as well.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers as well.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Nodes of the integral; a static encoder needs none.")] = 32,
    units: Annotated[int, typer.Option(min=1, help="Most parts of a text; a longer one is cut into runs.")] = 32,
) -> None:
    """Show which tokens bring two texts near each other, and which hold them apart.

    Exact for a static encoder; for a transformer by integrated gradients, whose error is stated.

    Example: nearfar explain "how do I sort a list" "order the items of a sequence" --model my-model --html why.html
    """
    check_files([html, json_file], overwrite=True, inputs=[model])
    encoder = open_model(model)
    from nearfar.analysis.explain import explain as explained
    from nearfar.analysis.explain import explanation_page

    with console.status("explaining") as status:

        def tell(share: float) -> None:
            status.update(f"explaining, {share:.0%}")

        found = explained(encoder, first, second, steps=steps, units=units, tell=tell)
    show(found)
    if html:
        write_whole(html, explanation_page(found, model))
        say(f"wrote {html}")
    if json_file:
        content = {"model": model, "texts": [first, second], **found.to_dict()}
        write_whole(json_file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        say(f"wrote {json_file}")


def show(found: Explanation) -> None:
    """Print the sum, the texts in colours, the strongest pairs and, where it fits, the heat table."""
    pairs = float(found.pairs.sum())
    if found.exact:
        say(f"cosine {found.similarity:.4f}, the sum over pairs of tokens")
    else:
        say(f"cosine {found.similarity:.4f} = pairs of tokens {pairs:.4f}, error of the integral {found.error:+.4f}")
    for count, name in zip(found.left_out, ("first", "second"), strict=True):
        if count:
            say(f"the {name} text goes on for {count:,} tokens that the model does not read")
    console.print(_coloured("first  ", found.first, found.pairs.sum(1).tolist()))
    console.print(_coloured("second ", found.second, found.pairs.sum(0).tolist()))
    grid = Grid("first", "second", "part", title="the strongest pairs", title_justify="left")
    for one, other, part in found.strongest(10):
        grid.add_row(Text(_short(one, 40)), Text(_short(other, 40)), f"{part:+.4f}")
    console.print(grid)
    _show_heat(found)


def _show_heat(found: Explanation) -> None:
    labels = [_short(one, LABEL) for one in found.second]
    width = LABEL + 3 + sum(max(Text(one).cell_len, 6) + 3 for one in labels)
    if width > console.width:
        say("the table of every pair is wider than this window: --html FILE shows it")
        return
    grid = Grid("", *(Column(Text(one)) for one in labels), title="hundredths of a cosine", title_justify="left")
    scale = float(abs(found.pairs).max()) or 1.0
    for name, row in zip(found.first, found.pairs.tolist(), strict=True):
        grid.add_row(Text(_short(name, LABEL)), *(_cell(f"{100 * part:6.2f}", part / scale) for part in row))
    console.print(grid)


def _coloured(name: str, tokens: tuple[str, ...], parts: list[float]) -> Text:
    scale = max(map(abs, parts)) or 1.0
    line = Text(name, style="dim")
    for token, part in zip(tokens, parts, strict=True):
        line.append_text(_cell(token, part / scale)).append(" ")
    return line


def _cell(text: str, share: float) -> Text:
    """On blue where the share is above 0, on orange below, the nearer to 1 the stronger."""
    colour = PLUS if share > 0 else MINUS
    red, green, blue = (round(255 + (one - 255) * min(abs(share), 1)) for one in colour)
    return Text(text, style=f"black on rgb({red},{green},{blue})")


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
