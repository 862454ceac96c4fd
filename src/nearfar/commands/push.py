"""`nearfar push`: a model to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfar.commands.shared import console, say


def push(
    model: Annotated[Path, typer.Argument(help="The folder of a model.")],
    name: Annotated[str, typer.Argument(help="USER/NAME on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else may see it.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Commit to a repository that is there.")] = False,
) -> None:
    """Upload a model's folder, model card included, to the Hugging Face hub.

    The token is the one that `hf auth login` or HF_TOKEN has set. The folder goes up whole: README.md shows three
    texts of the data, and nearfar.json and report.html name its files.

    Example: nearfar push my-model me/my-model --private
    """
    from nearfar.encoders.publish import push as published

    with console.status("uploading"):
        place = published(model, name, private=private, overwrite=overwrite)
    say(f"pushed {model} to {place}")
