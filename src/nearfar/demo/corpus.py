"""The demo's data: pairs read from the interpreter's own files, cleaned of repetitions, split by package."""

import gc
import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median_low

from nearfar.data import Table
from nearfar.demo.docstrings import Pair, pairs_in
from nearfar.demo.duplicates import near_duplicates, normalised
from nearfar.demo.sources import Source, find_sources
from nearfar.errors import RunError

MAX_FILE_BYTES = 1_000_000
MAX_PER_PACKAGE = 4_000
MAX_SHARED = 3
HELD_OUT = 2_500

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Corpus:
    """Pairs to learn from and pairs to measure on, from different packages, and how they came about.

    No two pairs have the same name or nearly the same description, whichever sides they are on.
    `found` counts the pairs before `duplicates` (the same description or name) and
    `near_duplicates` were removed. The two counts of files are 0 if the pairs came from elsewhere.
    """

    train: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    found: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    packages: int = 0
    files_read: int = 0
    files_skipped: int = 0


def table_of(pairs: Sequence[Pair], source: str) -> Table:
    """Pairs as a table: the description asks (anchor), the name answers (positive)."""
    return Table.from_columns(
        {"anchor": [pair.description for pair in pairs], "positive": [pair.name for pair in pairs]}, source
    )


@dataclass(frozen=True)
class Reading:
    """The pairs of a set of files, and how many files were read and how many could not be."""

    pairs: list[Pair]
    files_read: int
    files_skipped: int


def docstring_corpus(
    sources: Sequence[Source] | None = None,
    *,
    held_out: int = HELD_OUT,
    seed: int = 0,
    progress: Progress | None = None,
) -> Corpus:
    """Read, clean and split in one call; arguments as in `read_pairs` and `split`.

    Raises RunError if there is no docstring to read, as in an interpreter that ships without sources.
    """
    reading = read_pairs(sources, progress=progress)
    if not reading.pairs:
        raise RunError(f"the demo found no docstring in {reading.files_read} Python files; it needs their sources")
    corpus = split(reading.pairs, held_out=held_out, seed=seed)
    return replace(corpus, files_read=reading.files_read, files_skipped=reading.files_skipped)


def collect(
    sources: Sequence[Source] | None = None,
    *,
    max_per_package: int = MAX_PER_PACKAGE,
    progress: Progress | None = None,
) -> list[Pair]:
    """The pairs of `read_pairs`, without its counts."""
    return read_pairs(sources, max_per_package=max_per_package, progress=progress).pairs


def read_pairs(
    sources: Sequence[Source] | None = None,
    *,
    max_per_package: int = MAX_PER_PACKAGE,
    progress: Progress | None = None,
) -> Reading:
    """Read the pairs of the given files, by default those of the interpreter (`find_sources`).

    max_per_package: files of a package are read, in an order that is random but the same on every
        machine, until they gave this many pairs (4,000), so that one large or generated library is
        neither most of the data nor most of the waiting.
    progress: called with (files done, files in all) after every file.

    A file that is no Python, not in its declared encoding, over 1 MB or unreadable counts as skipped.
    """
    ordered = sorted(find_sources() if sources is None else sources, key=lambda source: _stable_hash(source.module))
    pairs: list[Pair] = []
    taken: Counter[str] = Counter()
    read = skipped = 0
    with _quick_parsing():
        for done, source in enumerate(ordered, start=1):
            if (room := max_per_package - taken[source.package]) > 0:
                found = _read(source)
                read += found is not None
                skipped += found is None
                kept = (found or [])[:room]
                taken[source.package] += len(kept)
                pairs += kept
            if progress is not None:
                progress(done, len(ordered))
    return Reading(pairs, read, skipped)


def split(pairs: Iterable[Pair], *, held_out: int = HELD_OUT, seed: int = 0) -> Corpus:
    """Remove repetitions and hold some packages out, whatever the order of `pairs`.

    held_out: at most this many pairs (2,500), and at most a tenth of all, are held out.
    seed: decides which packages. A package goes whole, and one larger than both a tenth of what may
        be held out and the median package never does, so that many are measured. Nothing is held
        out where no package is that small, which takes fewer than about ten of them.

    A description shared by more than three names ("Return self.") identifies none of them and goes
    altogether; one shared by two or three keeps the first in the alphabet, as do a name with several
    descriptions and descriptions that are nearly the same.
    """
    found = sorted(pairs)
    unique = _without_repeats(found)
    repeated = near_duplicates([pair.description for pair in unique])
    kept = [pair for pair, again in zip(unique, repeated, strict=True) if not again]
    sizes = Counter(pair.package for pair in kept)
    apart = _held_out_packages(sizes, min(held_out, len(kept) // 10), seed)
    return Corpus(
        train=tuple(pair for pair in kept if pair.package not in apart),
        held_out=tuple(pair for pair in kept if pair.package in apart),
        found=len(found),
        duplicates=len(found) - len(unique),
        near_duplicates=len(unique) - len(kept),
        packages=len(sizes),
    )


def _without_repeats(pairs: list[Pair]) -> list[Pair]:
    """Pairs whose description is shared by few, one for each description and one for each name."""
    named = {pair.name: pair for pair in reversed(pairs)}  # reversed: the first one wins
    by_description: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in reversed(named.values()):
        by_description[normalised(pair.description)].append(pair)
    return sorted(alike[0] for alike in by_description.values() if len(alike) <= MAX_SHARED)


def _held_out_packages(sizes: Counter[str], budget: int, seed: int) -> frozenset[str]:
    """Packages in the order of a hash, those that fit."""
    share = max(budget // 10, median_low(sizes.values()) if sizes else 0)
    chosen: set[str] = set()
    for package in sorted(sizes, key=lambda name: _stable_hash(f"{seed}:{name}")):
        if sizes[package] <= min(share, budget):
            chosen.add(package)
            budget -= sizes[package]
    return frozenset(chosen)


def _read(source: Source) -> list[Pair] | None:
    try:
        with source.path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        return None if len(content) > MAX_FILE_BYTES else list(pairs_in(content, module=source.module))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # how a file can fail to parse
        return None


@contextmanager
def _quick_parsing() -> Iterator[None]:
    """Without warnings or the cycle collector, which has nothing to find in a syntax tree but doubles the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an old escape sequence in somebody else's file
            yield
    finally:
        if collecting:
            gc.enable()


def _stable_hash(text: str) -> bytes:
    """Unlike `hash`, the same in every process."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
