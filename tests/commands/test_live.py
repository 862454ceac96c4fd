"""`nearfar watch` and `nearfar train --open` as processes, and their page in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browsing import open_page
from tests.commands.conftest import FAST, Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def news(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}news.json", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def watched(out: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of `nearfar watch`, and the process."""
    line = [sys.executable, "-m", "nearfar", "watch", str(out), "--no-browser", *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "http://127.0.0.1:" in line)
        try:
            yield next(word for word in said.split() if word.startswith("http")), process
        finally:
            process.kill()


def test_a_finished_run_is_served_until_it_is_ended(model: Path) -> None:
    with watched(model) as (url, process):
        found = news(url)
        assert (found["name"], found["state"]) == (model.name, "finished")
        kinds = {one["kind"] for one in found["entries"]}
        assert kinds >= {"reading", "measurement", "followed", "result"}
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_what_is_followed_are_true_neighbours(model: Path, tables: dict[str, Path]) -> None:
    from nearfar import open_model

    lines = [json.loads(line) for line in (model / "history.jsonl").read_text("utf-8").splitlines()]
    followed = [one for one in lines if one["kind"] == "followed"]
    assert [one["step"] for one in followed] == [one["step"] for one in lines if one["kind"] == "measurement"]
    known = {text for line in tables["pairs.tsv"].read_text("utf-8").splitlines()[1:] for text in line.split("\t")}
    best = next(one for one in lines if one["kind"] == "result")["step"]
    last = next(one for one in followed if one["step"] == best)
    assert len(last["texts"]) == 4
    encoder = open_model(model)
    for one in last["texts"]:
        texts, cosines = zip(*((other["text"], other["cosine"]) for other in one["near"]), strict=True)
        assert set(texts) <= known - {one["text"]}
        wanted = encoder.encode([one["text"]])[0] @ encoder.encode(list(texts)).T
        assert cosines == pytest.approx(wanted.tolist(), abs=1e-4)
        assert list(cosines) == sorted(cosines, reverse=True)
    assert sum(last["spectrum"]) == pytest.approx(1, abs=1e-6)  # 16 numbers wide: all of it


def test_chosen_texts_are_followed_and_change_nothing(
    run: Run, model: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    result = run(
        "train", tables["pairs.tsv"], "-o", tmp_path / "m", *FAST, "--follow", "고양이", "--follow", "a red house"
    )
    assert result.status == 0, result.err
    lines = [json.loads(line) for line in (tmp_path / "m/history.jsonl").read_text("utf-8").splitlines()]
    texts = [[found["text"] for found in one["texts"]] for one in lines if one["kind"] == "followed"]
    assert texts
    assert all(one == ["고양이", "a red house"] for one in texts)
    name = "0_StaticEmbedding/model.safetensors"
    if not (model / name).exists():
        name = "model.safetensors"
    assert (tmp_path / "m" / name).read_bytes() == (model / name).read_bytes()


@pytest.mark.parametrize(
    ("place", "words", "wanted"),
    [
        ("a.txt", [], "a.txt"),
        ("full", [], "history.jsonl"),
        ("no/m", [], "no"),
        ("m", ["--port", "99999"], "--port"),
        ("m", ["--language", "kr"], "wanted en or ko"),
    ],
)
def test_watch_refuses(place: str, words: list[str], wanted: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a", "utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/model.bin").write_text("a", "utf-8")
    result = run("watch", tmp_path / place, "--no-browser", *words)
    assert result.status == 2
    assert wanted in result.err


def test_a_run_is_followed_by_a_page_that_outlives_it(tables: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "m"
    line = [
        sys.executable,
        "-m",
        "nearfar",
        "train",
        str(tables["pairs.tsv"]),
        "-o",
        str(out),
        *map(str, FAST),
        "--open",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=os.environ | {"BROWSER": "true"}) as process:
        assert process.stdout is not None
        said = next(one for one in process.stdout if "http://127.0.0.1:" in one)
        url = next(word for word in said.split() if word.startswith("http"))
        states = [news(url)["state"]]
        process.stdout.read()
        assert process.wait(120) == 0
    found = news(url)
    assert states[0] in ("waiting", "running")
    assert found["state"] == "finished"
    assert found["entries"][-1]["kind"] == "result"
    (served,) = _processes(str(out))
    os.kill(served, signal.SIGINT)


def _processes(word: str) -> list[int]:
    """Of `nearfar watch` with this word on their line."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode().split("\0")
        except OSError:
            continue
        if "watch" in words and word in words:
            found.append(int(place.parent.name))
    return found


def test_a_page_that_nobody_looks_at_ends(model: Path) -> None:
    old = time.time() - 100
    os.utime(model / "history.jsonl", (old, old))
    with watched(model, "--idle", "1") as (_, process):
        assert process.wait(60) == 0


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "dark")])
def test_the_page_draws_in_a_browser(width: int, scheme: str, model: Path, browser: Browser, shots: Path) -> None:
    with watched(model) as (url, _):
        opened = open_page(browser, url, width=width, scheme=scheme)
        page = opened.page
        page.wait_for_selector("#neighbours li", timeout=30_000)
        drawn = {one.get_attribute("id") for one in page.query_selector_all("figure:has(svg path)")}
        assert drawn == {"loss", "measured", "path", "rank", "spectrum", "gradient"}
        assert page.inner_text("#state") == "finished"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        before = page.inner_text("#neighbours")
        page.fill("#when", "0")
        page.wait_for_function("document.querySelector('#moment').textContent.startsWith('After step 0')")
        assert page.inner_text("#neighbours") != before
        page.screenshot(path=shots / f"live-{width}.png", full_page=True)
        assert opened.errors == []
        assert all(one.startswith((url, "data:")) for one in opened.requests)


def test_the_page_is_korean_where_that_is_asked(model: Path, browser: Browser, shots: Path) -> None:
    with watched(model, "--language", "ko") as (url, _):
        page = open_page(browser, url, width=1200).page
        page.wait_for_selector("#neighbours li", timeout=30_000)
        assert page.inner_text("#state") == "끝남"
        assert page.get_attribute("html", "lang") == "ko"
        said = page.locator("figcaption, h2, label, #moment").all_inner_texts()
        said += page.locator("figure svg text:not([class])").all_text_contents()
        assert not [one for one in said if re.search("[a-z]{4}", one.replace("log10", ""))], said
        page.screenshot(path=shots / "live-ko.png", full_page=True)
        both = page.evaluate("import('/words.js').then((found) => Object.values(found.WORDS).map(Object.keys))")
        assert both[0] == both[1]
