"""Files that say what a run is: by hand in TOML, YAML or JSON, or the nearfar.json of an earlier run."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nearfar.errors import InputError

RECORDED = {"settings", "data", "evaluate_on", "versions"}
"""What a nearfar.json holds beside much else."""


@dataclass(frozen=True)
class Config:
    """What a file holds.

    Attributes:
        settings: names and values of `Settings`, its top level or its table `settings`; what is None is left out.
        run: its table `run`: names and values of `Inputs`.
        record: the whole of an earlier run's nearfar.json; empty for a file written by hand.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


def read_config(path: Path) -> Config:
    """Read a file by its suffix: .json, .yaml or .yml, else TOML.

    Raises:
        InputError: it cannot be read, or holds no tables of settings; unknown names of settings are left to
            `Settings.build`.
    """
    values = _parsed(path)
    if not isinstance(values, dict):
        raise InputError(f"{path}: found a {type(values).__name__}, wanted a table of settings")
    record = values if values.keys() >= RECORDED else {}
    if "settings" in values:
        if not record:  # a record holds much else
            check_names(values, ("settings", "run"), str(path), "table")
        settings = values["settings"]
    else:
        settings = {name: value for name, value in values.items() if name != "run"}
    run = values.get("run") or {}
    for table in (settings, run):
        if not isinstance(table, dict):
            raise InputError(f"{path}: found a {type(table).__name__}, wanted a table of settings")
    return Config({name: value for name, value in settings.items() if value is not None}, run, record)


def check_names(values: Mapping[Any, Any], known: Collection[str], source: str, what: str) -> None:
    """Raise an InputError for the first name that is not known, with the nearest that is.

    Args:
        values: by name.
        known: names.
        source: of the values, for the message.
        what: a name names.
    """
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
            raise InputError(f"{source}: unknown {what} {name!r}{hint}")


def _parsed(path: Path) -> Any:
    import yaml

    try:
        text = path.read_text("utf-8")
        if path.suffix in (".yaml", ".yml"):
            return yaml.load(text, _yaml_loader()) or {}
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}, wanted a file of settings in TOML, YAML or JSON") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # recursion: thousands of brackets
        raise InputError(f"{path}: found no readable TOML, YAML or JSON settings ({error})") from None


def _yaml_loader() -> Any:
    """The safe loader, for which 5e-3 is a number as it is in YAML 1.2, TOML and JSON."""
    import yaml

    loader: Any = type("Loader", (yaml.SafeLoader,), {})
    exponent = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    loader.add_implicit_resolver("tag:yaml.org,2002:float", exponent, list("-+0123456789"))
    return loader
