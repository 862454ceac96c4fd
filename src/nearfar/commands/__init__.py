"""The command line: each subcommand is one thin file that parses, calls and prints."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from nearfar.commands import (
    analyze,
    augment,
    compare,
    convert,
    demo,
    encode,
    evaluate,
    explain,
    export,
    mine,
    nearest,
    objectives,
    push,
    rate,
    train,
    watch,
)
from nearfar.commands.leaving import Leaving, heard
from nearfar.commands.shared import rank
from nearfar.errors import InputError, NearfarError
from nearfar.settings import fault_of

app = typer.Typer(
    name="nearfar",
    help="Contrastive representation learning on text.",
    epilog="--debug, anywhere on the line, shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train.train)
app.command()(watch.watch)
app.command()(rate.rate)
app.command()(compare.compare)
app.command()(evaluate.evaluate)
app.command()(analyze.analyze)
app.command()(explain.explain)
app.command()(encode.encode)
app.command()(export.export)
app.command()(push.push)
app.command()(augment.augment)
app.command()(convert.convert)
app.command()(mine.mine)
app.command()(nearest.nearest)
app.command()(objectives.objectives)
app.command()(demo.demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"nearfar {version('nearfar')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What all subcommands share."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its status: 0 done, 1 the run failed, 2 the input is wrong."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in words
    _quiet_libraries()
    leaving = Leaving()
    try:
        with heard(leaving):
            status = app([word for word in words if word != "--debug"], prog_name="nearfar", standalone_mode=False)
    except Exception as error:
        if leaving.asked:
            sys.exit(leaving.STATUS)
        if debug:
            raise
        message, status = told(error, options_of(words[0] if words else ""))
        name = f"nearfar (rank {rank()})" if rank() else "nearfar"
        print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status or 0)


def options_of(command: str) -> dict[str, str]:
    """The options of a command by the names that they have in Python: max_score -> --max-score."""
    known: Any = typer.main.get_command(app)
    words = [word for param in getattr(known.commands.get(command), "params", ()) for word in param.opts]
    return {word.removeprefix("--").replace("-", "_"): word for word in words if word.startswith("--")}


def told(error: Exception, options: Mapping[str, str]) -> tuple[str, int]:
    """One line about an error, and the exit status it stands for.

    Args:
        error: what was raised.
        options: by their names in Python, which a message may begin with; the line has them as they are typed.
    """
    if isinstance(error, NearfarError):
        message = str(error)
        name, colon, rest = message.removeprefix("settings: ").partition(":")
        if name in options:
            message = options[name] + colon + rest
        return message, 2 if isinstance(error, InputError) else 1
    if isinstance(error.__cause__, ValidationError) and hasattr(error, "param"):  # a value that typer cannot take
        return f"{error.param.opts[0]}: {fault_of(error.__cause__)}", 2
    if hasattr(error, "format_message"):  # typer's own usage errors, under whatever name it has for them
        return f"{error.format_message()} (nearfar --help shows what there is)", 2
    if isinstance(error, OSError) and error.errno in _THEIRS:
        return f"{error.filename or 'output'}: {error.strerror}", 2
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); smaller data, --width or --batch-size needs less", 1
    return f"unexpected {type(error).__name__}: {error} (--debug shows the traceback)", 1


_THEIRS = {
    getattr(errno, name) for name in "ENOSPC EDQUOT EACCES EPERM EROFS ENOTDIR EISDIR ENAMETOOLONG ELOOP".split()
}
"""Faults of the user's disk or folder rather than of the run."""


def _quiet_libraries() -> None:
    """The libraries beneath print progress and advice of their own; nearfar's is enough."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "critical")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
