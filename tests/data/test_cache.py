"""The cache is used, is never stale or half written, and keeps memory constant."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import ipc

from nearfar.data import read_table
from nearfar.errors import InputError
from tests.data.conftest import Write


def files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_an_unchanged_file_is_not_read_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("t.txt", "a\nb\n")
    first = read_table(path)

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("nearfar.data.parts.read_blocks", refuse)
    assert read_table(path).column("text") == first.column("text")


def test_a_changed_file_is_read_again(write: Write) -> None:
    path = write("t.txt", "one\n")
    before = read_table(path)
    times = path.stat()
    path.write_text("two\n")  # as long as before, and its time of change set back
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert read_table(path).column("text") == ["two"]
    assert before.column("text") == ["one"]


def test_a_folder_with_a_new_file_is_read_again(write: Write, tmp_path: Path) -> None:
    write("d/1.txt", "one\n")
    assert len(read_table(tmp_path / "d")) == 1
    write("d/2.txt", "two\n")
    assert len(read_table(tmp_path / "d")) == 2


def test_options_have_entries_of_their_own(write: Write, cache: Path) -> None:
    path = write("t.tsv", "text\tbody\tlabel\na\tb\tx\nc\td\ty\n")
    assert read_table(path).column("text") == ["a", "c"]
    assert read_table(path, columns={"text": "body"}).column("text") == ["b", "d"]
    assert read_table(path, where={"label": ["y"]}).column("text") == ["c"]
    assert len(files(cache)) == 3


def test_a_failed_read_leaves_nothing(write: Write, cache: Path) -> None:
    path = write("t.tsv", "text\n" + "fine\n" * 5_000 + "\t\n")
    for _ in range(2):
        with pytest.raises(InputError, match="row 5001 "):
            read_table(path)
    assert files(cache) == []


def test_an_interrupted_read_leaves_nothing(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("t.txt", "a\n")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ipc, "new_stream", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_table(path)
    assert files(cache) == []
    assert len(read_table(path)) == 1


def test_a_full_disk_names_the_cache(write: Write, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("t.txt", "a\n")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ipc, "new_stream", full)
    with pytest.raises(InputError, match="No space left on device") as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{cache / 'nearfar'}: the cache cannot be written")
    assert files(cache) == []


MEASURE = """
import sys, tracemalloc
import datasets
datasets.config.HF_DATASETS_CACHE = sys.argv[1]
from nearfar.data import read_table

def peak():
    # not ru_maxrss, in which a process inherits the peak of the one that started it
    with open("/proc/self/status") as status:
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])

read_table(sys.argv[2])  # imports, and what is kept for blocks of any file
before = peak()
table = read_table(sys.argv[3])
grown = peak() - before
tracemalloc.start()
rows = sum(len(batch["text"]) for batch in table.batches(1_000))
print(grown, tracemalloc.get_traced_memory()[1], rows)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc, as Linux has it")
@pytest.mark.parametrize("name", ["t.tsv", "t.csv.gz", "t.jsonl"])
def test_memory_does_not_grow_with_the_file(name: str, write: Write, cache: Path) -> None:
    line = '{"text": "%s"}\n' if "jsonl" in name else "%s\n"
    rows = [line % f"{number} {'word ' * 40}" for number in range(250_000)]
    header = "" if "jsonl" in name else "text\n"
    small, large = write(f"small-{name}", header + "".join(rows[:100_000])), write(name, header + "".join(rows))
    size = sum(map(len, rows))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, cache, small, large], capture_output=True, text=True, check=True
    )
    grown, iterated, seen = map(int, done.stdout.split())
    assert size > 50e6
    assert seen == len(rows)
    assert grown < size / 5
    assert iterated < size / 20
