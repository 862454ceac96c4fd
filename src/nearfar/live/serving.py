"""The server of the live view: this machine alone, a few paths, nothing that can be changed."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nearfar.errors import InputError
from nearfar.live.following import news

ADDRESS = "127.0.0.1"

PAGES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/words.js": ("words.js", "text/javascript"),
}

NOTHING_FOREIGN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Live:
    """Serves the page of a run, from the moment it is made until `close`.

    Args:
        out: the folder of the run's model, which need not be there yet.
        port: to listen at; 0 takes one that is free.

    Raises:
        InputError: the port is taken.
    """

    def __init__(self, out: Path, port: int = 0) -> None:
        self.looked = time.monotonic()
        handler = partial(_Handler, live=self)
        try:
            self.server = ThreadingHTTPServer((ADDRESS, port), handler)
        except OSError as error:
            raise InputError(f"--port: found {port}, which cannot be had ({error.strerror}), wanted another") from error
        self.out = out
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def port(self) -> int:
        """That is listened at."""
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{ADDRESS}:{self.port}/"

    @property
    def unwatched(self) -> float:
        """Seconds since a page last asked."""
        return time.monotonic() - self.looked

    def close(self) -> None:
        """Listen no more."""
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server_version, sys_version = "nearfar", ""

    def __init__(self, *args: Any, live: Live) -> None:
        self.live = live
        super().__init__(*args)

    def do_GET(self) -> None:
        """The page, or what is new."""
        asked = urlsplit(self.path)
        # A foreign page whose name has been made to lead here (DNS rebinding) still sends its own name.
        if self.headers.get("Host", "") not in {f"{name}:{self.live.port}" for name in (ADDRESS, "localhost")}:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
        elif asked.path == "/news.json":
            self._news(parse_qs(asked.query))
        elif asked.path in PAGES:
            name, kind = PAGES[asked.path]
            self._send(files("nearfar.live").joinpath(name).read_bytes(), kind)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _news(self, asked: dict[str, list[str]]) -> None:
        self.live.looked = time.monotonic()
        offset = asked.get("offset", ["0"])[0]
        found = news(self.live.out, asked.get("run", [""])[0], int(offset) if offset.isdecimal() else 0)
        content = {"name": self.live.out.name, **found}
        self._send(json.dumps(content, ensure_ascii=False).encode(), "application/json")

    def _send(self, content: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", NOTHING_FOREIGN)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing: a page asks every second."""
