"""Relevance: queries, documents and judgements to anchor, positive and negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nearfar.data.convert.base import Converted, converted
from nearfar.data.convert.judged import Judgement, combine
from nearfar.data.limits import check_least
from nearfar.errors import InputError


@dataclass(frozen=True)
class Relevance:
    """A retrieval collection.

    Attributes:
        queries: id -> text.
        documents: id -> text, which may be empty.
        judgements: (query id, document id, relevance).
        source: for messages.
    """

    queries: Mapping[str, str]
    documents: Mapping[str, str]
    judgements: Sequence[tuple[str, str, float]]
    source: str = "relevance"


def convert_relevance(
    collection: Relevance,
    *,
    near: float = 1,
    far: float | None = None,
    negatives: int = 1,
    draw: bool = True,
    seed: int = 0,
) -> Converted:
    """Each query with every document judged relevant; as negatives those judged not relevant first, then drawn ones.

    Args:
        collection: queries, documents, judgements.
        near: the least relevance of a positive.
        far: the largest of a negative; None takes all below `near`.
        negatives: of a row.
        draw: whether documents that nobody judged for a query fill up its negatives. Some of them may be relevant,
            the more so where few were judged. Without it a query with fewer negatives is left out.
        seed: of what is drawn.

    Raises:
        InputError: thresholds cross, or no row can be made.
    """
    check_least("negatives", negatives, 0)
    if far is not None and not far < near:
        raise InputError(f"far: found {far:g}, wanted a number below near, {near:g}")
    judgements, reasons = [], dict[int, str]()
    for row, (query, document, relevance) in enumerate(collection.judgements):
        if fault := _fault(collection, query, document):
            reasons[row] = fault
        elif far is not None and far < relevance < near:
            reasons[row] = f"of a relevance above {far:g} and below {near:g}"
        else:
            texts = collection.queries[query], collection.documents[document]
            judgements.append(Judgement(row, *texts, relevance >= near))
    drawn = _Drawn(collection, negatives if draw else 0, seed)
    made = combine(judgements, negatives=negatives, fill=drawn, need="documents judged not relevant")
    made.reasons |= reasons
    unjudged = collection.queries.keys() - {query for query, _, _ in collection.judgements}
    return converted(
        made.rows,
        negatives=negatives,
        source=collection.source,
        read=len(collection.judgements),
        left_out=made.left_out(),
        noted=[("queries without a judgement", len(unjudged)), ("negatives drawn, not judged", made.filled)],
    )


def _fault(collection: Relevance, query: str, document: str) -> str | None:
    if query not in collection.queries:
        return "of a query that is not there"
    if document not in collection.documents:
        return "of a document that is not there"
    return None if collection.documents[document] else "of a document without text"


@dataclass
class _Drawn:
    """Draws documents that nobody judged for a query."""

    collection: Relevance
    negatives: int
    seed: int
    texts: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.generator = np.random.default_rng(self.seed)
        self.texts = [text for text in dict.fromkeys(self.collection.documents.values()) if text]

    def __call__(self, query: str, near: Sequence[str], far: Sequence[str]) -> list[str]:
        """As many as the rows of all near texts lack, and there are."""
        judged = {query, *near, *far}
        wanted = min(self.negatives * len(near) - len(far), len(self.texts) - len(judged.intersection(self.texts)))
        found: dict[str, None] = {}
        while len(found) < wanted:
            drawn = (self.texts[number] for number in self.generator.integers(len(self.texts), size=wanted).tolist())
            found.update(dict.fromkeys(text for text in drawn if text not in judged))
        return list(found)[: max(wanted, 0)]
