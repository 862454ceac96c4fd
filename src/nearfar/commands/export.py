"""`nearfar export`: a model in a form that runs without torch, word vectors in one that other programs read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from nearfar.commands.shared import Overwrite, check_file, console, open_model, say
from nearfar.errors import InputError

WORDS = ("word2vec", "word2vec-binary")
FORMATS = ("onnx", *WORDS)


def export(
    model: Annotated[str, typer.Argument(help="A model folder or a hub name.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder; of word2vec a file.")],
    form: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="What to write.")] = "onnx",
    overwrite: Overwrite = False,
) -> None:
    """Write a model's folder with onnx/model.onnx in it: tokens in, embeddings out, checked against torch.

    Of word vectors --format word2vec and word2vec-binary write a file as word2vec does, which gensim reads.

    Example: nearfar export my-model -o my-model-onnx

    Example: nearfar export my-words -o vectors.bin --format word2vec-binary
    """
    if form not in FORMATS:
        raise InputError(f"--format: found {form!r}, wanted {' or '.join(FORMATS)}")
    if form in WORDS:
        _export_words(model, output, form, overwrite)
        return
    _export_onnx(model, output, overwrite)


def _export_words(model: str, output: Path, form: str, overwrite: bool) -> None:
    check_file(output, overwrite, inputs=[model])
    from nearfar.data.writing import whole_file
    from nearfar.words import WordVectors

    vectors = WordVectors.open(model)
    with whole_file(output) as place:
        vectors.write_word2vec(place, binary=form == "word2vec-binary")
    say(f"wrote {len(vectors):,} word vectors to {output}")


def _export_onnx(model: str, output: Path, overwrite: bool) -> None:
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
    say(f"wrote {output / FILE}; its embeddings differ from torch's by {difference:.1g} at most")
