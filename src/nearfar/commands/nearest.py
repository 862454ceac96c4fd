"""`nearfar nearest`: the words nearest to a word, or to what a sum of words points at."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table as Grid

from nearfar.commands.shared import console
from nearfar.errors import InputError


def nearest(
    model: Annotated[str, typer.Argument(help="A folder of word vectors.")],
    words: Annotated[list[str], typer.Argument(help="Words, with + or - between them.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
) -> None:
    """Show the words nearest to a word, by the cosine; with + and - to the sum of their directions.

    Example: nearfar nearest my-words king

    Example: nearfar nearest my-words king - man + woman
    """
    near, far = signed(words)
    from nearfar.words import WordVectors

    found = WordVectors.open(model).nearest(near, far, count=count)
    grid = Grid("word", "cosine", title=" ".join(words), title_justify="left")
    for word, cosine in found:
        grid.add_row(word, f"{cosine:.4f}")
    console.print(grid, markup=False)


def signed(words: list[str]) -> tuple[list[str], list[str]]:
    """``["king", "-", "man"]`` to ``(["king"], ["man"])``; words without a sign between them are added."""
    near: list[str] = []
    far: list[str] = []
    into = near
    for word in words:
        if word in ("+", "-"):
            into = near if word == "+" else far
        else:
            into.append(word)
            into = near
    if words[-1] in ("+", "-"):
        raise InputError(f"found {words[-1]!r} at the end, wanted a word behind it")
    return near, far
