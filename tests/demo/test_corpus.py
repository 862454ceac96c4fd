"""From folders of files to two sides of pairs that share nothing."""

import gc
import random
import sys
import sysconfig
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from nearfar.demo import Corpus, Pair, collect, docstring_corpus, find_sources, read_pairs, split
from nearfar.demo.corpus import MAX_FILE_BYTES
from nearfar.demo.duplicates import near_duplicates, normalised
from nearfar.errors import RunError

WORDS = ["amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath", "inlet", "jetty", "knoll"]


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Python files below `root`; the extension is left out of their names."""
    for name, content in files.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def function(name: str, docstring: str) -> str:
    return f'def {name}(x):\n    """{docstring}"""\n'


def invented(packages: int, size: int) -> list[Pair]:
    draw = random.Random(0)
    return [
        Pair(" ".join(draw.sample(WORDS, 8)), f"pack{package} : name {row} ( )", f"pack{package}")
        for package in range(packages)
        for row in range(size)
    ]


def test_sources_leave_out_tests_copies_and_what_cannot_be_imported(tmp_path: Path) -> None:
    text = function("f", "Some words about f.")
    wanted = ["top", "box/__init__", "box/one"]
    unwanted = ["box/tests/two", "box/_vendor/three", "box/test_four", "box/conftest", "site-packages/five", "__init__"]
    write(tmp_path, dict.fromkeys(wanted + unwanted, text))
    (tmp_path / "box" / "notes.txt").write_text("no Python")
    found = {(source.package, source.module) for source in find_sources([tmp_path, tmp_path / "missing"])}
    assert found == {("top", "top"), ("box", "box.one"), ("box", "box")}


def test_the_first_root_wins(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {"box": ""})
    second = write(tmp_path / "b", {"box": "", "other": ""})
    assert [source.path.parent.name for source in find_sources([first, second])] == ["a", "b"]


def test_files_that_cannot_be_read_are_counted_and_skipped(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "good": function("f", "Give back the good part."),
        "broken": 'def f(:\n  """Never closed."""',
        "binary": b'def f():\n  """\xff\xfe"""',
        "zero": b'"""\0"""',
        "huge": function("f", "Give back the huge part.") + "#" * MAX_FILE_BYTES,
    }
    write(tmp_path, files)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    reading = read_pairs(find_sources([tmp_path]))
    assert [pair.name for pair in reading.pairs] == ["good : f ( x )"]
    assert (reading.files_read, reading.files_skipped) == (1, 5)


def test_reading_reports_progress_and_restores_the_collector(tmp_path: Path) -> None:
    write(tmp_path, {name: function(name, f"Give back the {name} part.") for name in WORDS[:3]})
    steps: list[tuple[int, int]] = []
    pairs = collect(find_sources([tmp_path]), progress=lambda done, total: steps.append((done, total)))
    assert len(pairs) == 3
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert gc.isenabled()


def test_a_package_gives_no_more_than_its_cap(tmp_path: Path) -> None:
    text = "".join(function(f"f{row}", f"Give back part {word} of it.") for row, word in enumerate(WORDS))
    write(tmp_path, dict.fromkeys(["big/one", "big/two", "big/three", "big/four", "small"], text))
    taken = Counter(pair.package for pair in collect(find_sources([tmp_path]), max_per_package=20))
    assert taken == {"big": 20, "small": len(WORDS)}


def test_repetitions_are_removed() -> None:
    long = "Give back every one of the parts that were put into the box before the lid was closed"
    pairs = [
        Pair("Return self.", "a : one ( )", "a"),
        Pair("return  Self", "a : two ( )", "a"),
        Pair("Return self", "b : three ( )", "b"),
        Pair("Return self!", "b : four ( )", "b"),
        Pair("Open the box now.", "a : open ( )", "a"),
        Pair("Open the box, now", "b : open ( )", "b"),
        Pair("Shut the box again.", "c : shut ( )", "c"),
        Pair("Shut it, and lock it.", "c : shut ( )", "c"),
        Pair(long, "c : parts ( )", "c"),
        Pair(f"{long} again", "d : parts ( )", "d"),
    ]
    corpus = split(pairs)
    assert {pair.name for pair in corpus.train} == {"a : open ( )", "c : shut ( )", "c : parts ( )"}
    assert (corpus.found, corpus.duplicates, corpus.near_duplicates) == (10, 6, 1)


def test_near_duplicates_equal_comparing_all_with_all() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choices(WORDS[:5], k=draw.randint(1, 9))) for _ in range(400)]

    def triples(text: str) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2))}

    kept: list[set[tuple[str, ...]]] = []
    expected = []
    for text in texts:
        mine = triples(text)
        expected.append(any(10 * len(mine & other) >= 7 * len(mine | other) for other in kept))
        if not expected[-1]:
            kept.append(mine)
    assert near_duplicates(texts) == expected
    assert 20 < sum(expected) < 380


def test_a_split_depends_on_its_seed_and_not_on_the_order() -> None:
    pairs = invented(packages=40, size=10)
    shuffled = random.Random(3).sample(pairs, len(pairs))
    assert split(pairs, seed=1) == split(shuffled, seed=1)
    assert split(pairs, seed=1).held_out != split(pairs, seed=2).held_out


@pytest.mark.parametrize(("packages", "size", "held_out"), [(40, 10, 2500), (40, 10, 20), (200, 10, 50), (12, 30, 99)])
def test_the_held_out_part_keeps_its_size(packages: int, size: int, held_out: int) -> None:
    corpus = split(invented(packages, size), held_out=held_out)
    limit = min(held_out, (len(corpus.train) + len(corpus.held_out)) // 10)
    assert limit - size < len(corpus.held_out) <= limit
    assert corpus.packages == packages


def test_nothing_to_read_is_an_error_and_nothing_to_split_is_not() -> None:
    assert split([]) == Corpus(train=(), held_out=())
    with pytest.raises(RunError, match="no docstring in 0 Python files"):
        docstring_corpus([])


@pytest.fixture(scope="module")
def library() -> Corpus:
    return docstring_corpus(find_sources([Path(sysconfig.get_path("stdlib"))]))


def test_the_standard_library_alone_is_enough(library: Corpus) -> None:
    assert len(library.train) + len(library.held_out) > 5_000
    assert len(library.held_out) > 450
    assert library.files_read > 500
    assert {pair.package for pair in library.train} <= sys.stdlib_module_names | {"distutils"}
    named = {pair.name: pair.description for pair in (*library.train, *library.held_out)}
    assert named["textwrap : indent ( text prefix predicate )"].startswith("Adds 'prefix' to the beginning of")


def test_the_sides_of_the_standard_library_share_nothing(library: Corpus) -> None:
    both = (*library.train, *library.held_out)
    assert not {pair.package for pair in library.train} & {pair.package for pair in library.held_out}
    assert len({pair.name for pair in both}) == len(both)
    assert len({normalised(pair.description) for pair in both}) == len(both)
    assert not any(near_duplicates([pair.description for pair in both]))


def test_every_pair_of_the_standard_library_reads_as_one_line_of_words(library: Corpus) -> None:
    for pair in (*library.train, *library.held_out):
        assert 3 <= len(pair.description.split()) <= 60
        assert "\n" not in pair.description
        assert "`" not in pair.description
        assert pair.name == pair.name.lower()
        assert pair.name.endswith(" )")
