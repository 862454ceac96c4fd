"""`nearfar encode`: vectors of a table, in constant memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfar.commands.shared import Columns, Overwrite, Where, check_file, console, open_model, open_tables, say
from nearfar.errors import InputError


def encode(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name.")],
    data: Annotated[str, typer.Argument(help="A table.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .npy or .parquet file.")],
    column: Columns = None,
    where: Where = None,
    role: Annotated[
        str | None, typer.Option(help="Which texts, where the table has several: anchor, positive ...")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Texts a forward pass.")] = 64,
    overwrite: Overwrite = False,
) -> None:
    """Write one vector a row: .npy holds the (rows, width) array, .parquet the text beside its vector.

    Example: nearfar encode my-model texts.txt -o vectors.npy
    """
    from nearfar.encoders.write import SUFFIXES, write_vectors

    if output.suffix not in SUFFIXES:
        raise InputError(f"{output}: found suffix {output.suffix!r}, wanted {' or '.join(SUFFIXES)}")
    check_file(output, overwrite, inputs=[data])
    (table,) = open_tables([data], column, where)
    texts = role or table.text_roles[0]
    if texts not in table.text_roles:
        raise InputError(f"--role: found {texts!r}, wanted one of {', '.join(table.text_roles)} of {data}")
    shape = write_vectors(open_model(model), table, texts, output, batch_size=batch_size, console=console)
    say(f"wrote {shape[0]} vectors of width {shape[1]} ({texts}) to {output}")
