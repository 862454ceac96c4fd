"""Everything a run can be told, in one typed place."""

from __future__ import annotations

import difflib
import inspect
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nearfar.encoders.subwords import Subwords
from nearfar.errors import InputError
from nearfar.objectives import REGISTRY, Objective

View = Literal["dropout"]


class Settings(BaseModel):
    """Settings of a run. None means: what suits the encoder or the objective.

    Attributes:
        encoder: "static", a local folder, or a hub name.
        objective: a name of `nearfar objectives`.
        temperature: of the objective.
        view: how a positive is made from a lone text.
        epochs, steps, minutes: where to stop; the first of those given that is reached.
        batch_size: rows a batch.
        learning_rate: at the top of the schedule.
        warmup: share of the run over which the rate rises from 0; it then falls linearly to 0.
        evaluations: how often to measure during the run, evenly spread, the end included.
        held_out: share of the rows kept back to measure on where there are no evaluation tables.
        token_dropout: share of a static encoder's tokens left out of each text while training; None is 0.3 where
            a table holds lone texts, whose two views it makes, and else 0.
        weight_learning_rate: of a weight for each token of a static encoder, beside learning_rate, that of the
            vectors. Either may be 0; without it only the vectors are learnt.
        width, vocabulary, tokenizer, sif: of a static encoder that is built.
        seed: of everything random.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    encoder: str = "static"
    objective: str = "infonce"
    temperature: float | None = Field(None, gt=0)
    view: View = "dropout"
    epochs: int | None = Field(None, ge=1)
    steps: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)
    batch_size: int | None = Field(None, ge=2)
    learning_rate: float | None = Field(None, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    evaluations: int = Field(10, ge=1)
    held_out: float = Field(0.05, ge=0, lt=1)
    token_dropout: float | None = Field(None, ge=0, lt=1)
    weight_learning_rate: float | None = Field(None, ge=0)
    width: int = Field(256, ge=1)
    vocabulary: int = Field(8_000, ge=100)
    tokenizer: Subwords = "wordpiece"
    sif: float = Field(3e-3, gt=0)
    seed: int = Field(0, ge=0, lt=2**32)

    @classmethod
    def build(cls, values: dict[str, Any], source: str = "settings") -> Settings:
        """Settings from names and values.

        Raises:
            InputError: an unknown name (the nearest known one is suggested) or a bad value; one line.
        """
        for name in values:
            if name not in cls.model_fields:
                near = difflib.get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(cls.model_fields)}"
                raise InputError(f"{source}: unknown setting {name!r}{hint}")
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            wanted = first["msg"].removeprefix("Input should be ")
            found = repr(first["input"])
            found = found if len(found) <= 60 else f"{found[:57]}..."
            raise InputError(f"{source}: {name}: found {found}, wanted {wanted}") from None

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The settings that a TOML file, a JSON file or an earlier run's nearfar.json names.

        Raises:
            InputError: the file cannot be read or is neither.
        """
        try:
            text = path.read_text("utf-8")
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except (OSError, ValueError, RecursionError) as error:  # the last: thousands of brackets
            raise InputError(f"{path}: found no readable TOML or JSON settings ({error})") from None
        settings = values.get("settings", values) if isinstance(values, dict) else values
        if not isinstance(settings, dict):
            raise InputError(f"{path}: found a {type(settings).__name__}, wanted a table of settings")
        return {name: value for name, value in settings.items() if value is not None}

    def build_objective(self) -> Objective:
        """The objective that is named, with its settings.

        Raises:
            InputError: the name is unknown.
        """
        if self.objective not in REGISTRY:
            near = difflib.get_close_matches(self.objective, REGISTRY, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"objective: found {self.objective!r}, wanted one of {', '.join(REGISTRY)}{hint}")
        objective = REGISTRY[self.objective]
        if self.temperature is None:
            return objective()
        if "temperature" not in inspect.signature(objective).parameters:
            raise InputError(f"temperature: found {self.temperature}, wanted none: {objective.__name__} has none")
        options: dict[str, Any] = {"temperature": self.temperature}
        return objective(**options)
