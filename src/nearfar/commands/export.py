"""`nearfar export`: a model in a form that runs without torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from nearfar.commands.shared import Overwrite, console, open_model
from nearfar.errors import InputError

FORMATS = ("onnx",)


def export(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder for the exported model.")],
    form: Annotated[str, typer.Option("--format", metavar="onnx", help="What to write.")] = "onnx",
    overwrite: Overwrite = False,
) -> None:
    """Write a model's folder with onnx/model.onnx in it: tokens in, embeddings out, checked against torch.

    Example: nearfar export my-model -o my-model-onnx
    """
    if form not in FORMATS:
        raise InputError(f"--format: found {form!r}, wanted {' or '.join(FORMATS)}")
    from nearfar.training.output import check_free, whole_folder

    check_free(output, overwrite, inputs=[model])
    encoder = open_model(model)
    from nearfar.encoders.export import FILE, export_onnx

    with whole_folder(output, overwrite) as folder:
        encoder.save(str(folder))
        for name in ("nearfar.json", "report.html"):
            if (Path(model) / name).is_file():
                shutil.copy(Path(model) / name, folder)
        with console.status("exporting"):
            difference = export_onnx(encoder, folder)
    console.print(
        f"wrote {output / FILE}; its embeddings differ from torch's by {difference:.1g} at most",
        markup=False,
        soft_wrap=True,
    )
