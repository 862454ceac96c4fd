"""Everything a run can be told, in one typed place: in Python, on the command line and in a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nearfar.config import check_names, read_config
from nearfar.errors import InputError

Subwords = Literal["wordpiece", "bpe", "unigram"]
Precision = Literal["no", "bf16", "fp16"]


class Settings(BaseModel):
    """Settings of a run; each says in its description what it does. None means: what suits encoder, data or objective.

    Where several of `epochs`, `steps` and `minutes` are given, the first that is reached ends the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    encoder: str = Field("static", description="static, words, a local folder, or a hub name.")
    objective: str = Field(
        "infonce", description="A name of `nearfar objectives`; of words neg (their default), nce or infonce."
    )
    objective_for: list[str] = Field(
        [], description="Another one for a table: FILE=NAME, with options as in dev.tsv=cosent:temperature=0.1."
    )
    weight_for: list[str] = Field(
        [], description="FILE=NUMBER: batches of that table come so many times as often as they would."
    )
    temperature: float | None = Field(None, gt=0, description="Of --objective; its own default.")
    matryoshka: list[int] = Field(
        [],
        description="Widths that embeddings can be cut to afterwards: the objective works on each of them. Repeat it.",
    )
    view: list[str] = Field(
        ["dropout"],
        description="How a positive is made of a lone text: a name of `nearfar augment --list`, with options as in"
        " crop:keep=0.7,probability=0.5. Several are applied in order.",
    )
    epochs: int | None = Field(None, ge=1, description="Passes over the data.")
    steps: int | None = Field(None, ge=1, description="Optimiser steps.")
    minutes: float | None = Field(None, gt=0, description="Wall time; such a run is not repeatable bit for bit.")
    batch_size: int | None = Field(None, ge=2, description="Rows a batch, of all ranks together.")
    chunk_tokens: int | None = Field(
        None,
        ge=1,
        description="Tokens encoded at a time, padding included (transformer): bounds memory, whatever the batch. What"
        " suits the memory there is; halved where it runs out.",
    )
    keep_mib: int | None = Field(
        None,
        ge=0,
        description="MiB for graphs of chunks that are kept, so that they are not encoded twice (transformer). Half of"
        " what is free; changes speed alone.",
    )
    lora: int | None = Field(
        None, ge=1, description="Rank of adapters that alone are learnt and are merged in the end (transformer)."
    )
    lora_alpha: float | None = Field(None, gt=0, description="Scale of --lora times its rank; twice the rank.")
    lora_targets: list[str] = Field(["all-linear"], description="Names of layers that get adapters.")
    freeze: int | None = Field(
        None,
        description="Lowest layers that stay as they are, with the embeddings beneath (transformer): 0 the embeddings"
        " alone, -2 all but the two highest.",
    )
    prompt: list[str] = Field(
        [],
        description="ROLE=TEXT, put before each text of a role: --prompt 'anchor=query: '. Else those of the encoder.",
    )
    batches: Literal["shuffled", "no-duplicates", "per-class", "length", "cluster"] = Field(
        "shuffled",
        description="Which rows go together: shuffled, no-duplicates (no text twice), per-class (some rows of each"
        " label), length (texts of like length), cluster (near texts, anew each epoch).",
    )
    per_class: int = Field(4, ge=2, description="Rows of a class in a batch of --batches per-class.")
    source_temperature: float | None = Field(
        None, gt=0, description="Share of a table is rows ** (1 / this); None: each row once an epoch."
    )
    learning_rate: float | None = Field(
        None,
        ge=0,
        description="At the top of the schedule; what suits the encoder, a hundredth of it for lone texts (static).",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the run over which the rate rises; then it falls.")
    accumulate: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Batches an optimiser step: their mean gradient, not one contrast of all their rows.",
    )
    gradient_clip: float | None = Field(
        None, ge=0, description="Largest norm of the gradient; 0: any. 1 for a transformer, any for static."
    )
    precision: Precision | None = Field(
        None, description="Of the encoder's products: no (float32), bf16 or fp16. bf16 on a GPU that has it, else no."
    )
    rank_timeout: float = Field(
        30, gt=0, description="Minutes that a rank waits for the others, which measure or hang, before it gives up."
    )
    evaluations: int = Field(10, ge=1, description="Measurements during the run, evenly spread.")
    metric: str | None = Field(
        None,
        description="Which figure is to rise, as dev.tsv:ndcg@10, a table alone (its main figure) or a figure alone;"
        " the mean of the tables' main figures.",
    )
    patience: int | None = Field(
        None, ge=1, description="Measurements in a row without a better figure after which the run ends."
    )
    watch_every: int | None = Field(
        None,
        ge=0,
        description="Steps between two readings of loss, gradient and space, 0 for none; some 200 over the run.",
    )
    follow: list[str] = Field(
        [],
        description="Text whose nearest neighbours among texts of the data are noted at each measurement, for nearfar"
        " watch; may be repeated. Some held-out texts.",
    )
    track: list[str] = Field(
        [],
        description="Where else measurements go: tensorboard, wandb ... (what accelerate knows), or all.",
    )
    log_folder: str | None = Field(None, description="Where --track writes files; OUT/logs, once the run is over.")
    max_bytes: int | None = Field(
        None, ge=1, description="Most bytes for the scores of a strip; what the memory there is allows."
    )
    strip_rows: int | None = Field(None, ge=1, description="Anchors of a strip; as many as --max-bytes allows.")
    held_out: float = Field(0.05, ge=0, lt=1, description="Share of the rows held out to measure on without --eval.")
    queue: int = Field(
        0, ge=0, description="Older embeddings that count as far, from a slowly following copy of the encoder (MoCo)."
    )
    momentum: float = Field(0.995, ge=0, lt=1, description="How slowly the copy of --queue follows.")
    mixed: int = Field(0, ge=0, description="Far embeddings an anchor mixed from its hardest ones (MoCHi).")
    guide: str | None = Field(
        None, description="A second model; what it finds as near as the positive is no negative (GISTEmbed)."
    )
    guide_margin: float = Field(0.0, ge=-2, le=2, description="Of --guide, in its cosine.")
    teacher: str | None = Field(
        None,
        description="A second model, encoder or cross-encoder, whose scores of positives and negatives are learnt"
        " (marginmse, cosent, angle); else those of the table's columns positive_score and negative_score, or margin.",
    )
    teacher_scale: float = Field(
        1.0, gt=0, description="By which a teacher's scores are multiplied, those of --teacher or of the table."
    )
    mine_every: int | None = Field(
        None, ge=1, description="Steps after which negatives are mined anew with the encoder as it then is (ANCE)."
    )
    mine_count: int = Field(1, ge=1, description="Mined negatives an anchor.")
    token_dropout: float | None = Field(
        None, ge=0, lt=1, description="Tokens left out while training (static); 0.3 under the view dropout, else 0."
    )
    weight_learning_rate: float | None = Field(
        None, ge=0, description="Of a weight a token beside the rate of the vectors, which may be 0 (static)."
    )
    sif: float = Field(3e-3, gt=0, description="Smaller makes frequent tokens start shorter (static).")
    width: int | None = Field(None, ge=1, description="Numbers a vector; 256 (static) or 100 (words).")
    vocabulary: int | None = Field(
        None, ge=100, description="Most subwords, 8,000 without it (static); most words, all without it (words)."
    )
    tokenizer: Subwords = Field("wordpiece", description="Kind of subwords (static).")
    architecture: Literal["skipgram", "cbow"] = Field(
        "skipgram", description="Whether words of a window are anchors one by one, or their mean is one (words)."
    )
    subwords: bool = Field(False, description="Make vectors of character n-grams, too, as fastText does (words).")
    window: int = Field(5, ge=1, description="Words on each side of a word at the most (words).")
    noise: int = Field(5, ge=1, description="Noise words a window (words).")
    noise_power: float = Field(0.75, ge=0, description="Noise is drawn by frequency to this power (words).")
    min_count: int = Field(5, ge=1, description="Times that a word must occur to get a vector (words).")
    subsample: float = Field(
        1e-3, ge=0, description="Smaller leaves out more of frequent words; 0 leaves all in (words)."
    )
    threads: int | None = Field(
        None, ge=1, description="All cores without it; with 1 a run can be repeated bit for bit, else not (words)."
    )
    buffer: int = Field(10_000, ge=2, description="Rows among which a stream is shuffled.")
    sample: int = Field(
        100_000, ge=2, description="Rows of a stream, some of each file, from which a static encoder is built."
    )
    checkpoint_every: int | None = Field(
        None,
        ge=1,
        description="Steps (of words: runs of 20,000) between checkpoints; without it one every five minutes"
        " (OUT.checkpoints).",
    )
    keep: int = Field(2, ge=1, description="Checkpoints that are kept, the last ones.")
    keep_after: bool = Field(False, description="Put them into OUT when the run is over, instead of removing them.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of everything random.")

    license: str | None = Field(
        None,
        description="Of the model, for its card, by the hub's short name: apache-2.0, mit, cc-by-sa-4.0 ...",
    )
    language: list[str] = Field(
        [], description="Of the texts, for the model card, by code: en, ko ...; else what the base model's card says."
    )

    @field_validator("license", "language")
    @classmethod
    def _is_code(cls, value: str | list[str] | None) -> str | list[str] | None:
        for code in [value] if isinstance(value, str) else value or ():
            if not re.fullmatch(r"[a-z0-9][A-Za-z0-9.-]*", code):
                raise ValueError("a short name of letters, as apache-2.0 or en")
        return value

    @classmethod
    def build(cls, values: dict[str, Any], source: str = "settings") -> Settings:
        """Settings from names and values.

        Raises:
            InputError: an unknown name (the nearest known one is suggested) or a bad value; one line.
        """
        return built(cls, values, source, "setting")

    @classmethod
    def read(cls, path: Path) -> dict[str, Any]:
        """The settings that a TOML, YAML or JSON file or an earlier run's nearfar.json names.

        Raises:
            InputError: the file cannot be read or is none of these.
        """
        return read_config(path).settings


class Inputs(BaseModel):
    """What a run of `nearfar train` reads: the same names in the table `run` of a file and on the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    data: list[str] = Field([], description="Tables to train on, as on the command line.")
    column: list[str] = Field([], description="Of --column: ROLE=NAME each.")
    where: list[str] = Field([], description="Of --where: COLUMN=VALUE each.")
    eval: list[str] = Field([], description="Tables to measure on.")
    stream: bool = Field(False, description="Whether the rows pass by without a copy on disk.")

    @classmethod
    def build(cls, values: dict[str, Any], source: str = "run") -> Inputs:
        """Inputs from names and values.

        Raises:
            InputError: an unknown name (the nearest known one is suggested) or a bad value; one line.
        """
        return built(cls, values, source, "name in run")


Model = TypeVar("Model", bound=BaseModel)


def built(model: type[Model], values: dict[str, Any], source: str, what: str) -> Model:
    """A model of pydantic's from names and values.

    Args:
        model: its class.
        values: by name.
        source: of the values, for messages.
        what: a name names, for messages.

    Raises:
        InputError: an unknown name or a bad value; one line.
    """
    check_names(values, model.model_fields, source, what)
    try:
        return model(**values)
    except ValidationError as error:
        name = ".".join(map(str, error.errors()[0]["loc"]))
        raise InputError(f"{source}: {name}: {fault_of(error)}") from None


def fault_of(error: ValidationError) -> str:
    """What was found and what was wanted, of the first fault that pydantic names."""
    first = error.errors()[0]
    found = repr(first["input"])
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return f"found {found}, wanted {first['msg'].removeprefix('Input should be ').removeprefix('Value error, ')}"
