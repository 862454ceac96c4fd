"""docs/integrations.md: its code runs, and its commands are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from nearfar.commands import app
from nearfar.config import read_config
from nearfar.settings import Inputs, Settings

PAGE = (Path(__file__).parents[2] / "docs/integrations.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.mark.filterwarnings("ignore")
def test_the_code_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed (nearfar[onnx])")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, scope)
    printed = capsys.readouterr().out
    assert "['music' 'weather']" in printed
    assert float(re.search(r"^([\d.e-]+)$", printed, re.M).group(1)) < 1e-4  # type: ignore[union-attr]


def test_the_commands_take_their_words(tmp_path: Path) -> None:
    lines = [shlex.split(line) for line in re.findall(r"^    (nearfar .*)$", PAGE, re.M)]
    assert {line[1] for line in lines} == {"train", "export", "push"}
    group = typer.main.get_command(app)
    for _, name, *words in lines:
        group.commands[name].make_context(name, list(words))  # type: ignore[attr-defined]


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(blocks("yaml")[0], "utf-8")
    config = read_config(tmp_path / "run.yaml")
    assert Settings.build(config.settings).epochs == 10
    assert Inputs.build(config.run).column == ["anchor=question", "positive=answer"]
