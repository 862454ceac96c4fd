"""What is put before a text, by the role that it plays: the model's own prompts, under sentence-transformers' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nearfar.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NAMES = {
    "anchor": ("query",),
    "positive": ("document", "passage", "corpus"),
    "text": ("text",),
    "sentence1": ("sentence1",),
    "sentence2": ("sentence2",),
}
"""Role -> names of its prompt in a model, the first that is there. Negatives are texts that positives might be."""

DEFAULT = "text"
"""The role whose prompt becomes the model's default, which `encode` takes where it is told nothing."""


def prompt_of(model: SentenceTransformer, role: str) -> str:
    """What the model puts before texts of this role.

    Anchors are asked as `encode_query` asks, positives and negatives as `encode_document` does; any other text has the
    prompt of its role's name, else the model's default.
    """
    found = [model.prompts[name] or "" for name in _names(role) if name in model.prompts]
    default = model.prompts.get(model.default_prompt_name or "") or ""
    return found[0] if found else default


def set_prompts(model: SentenceTransformer, given: Sequence[str]) -> None:
    """Write prompts into the model, with which they are saved.

    Args:
        model: of any kind.
        given: ``role=text``; the role is one of `NAMES`.

    Raises:
        InputError: not of this form, or the model leaves its prompts out of the mean.
    """
    for word in given:
        role, equals, text = word.partition("=")
        if not equals or role not in NAMES:
            raise InputError(f"prompt: found {word!r}, wanted ROLE=TEXT with a role of {', '.join(NAMES)}")
        model.prompts[NAMES[role][0]] = text
        if role == DEFAULT:
            model.default_prompt_name = DEFAULT
    if any(model.prompts.values()) and not all(getattr(module, "include_prompt", True) for module in model):
        raise InputError("prompt: found a model that pools without its prompt (include_prompt=False), wanted another")


def prompted(texts: Sequence[str], prompt: str) -> Sequence[str]:
    """The texts with the prompt before each."""
    return [prompt + text for text in texts] if prompt else texts


def _names(role: str) -> Sequence[str]:
    return NAMES.get("positive" if role.startswith("negative") else role, ())
