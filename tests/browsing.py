"""A page in a real browser, with what it asked for and complained of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def some_browser() -> Iterator[Browser]:
    """The one that is installed; the test is skipped where none is."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page and what it asked for and complained of."""

    page: Page
    requests: list[str]
    errors: list[str]


def open_page(browser: Browser, url: str, *, width: int = 1280, scheme: str = "light") -> Opened:
    """The page at an address; what it does from its first moment on is noted."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    made = Opened(page, [], [])
    page.on("request", lambda request: made.requests.append(request.url))
    page.on("console", lambda message: made.errors.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.goto(url)
    return made
