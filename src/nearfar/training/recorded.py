"""Whether what an earlier run's nearfar.json records is what a run that repeats it meets."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import torch

from nearfar.data import Table
from nearfar.errors import InputError
from nearfar.training.fitting import Data
from nearfar.training.ranks import place

VERSIONS = ("nearfar", "torch", "sentence-transformers", "transformers", "tokenizers", "datasets", "numpy")


def described(data: Data) -> dict[str, Any]:
    """What a record says of a table or a stream, which is known only by what has passed."""
    size = (len(data), data.fingerprint) if isinstance(data, Table) else (None, None)
    return {
        "source": data.source,
        "kind": data.kind,
        "roles": list(data.roles),
        "rows": size[0],
        "fingerprint": size[1],
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that a model depends on, and in how many parts its sums are added up."""
    parts = {"threads": str(torch.get_num_threads()), "ranks": str(place()[1])}
    return {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}, **parts}


def check_unchanged(recorded: Sequence[Mapping[str, Any]], data: Sequence[Mapping[str, Any]], record: str) -> None:
    """Raise an InputError for another number of tables, or for the first whose content is not what it was.

    Args:
        recorded: what `described` gave of each then.
        data: the same now.
        record: the file that it stands in, for the message.
    """
    if len(recorded) != len(data):
        raise InputError(f"{record}: found {len(data)} tables under run, wanted {len(recorded)} as it records below")
    for then, now in zip(recorded, data, strict=True):
        if None not in (then["fingerprint"], now["fingerprint"]) and now["fingerprint"] != then["fingerprint"]:
            raise InputError(
                f"{now['source']}: found {_brief(now)}, wanted {_brief(then)} as in {record}, since the data has"
                " changed; name it on the command line to train on it as it is now"
            )


def notes_of(record: Mapping[str, Any], now: Sequence[Mapping[str, Any]], anew: bool) -> Iterator[str]:
    """What keeps a run from repeating a recorded one exactly, a line each.

    Args:
        record: what nearfar.json holds.
        now: what `described` gives of what the run trains on.
        anew: whether the user named it for this run.
    """
    if anew and [one["fingerprint"] for one in now] != [one["fingerprint"] for one in record["data"]]:
        found, then = (", ".join(f"{one['source']} ({_brief(one)})" for one in some) for some in (now, record["data"]))
        yield f"other data than recorded: {found}, not {then}"
    here = versions()
    if other := [
        f"{name} {here[name]}, not {was}" for name, was in record["versions"].items() if here.get(name, was) != was
    ]:
        yield f"other than recorded, so that figures may differ: {'; '.join(other)}"
    if record.get("interrupted"):
        yield "the recorded run was interrupted, and this one goes on to its end"


def _brief(described: Mapping[str, Any]) -> str:
    if described["fingerprint"] is None:
        return "a stream"
    what = "words" if described["kind"] == "corpus" else "rows"
    return f"{described['rows']:,} {what} with fingerprint {described['fingerprint'][:12]}"
