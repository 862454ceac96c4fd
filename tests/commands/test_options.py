"""Settings as options and as a file: every field, its words, its kinds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

import nearfar as nf
from nearfar.commands.options import with_settings
from nearfar.settings import Settings
from tests.commands.conftest import Run


def words(text: str) -> str:
    """Letters and figures alone: help is broken over lines, in boxes."""
    return "".join(re.findall(r"\w+", text))


def test_every_setting_is_an_option_with_its_description(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERMINAL_WIDTH", "400")
    result = run("train", "--help")
    assert result.status == 0
    shown = words(result.out)
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in result.out
        assert field.description
        assert words(field.description) in shown, name
        if get_origin(field.annotation) is Literal:
            assert words("|".join(get_args(field.annotation))) in shown, name


def given(*options: str) -> dict[str, object]:
    """What reaches a command."""
    seen: list[dict[str, object]] = []

    def command(settings: dict[str, object]) -> None:
        seen.append(settings)

    app = typer.Typer()
    app.command()(with_settings(command))
    result = CliRunner().invoke(app, list(options))
    assert result.exit_code == 0, result.output
    return seen[0]


def test_what_is_not_given_does_not_reach_the_command() -> None:
    assert given() == {}
    assert Settings.build(given()) == Settings()


def test_options_are_read_by_their_kind() -> None:
    found = given(
        "--view", "crop:keep=0.5,probability=0.1", "--view", "typo", "--batches", "length", "--queue", "0",
        "--held-out", "0", "--guide", "some/model", "--mine-every", "3", "--temperature", "0.5",
    )  # fmt: skip
    assert found == {
        "view": ["crop:keep=0.5,probability=0.1", "typo"],
        "batches": "length",
        "queue": 0,
        "held_out": 0.0,
        "guide": "some/model",
        "mine_every": 3,
        "temperature": 0.5,
    }
    built = Settings.build(found)
    assert (built.view, built.batches, built.mine_every) == (found["view"], "length", 3)


@pytest.mark.parametrize(
    ("key", "near"), [("temprature", "temperature"), ("mine_evry", "mine_every"), ("guide_margins", "guide_margin")]
)
def test_an_unknown_key_of_a_file_is_told_the_nearest(key: str, near: str, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(f"{key} = 1\n", "utf-8")
    with pytest.raises(nf.InputError, match=f"unknown setting '{key}'; did you mean {near}\\?"):
        Settings.build(Settings.read(tmp_path / "run.toml"), "run.toml")
