"""`nearfar watch`: a page that follows a run."""

from __future__ import annotations

import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from nearfar.commands.shared import check_language, say
from nearfar.errors import InputError, RunError

UNWATCHED = 600
"""Seconds without a page after which the server of `nearfar train --open` ends, when the run says nothing either."""


def watch(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder that a run writes, or will write.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="To serve at; 0 takes one that is free.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the address alone.")] = False,
    language: Annotated[
        str | None, typer.Option(metavar="en|ko", help="Of the page's words; by default as the browser prefers.")
    ] = None,
    idle: Annotated[
        float | None,
        typer.Option(min=0, help="End when for so many seconds no page has asked and the run has said nothing."),
    ] = None,
) -> None:
    """Serve a page that follows a run: loss, space, nearest neighbours. For this machine alone.

    The run may be under way, over, or not begun.

    Example: nearfar watch my-model
    """
    _check(output)
    if language is not None:
        check_language(language)
    from nearfar.live import Live
    from nearfar.live.following import quiet
    from nearfar.live.places import journal_of

    live = Live(output, port)
    url = live.url if language is None else f"{live.url}?language={language}"
    if journal_of(output) is None:
        say("there is no run yet; the page waits for one")
    say(f"{output}: {url} (Ctrl-C ends it)")
    if not no_browser:
        webbrowser.open(url)
    try:
        while idle is None or min(live.unwatched, quiet(output)) < idle:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        live.close()


def _check(output: Path) -> None:
    from nearfar.live.places import journal_of

    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: found a file, wanted the folder of a run")
    if not output.resolve().parent.is_dir():
        raise InputError(f"{output}: found no folder {output.resolve().parent}, wanted one that a run writes into")
    if output.is_dir() and any(output.iterdir()) and journal_of(output) is None:
        raise InputError(f"{output}: found a folder without history.jsonl, wanted that of a run")


def open_beside(output: Path) -> str:
    """Serve the page of a run in a process of its own, which outlives this one; its address.

    Raises:
        RunError: it did not start.
    """
    words = [sys.executable, "-m", "nearfar", "watch", str(output), "--idle", str(UNWATCHED)]
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as said:  # the address is the last thing that it says
        url = next((word for line in said for word in line.split() if word.startswith("http://127.0.0.1:")), "")
    if not url:
        raise RunError(f"--open: the page did not start (nearfar watch {output} says why)")
    return url
