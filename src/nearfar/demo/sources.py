"""Which Python files the demo reads: the standard library and the installed packages.

Nothing is imported or run; a file is only named here, with the package it belongs to.
"""

import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests, copies of other projects, and the corners of the standard library that nobody searches.
_TESTS = {"benchmarks", "examples", "test", "testing", "tests"}
_COPIES = {"_vendor", "_vendored", "extern", "externals", "third_party", "vendor", "vendored"}
_CORNERS = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "turtledemo"}
_SKIPPED_FOLDERS = _TESTS | _COPIES | _CORNERS


@dataclass(frozen=True, order=True)
class Source:
    """A Python file, the dotted name it is imported by, and the top-level package of that name."""

    package: str
    module: str
    path: Path


def interpreter_roots() -> tuple[Path, ...]:
    """The folders of the standard library and of the packages of the running interpreter."""
    paths = sysconfig.get_paths()
    return tuple(Path(root) for root in dict.fromkeys(paths[key] for key in ("stdlib", "purelib", "platlib")))


def find_sources(roots: Iterable[Path] | None = None) -> list[Source]:
    """Every Python file below `roots` that is worth reading, sorted by name.

    roots: folders on the import path; by default those of `interpreter_roots`. A folder that is
        missing or empty adds nothing. Where two roots hold the same module, the first wins, as it
        does in an import.
    """
    found: dict[str, Source] = {}
    for root in interpreter_roots() if roots is None else roots:
        for source in _below(root):
            found.setdefault(source.module, source)
    return sorted(found.values())


def _below(root: Path) -> Iterator[Source]:
    for folder, folders, files in os.walk(root):
        # What is no identifier cannot be imported: site-packages in the library, metadata, binaries.
        folders[:] = [name for name in folders if name.isidentifier() and name not in _SKIPPED_FOLDERS]
        parents = Path(folder).relative_to(root).parts
        for file in files:
            stem, extension = os.path.splitext(file)
            if extension == ".py" and stem.isidentifier() and not _is_test(stem):
                parts = parents if stem == "__init__" else (*parents, stem)
                if parts:
                    yield Source(parts[0], ".".join(parts), Path(folder, file))


def _is_test(stem: str) -> bool:
    return stem.startswith("test_") or stem.endswith("_test") or stem == "conftest"
