"""Judgements of relevance as TREC writes them: lines "query 0 document relevance", without a header."""

from __future__ import annotations

import re
from pathlib import Path

from nearfar.data.parts import Part
from nearfar.data.readers import READERS, Block
from nearfar.errors import InputError

TREC = re.compile(r"\s*(\S+)\s+\S+\s+(\S+)\s+([+-]?\d+)\s*")


def is_trec(source: str | Path) -> bool:
    """Whether a file's first line is a judgement as TREC writes it."""
    try:
        first = next(READERS[".txt"](Path(source)), None) if Path(source).is_file() else None
    except (InputError, OSError):  # no text, which whoever reads it says better
        return False
    return first is not None and TREC.fullmatch(first.cells["text"][0]) is not None


def trec_part(path: Path) -> Part:
    """Such a file as query_id, doc_id and relevance."""
    return Part(str(path), "", lambda: (_trec_block(path, block) for block in READERS[".txt"](path)))


def _trec_block(path: Path, block: Block) -> Block:
    found = [TREC.fullmatch(line) for line in block.cells["text"]]
    if None in found:
        place = block.place(found.index(None))
        raise InputError(f"{path}: {place}: found no judgement, wanted four fields: query, 0, document, relevance")
    fields = zip(*(match.groups() for match in found if match), strict=True)
    return Block(dict(zip(("query_id", "doc_id", "relevance"), map(list, fields), strict=True)), block.place)
