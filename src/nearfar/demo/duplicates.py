"""Texts that say the same thing as another text, exactly or nearly."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import ceil

SHINGLE_WORDS = 3
SIMILAR = 0.7


def normalised(text: str) -> str:
    """The words of a text in lower case: what is left when case, punctuation and spacing do not count."""
    return " ".join(re.findall(r"\w+", text.lower()))


def near_duplicates(texts: Sequence[str], *, similar: float = SIMILAR) -> list[bool]:
    """Whether each text nearly repeats an earlier one that is itself no repetition.

    Near means that the sets of word triples of the two texts (of the whole text where it is shorter
    than that) have a Jaccard similarity of `similar` (0.7) or more: one changed word in the middle
    of a line of 12 gives 0.54, a word appended to it 0.91. Exact, not by sampling: two sets that similar
    must share one of their few rarest triples (prefix filtering, Chaudhuri et al. 2006), so only
    texts that do are compared.

    >>> near_duplicates(["Return the sum of all the items.", "Return the sum of all the items, now.", "Sort."])
    [False, True, False]
    """
    shingles = [_shingles(text) for text in texts]
    frequency = Counter(shingle for items in shingles for shingle in items)
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    repeated = []
    for row, items in enumerate(shingles):
        rarest = sorted(items, key=lambda shingle: (frequency[shingle], shingle))
        # 1e-9: 0.7 * 10 may come out above 7, and rounding that up would compare too few.
        prefix = rarest[: len(items) - ceil(similar * len(items) - 1e-9) + 1]
        earlier = {other for shingle in prefix for other in holders[shingle]}
        repeated.append(any(_jaccard(items, shingles[other]) >= similar for other in earlier))
        if not repeated[-1]:
            for shingle in prefix:
                holders[shingle].append(row)
    return repeated


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = normalised(text).split()
    starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
    return frozenset(tuple(words[start : start + SHINGLE_WORDS]) for start in starts)


def _jaccard(first: frozenset[tuple[str, ...]], second: frozenset[tuple[str, ...]]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
