"""What conversions read: columns that no `Table` has, and the three files of a retrieval collection."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearfar.data.cells import listed
from nearfar.data.checking import Find, Where, checked_batches
from nearfar.data.convert.relevance import Relevance
from nearfar.data.convert.trec import is_trec, trec_part
from nearfar.data.parts import find_parts
from nearfar.data.roles import Mapped, first_of
from nearfar.data.tables import columns_of
from nearfar.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Names = Mapping[str, Sequence[str]]
"""Role -> names that its column may have where no mapping says so."""

SHAPES: dict[str, Names] = {
    "nli": {"premise": ("premise",), "hypothesis": ("hypothesis",), "label": ("label",)},
    "scores": {"sentence1": ("sentence1",), "sentence2": ("sentence2",), "score": ("score",)},
    "labels": {"text": ("text",), "label": ("label",)},
}
QUERIES: Names = {"query_id": ("query_id", "query-id", "qid", "_id", "id"), "text": ("text", "query")}
CORPUS: Names = {
    "doc_id": ("doc_id", "corpus-id", "docid", "_id", "id"),
    "title": ("title",),
    "body": ("text", "body"),
}
QRELS: Names = {
    "query_id": ("query_id", "query-id", "qid"),
    "doc_id": ("doc_id", "corpus-id", "docid"),
    "relevance": ("relevance", "score", "rel"),
}
OPTIONAL = ("title",)


def read_columns(
    sources: Sequence[str | Path], names: Names, *, columns: Mapped | None = None, where: Where | None = None
) -> list[pa.RecordBatch]:
    """The rows of some sources by these roles, checked as those of a table, in memory.

    Args:
        sources: of each what `read_table` reads, all with these roles.
        names: roles, and what their columns are called.
        columns: role -> the user's name for its column, which goes before.
        where: as of `read_table`.

    Raises:
        InputError: as `read_table`, or a source has no such column.
    """
    parts = [part for source in sources for part in find_parts(source)]
    return list(checked_batches(parts, columns, where, _finder(names)))


def shape_of(columns: Collection[str], mapped: Mapped | None) -> str | None:
    """The name of the first of `SHAPES` that these columns have."""
    return next((shape for shape, names in SHAPES.items() if not _missing(names, columns, mapped)), None)


def collection_of(sources: Sequence[str]) -> tuple[str, str, str] | None:
    """Queries, corpus and judgements, where the sources are these three, or one folder with files of these names."""
    if len(sources) == 3:
        return sources[0], sources[1], sources[2]
    if len(sources) != 1 or not Path(sources[0]).is_dir():
        return None
    files = {file.name.partition(".")[0]: str(file) for file in sorted(Path(sources[0]).iterdir()) if file.is_file()}
    if not {"queries", "corpus", "qrels"} <= files.keys():
        return None
    return files["queries"], files["corpus"], files["qrels"]


def is_qrels(source: str, mapped: Mapped | None = None) -> bool:
    """Whether a source holds judgements of relevance."""
    return is_trec(source) or not _missing(QRELS, columns_of(source), mapped)


def check_known(mapped: Mapped, *known: Names) -> None:
    """Raise an InputError where a mapping names a role that these have not."""
    roles = dict.fromkeys(role for names in known for role in names)
    for role in mapped:
        if role not in roles:
            near = difflib.get_close_matches(role, roles, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"--column: found role {role!r}, wanted one of {', '.join(roles)}{hint}")


def read_relevance(
    queries: str | Path, corpus: str | Path, qrels: str | Path, *, columns: Mapped | None = None
) -> Relevance:
    """The three sources of a retrieval collection.

    Args:
        queries: query_id (or qid, _id, id), text.
        corpus: doc_id (or docid, _id, id), title where there is one, text (or body). A title goes before the text,
            unless the text begins with it.
        qrels: query_id, doc_id (or corpus-id), relevance (or score); or lines "query 0 document relevance" without a
            header, as of TREC.
        columns: role -> column; the text of a document has the role `body`.

    Raises:
        InputError: as `read_table`, or an id is there twice.
    """
    asked = _by_id(read_columns([queries], QUERIES, columns=columns), "query_id", queries)
    documents = _by_id(read_columns([corpus], CORPUS, columns=columns), "doc_id", corpus)
    parts = [trec_part(Path(qrels))] if is_trec(qrels) else find_parts(qrels)
    judged = _rows(list(checked_batches(parts, columns, None, _finder(QRELS))))
    return Relevance(
        {key: row["text"] for key, row in asked.items()},
        {key: _document(row.get("title", ""), row["body"]) for key, row in documents.items()},
        [(row["query_id"], row["doc_id"], row["relevance"]) for row in judged],
        source=str(qrels),
    )


def _finder(names: Names) -> Find:
    def find(there: Collection[str], mapped: Mapped | None, source: str) -> dict[str, str]:
        if missing := _missing(names, there, mapped):
            raise InputError(
                f"{source}: found columns {listed(there) or 'none'}, wanted"
                f" {', '.join(role for role in names if role not in OPTIONAL)}"
                f" (--column {missing[0]}=NAME says which column plays a role)"
            )
        return {role: name for role in names if (name := _name(role, names, there, mapped)) is not None}

    return find


def _missing(names: Names, there: Collection[str], mapped: Mapped | None) -> list[str]:
    return [role for role in names if role not in OPTIONAL and _name(role, names, there, mapped) is None]


def _name(role: str, names: Names, there: Collection[str], mapped: Mapped | None) -> str | None:
    wanted = (mapped or {}).get(role, ())
    return first_of([*([wanted] if isinstance(wanted, str) else wanted), *names[role]], there)


def _rows(batches: Sequence[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


def _by_id(batches: Sequence[pa.RecordBatch], role: str, source: str | Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in _rows(batches):
        if row[role] in found:
            raise InputError(f"{source}: found {role} {row[role]!r} twice, wanted it once")
        found[row[role]] = row
    return found


def _document(title: str, text: str) -> str:
    return text if text.startswith(title) else f"{title} {text}".strip()
