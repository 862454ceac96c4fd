"""Settings as options: each field of `Settings` is an option of the same name, with its description as help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from nearfar.settings import Settings

GIVEN = "settings"
"""The command's parameter that takes what was given, name -> value."""


def with_settings(command: Callable[..., None], *, without: Collection[str] = ()) -> Callable[..., None]:
    """The command with an option for each setting, but some; what was given arrives as its dict `settings`."""
    fields = {name: field for name, field in Settings.model_fields.items() if name not in without}
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != GIVEN]
    options = [_option(name, field) for name, field in fields.items()]

    def called(**values: Any) -> None:
        given = {name: values.pop(name) for name in fields}
        command(**values, **{GIVEN: {name: value for name, value in given.items() if value not in (None, [])}})

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in (*own, *options)}
    return called


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    help_text = (field.description or "") + _default(field.default)
    kind: Any = _kind(field.annotation) | None
    choices = "|".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else None
    annotation = Annotated[kind, typer.Option(help=help_text, metavar=choices)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """What the command line reads: a choice is a text, which `Settings` checks with a message of its own."""
    if get_origin(annotation) is Literal:
        return str
    known = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return annotation if get_origin(annotation) is list else known[0]


def _default(value: Any) -> str:
    if value in (None, []):
        return ""
    return f" Default: {', '.join(value) if isinstance(value, list) else value}."
