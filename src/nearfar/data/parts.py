"""Parts: what a user's name of a source stands for, file by file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.data.readers import COMPRESSED, READERS, SUPPORTED, Block, format_of, numbered_blocks, read_blocks
from nearfar.errors import InputError
from nearfar.hub import reachable

if TYPE_CHECKING:
    import datasets


@dataclass(frozen=True)
class Part:
    """A file, or something like one.

    Attributes:
        name: for messages.
        stamp: changes when the content does.
        blocks: opens it and yields its rows.
    """

    name: str
    stamp: str
    blocks: Callable[[], Iterator[Block]]


def find_parts(source: str | Path, split: str | None = None, *, streaming: bool = False) -> list[Part]:
    """The parts of a file, a folder of files, a saved data set or a data set on the hub, none of them read yet.

    Args:
        source: one of these.
        split: of a saved data set or one on the hub; "train" by default.
        streaming: whether a data set on the hub is read from there row by row, without a copy on disk.

    Raises:
        InputError: there is no such thing, or it holds nothing that can be read.
    """
    try:
        return _find_parts(source, split, streaming)
    except OSError as error:  # no permission, a name too long, a loop of links
        raise InputError(f"{error.filename or source}: cannot be read ({error.strerror or error})") from error


def _find_parts(source: str | Path, split: str | None, streaming: bool) -> list[Part]:
    path = Path(source)
    if not str(source).strip():
        raise InputError("found an empty name, wanted a file, a folder or a data set on the hub")
    if path.is_dir():
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            return [_saved_part(path, split)]
        files = sorted(file for file in path.iterdir() if _may_be_read(file))
        if not files:
            raise InputError(f"{source}: found a folder without a file that can be read, wanted {SUPPORTED}")
        return [_file_part(file) for file in files]
    if path.exists():
        return [_file_part(path)]
    if _names_a_file(path, str(source)):
        raise InputError(f"{source}: found no such file, wanted a file, a folder or a data set on the hub")
    return [_hub_part(str(source), split or "train", streaming)]


def _may_be_read(file: Path) -> bool:
    return not file.name.startswith(".") and format_of(file) in READERS and not file.is_dir()


def _names_a_file(path: Path, name: str) -> bool:
    has_suffix = format_of(path) in READERS or path.suffix.lower() in COMPRESSED
    return has_suffix or name.count(os.sep) > 1 or name[0] in "./~"


def _file_part(path: Path) -> Part:
    return Part(str(path), _stamp(path), lambda: read_blocks(path))


def _stamp(path: Path) -> str:
    # the time of the last change of the inode is there for copies that keep size and modification time
    stat = path.stat()
    return f"{path.absolute()}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _saved_part(path: Path, split: str | None) -> Part:
    import datasets

    try:
        with quiet():
            found = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever a damaged folder makes Arrow or the JSON reader raise
        raise InputError(f"{path}: found no readable saved data set ({_reason(error)})") from error
    if isinstance(found, datasets.DatasetDict):
        wanted = split or "train"
        if wanted not in found:
            raise InputError(f"{path}: found the splits {', '.join(found)}, wanted {wanted}")
        found = found[wanted]
    return _dataset_part(str(path), found)


def _hub_part(name: str, split: str, streaming: bool) -> Part:
    import datasets

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        datasets.config.HF_HUB_OFFLINE = offline or not reachable()
        with quiet():
            found = datasets.load_dataset(name, split=split, streaming=streaming)
            return Part(name, "", lambda: _dataset_blocks(name, found)) if streaming else _dataset_part(name, found)
    except Exception as error:  # whatever the hub, the network or a loader raise
        raise InputError(
            f"{name}: found neither a file, a folder nor a reachable hub data set ({_reason(error)})"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline


def _dataset_part(name: str, found: datasets.Dataset) -> Part:
    stamps = [_stamp(Path(file["filename"])) for file in found.cache_files]
    return Part(name, ":".join([found._fingerprint, *stamps]), lambda: _dataset_blocks(name, found))


def _dataset_blocks(name: str, found: datasets.Dataset | datasets.IterableDataset) -> Iterator[Block]:
    """The rows of a data set, with the names of labels that it holds as numbers."""
    import datasets

    names = {
        column: dict(enumerate(feature.names))
        for column, feature in (found.features or {}).items()  # a stream may not know them
        if isinstance(feature, datasets.ClassLabel)
    }
    try:
        for block in numbered_blocks(found.with_format("arrow").iter(1_000)):
            named = {column: [of.get(cell) for cell in block.cells[column]] for column, of in names.items()}
            yield Block({**block.cells, **named}, block.place)
    except Exception as error:  # whatever a damaged file makes Arrow raise, not to be taken for a fault of the cache
        raise InputError(f"{name}: cannot be read ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and notes of `datasets`, which are as the user has set them afterwards."""
    import datasets
    from datasets.utils import logging

    verbosity, without_bars = logging.get_verbosity(), datasets.are_progress_bars_disabled()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if not without_bars:
            datasets.enable_progress_bars()
