"""Reading a corpus: any size, any bytes, any source."""

from __future__ import annotations

import gzip
import io
import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfar.errors import InputError
from nearfar.words.corpus import END, Corpus, _encoded, count_words, open_corpus, read_corpus
from nearfar.words.reading import BLOCK, Faults, open_text, read_lines


def read(folder: Path, *sources: Path | str, least: int = 1) -> Corpus:
    """The corpus of these sources."""
    place = folder / "work"
    place.mkdir(exist_ok=True)
    return read_corpus(open_text(sources, place), place, least=least)


def texts(corpus: Corpus) -> list[str]:
    """The lines of the file of ids."""
    lines: list[list[str]] = [[]]
    tokenizer = corpus.open_tokenizer()
    for number in corpus.part(0, corpus.length).tolist():
        if number == END:
            lines.append([])
        else:
            lines[-1].append(tokenizer.id_to_token(number))
    assert lines[-1] == []
    return [" ".join(line) for line in lines[:-1]]


def test_words_are_folded_and_rare_ones_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("The cat, the DOG!\n\nA cat isn't a dog. 고양이 고양이\n", "utf-8")
    corpus = read(tmp_path, path, least=2)
    assert texts(corpus) == ["the cat the dog", "a cat a dog 고양이 고양이"]
    assert corpus.read == 11
    assert corpus.kept == 10
    assert corpus.counts[0] == 0
    assert texts(read(tmp_path, path))[1].split()[2] == "isn't"


@given(st.text(alphabet="aBİΣσ각가\u1100\u1161e\u0301'’1²\u00a0\u2028 \t-.", max_size=40))
def test_ids_are_those_of_the_saved_tokenizer(text: str) -> None:
    tokenizer = count_words(lambda: iter([["a b 각 가 σ ' é"], [text]]), least=1, most=None)
    (ids,) = _encoded(tokenizer, iter([[text]]))
    assert ids[ids != END].tolist() == tokenizer.encode(text).ids
    assert 0 not in ids


def test_compressed_files_folders_and_tables(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "a.txt").write_text("one two\n", "utf-8")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"three four\n"))
    (folder / "c.jsonl").write_text('{"anchor": "five", "positive": "six"}\n', "utf-8")
    assert texts(read(tmp_path, folder)) == ["one two", "three four", "five", "six"]
    with pytest.raises(InputError, match="nothing"):
        read(tmp_path, tmp_path / "nothing.txt")
    (folder / "b.txt.gz").write_bytes(gzip.compress(b"three four\n" * 1000)[:-10])
    with pytest.raises(InputError, match=r"b\.txt\.gz: cannot be read"):
        read(tmp_path, folder)


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"red green\nblue\n")))
    assert texts(read(tmp_path, "-")) == ["red green", "blue"]


def test_lines_that_are_no_utf8_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(b"good words\n" * 3 + b"caf\xe9 words\nfine \xff\xff\ngood \xef\xbf\xbd\n")
    corpus = read(tmp_path, path)
    assert corpus.faults == Faults(2, f"{path}: line 4")
    assert "2 lines are no UTF-8" in str(corpus.faults)
    assert texts(corpus)[3:] == ["caf words", "fine", "good"]


@pytest.mark.parametrize("word", ["가나다 abc ", "가"], ids=["spaces", "none"])
def test_one_long_line_is_read_in_constant_memory(word: str, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("two words\n" + word * (5 * BLOCK // len(word.encode())), "utf-8")
    faults = Faults()
    tracemalloc.start()
    lines = [len(line) for run in read_lines(path, faults) for line in run]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert faults.lines == 0
    assert sum(lines) == len(path.read_text("utf-8")) - 1
    assert peak < 12 * BLOCK


def test_a_corpus_is_found_again_unless_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("a b a b c\n" * 50, "utf-8")
    first = read(tmp_path, path)
    again = open_corpus(open_text([path], tmp_path), tmp_path / "work", least=1)
    assert again is not None
    assert again.fingerprint == first.fingerprint
    assert texts(again) == texts(first)
    assert open_corpus(open_text([path], tmp_path), tmp_path / "work", least=2) is None
    path.write_text("a b a b c c\n" * 50, "utf-8")
    assert open_corpus(open_text([path], tmp_path), tmp_path / "work", least=1) is None
    assert open_corpus(open_text([path], tmp_path), tmp_path, least=1) is None


def test_runs_cover_the_corpus_and_start_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("a b c d\n" * 100 + "a b " * 300 + "\n" + "c d\n" * 50, "utf-8")
    corpus = read(tmp_path, path)
    bounds = corpus.runs(40)
    assert bounds[0] == 0
    assert bounds[-1] == corpus.length
    assert (np.diff(bounds) > 0).all()
    assert (np.diff(bounds) <= 80).all()
    assert all(corpus.part(start - 1, start)[0] == END for start in bounds[1:10])


@pytest.mark.parametrize(
    ("content", "least", "said"),
    [
        (b"", 1, "no word"),
        (b"... !!!\n", 1, "no word"),
        (b"again again again\n" * 9, 1, "the word 'again' alone"),
        (b"a a a b b c\n", 9, "--min-count: found 9, which leaves no two words; wanted 2 or less"),
    ],
    ids=["empty", "marks", "one word", "rare"],
)
def test_a_corpus_without_two_words_says_what_is_wanted(content: bytes, least: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as raised:
        read(tmp_path, path, least=least)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.txt", "some text".encode("utf-16"), "found UTF-16"),
        ("c.txt.xz", lzma.compress(b"some text"), "found a NUL byte, wanted text in UTF-8, as it is or compressed by"),
        ("c.txt.gz", gzip.compress(b"PK\0\0"), "found a NUL byte"),
    ],
)
def test_what_is_no_text_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as raised:
        read(tmp_path, path)
    assert str(path) in str(raised.value)


def test_columns_of_plain_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("a b\n", "utf-8")
    with pytest.raises(InputError, match="--where: found it for plain text"):
        open_text([path], tmp_path, where={"kind": ["x"]})


def test_the_fingerprint_is_of_the_text_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("a b a b c\n" * 50 + "d d\n", "utf-8")
    prints = [read(tmp_path, path, least=least).fingerprint for least in (1, 9)]
    assert prints[0] == prints[1]
    path.write_text("a b a b c\n" * 50 + "d e\n", "utf-8")
    assert read(tmp_path, path, least=9).fingerprint != prints[0]
