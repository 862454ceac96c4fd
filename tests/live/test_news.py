"""What a page is told of a journal that grows, moves and begins anew; who may ask."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfar.errors import InputError
from nearfar.live import Live
from nearfar.live.following import news, quiet


def entry(step: int) -> str:
    return json.dumps({"kind": "reading", "step": step, "text": "고양이"}, ensure_ascii=False) + "\n"


def test_a_run_is_followed_from_its_hidden_folder_into_its_place(tmp_path: Path) -> None:
    out, stage = tmp_path / "m", tmp_path / ".m.abc.partial"
    assert news(out)["state"] == "waiting"
    assert quiet(out) == float("inf")
    stage.mkdir()
    (stage / "history.jsonl").write_text(entry(1) + entry(2)[:7], "utf-8")
    first = news(out)
    assert first["state"] == "running"
    assert [one["step"] for one in first["entries"]] == [1]
    with (stage / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(entry(2)[7:] + entry(3))
    stage.rename(out)
    second = news(out, first["run"], first["offset"])
    assert second["state"] == "finished"
    assert not second["anew"]
    assert [one["step"] for one in second["entries"]] == [2, 3]
    assert news(out, second["run"], second["offset"])["entries"] == []
    assert quiet(out) < 60


def test_another_run_is_told_from_its_beginning(tmp_path: Path) -> None:
    out, stage = tmp_path / "m", tmp_path / ".m.abc.partial"
    out.mkdir()
    (out / "history.jsonl").write_text(entry(1) + entry(2), "utf-8")
    known = news(out)
    stage.mkdir()
    (stage / "history.jsonl").write_text(entry(7), "utf-8")
    found = news(out, known["run"], known["offset"])
    assert found["anew"]
    assert [one["step"] for one in found["entries"]] == [7]


def test_a_long_journal_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfar.live.following.PIECE", 50)
    (tmp_path / "history.jsonl").write_text("".join(map(entry, range(20))) + "x" * 0, "utf-8")
    run, offset, steps = "", 0, []
    while (found := news(tmp_path, run, offset))["entries"]:
        run, offset = found["run"], found["offset"]
        steps += [one["step"] for one in found["entries"]]
    assert steps == list(range(20))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    (tmp_path / "history.jsonl").write_text(entry(1), "utf-8")
    served = Live(tmp_path)
    yield served
    served.close()


def ask(live: Live, path: str, host: str | None = None, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=10)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{live.port}"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_page_and_what_is_new_are_given(live: Live) -> None:
    for path in ("/", "/page.js", "/page.css", "/charts.js", "/words.js"):
        status, content = ask(live, path)
        assert status == 200
        assert "http://" not in content.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in content
    status, content = ask(live, "/news.json?run=&offset=nonsense")
    assert status == 200
    assert json.loads(content)["entries"][0]["text"] == "고양이"
    assert ask(live, f"/news.json?host=localhost:{live.port}")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host: str, live: Live) -> None:
    status, content = ask(live, "/news.json", host.format(port=live.port))
    assert status == 403
    assert "고양이" not in content


def test_nothing_else_can_be_had(live: Live) -> None:
    assert ask(live, "/history.jsonl")[0] == 404
    assert ask(live, "/../serving.py")[0] == 404
    assert ask(live, "/", method="POST")[0] == 501


def test_only_this_machine_is_listened_to(live: Live) -> None:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("needs /proc/net/tcp to see what is listened to")
    rows = [row.split() for row in listening.read_text().splitlines()[1:]]
    there = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{live.port:04X}")}
    assert there == {f"0100007F:{live.port:04X}"}
    assert f":{live.port:04X} " not in Path("/proc/net/tcp6").read_text() if Path("/proc/net/tcp6").exists() else True


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match=f"--port: found {taken.getsockname()[1]}"):
            Live(tmp_path, taken.getsockname()[1])
