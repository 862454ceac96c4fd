"""A model's folder on the Hugging Face hub."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from nearfar.encoders.open import open_model
from nearfar.errors import InputError, RunError
from nearfar.hub import reachable

OPENED = re.compile(r'(model = SentenceTransformer\()"(?:[^"\\]|\\.)*"')
"""Where a model card opens the model in its code."""


def push(folder: Path, name: str, *, private: bool = False, overwrite: bool = False) -> str:
    """Upload the folder of a model as it is, by sentence-transformers' `push_to_hub`.

    The model card's code opens the model by its new name; all else stays as it is, nearfar.json with the names of
    the data among it. The hub's token is the one that `hf auth login` or HF_TOKEN has set.

    Args:
        folder: of a model.
        name: USER/NAME, or NAME for the user's own.
        private: nobody else may see it.
        overwrite: commit to a repository that is there already.

    Returns:
        Where the commit is.

    Raises:
        InputError: the folder holds no model, or the name is none that the hub takes.
        RunError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not folder.is_dir():
        raise InputError(f"{folder}: found no folder, wanted the folder of a model")
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"{name}: found no name of the hub, wanted USER/NAME ({error})") from error
    model = open_model(folder, device="cpu")
    if not reachable():
        raise RunError(f"{name}: the hub cannot be reached (no network, or HF_HUB_OFFLINE is set)")
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(folder, Path(place) / "model", ignore=shutil.ignore_patterns(".*"))
        _rename_in_card(copy / "README.md", name)
        try:
            return str(model.push_to_hub(name, private=private, exist_ok=overwrite, local_model_path=str(copy)))
        except Exception as error:  # whatever the hub's client or the network raise
            raise RunError(f"{name}: {_reason(error)}") from error


def _rename_in_card(card: Path, name: str) -> None:
    if card.is_file():
        card.write_text(OPENED.sub(rf'\1"{name}"', card.read_text("utf-8")), "utf-8")


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    known = {
        401: "the hub knows no token, wanted one by `hf auth login` or HF_TOKEN",
        403: "the hub does not let this token write there",
        409: "found on the hub already, wanted a free name or --overwrite",
    }
    said = str(error).strip().partition("\n")[0] or type(error).__name__
    return f"{known[status]} ({said})" if status in known else f"the hub could not take it ({said})"
