"""A static encoder that tells the parts of a name from each other: module, function and arguments.

A mean of word vectors does not know where a word stood, so that the module's words, which all of its
functions share, would weigh as much as those of the function itself. The tokenizer knows: it marks the
letters before " : " and those between "( " and " )", and marked words have pieces, and so vectors, of their own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

# Letters of no language's words, so that the pre-tokenizer leaves them on the word. Prose hardly ever
# has a space before a colon or before a closing bracket at its end, so that descriptions stay unmarked.
_MODULE, _ARGUMENT = "\u02e2", "\u02e3"
_PATTERNS = {_MODULE: r"(?=\w[\w ]* : )", _ARGUMENT: r"(?=\w[\w ]* \)$)"}

# Chosen on a development split of the training part, where 0.4 for modules is hardly worse.
MODULE_LENGTH = 0.3
ARGUMENT_LENGTH = 0.5


def with_fields(
    model: SentenceTransformer, module: float = MODULE_LENGTH, argument: float = ARGUMENT_LENGTH
) -> SentenceTransformer:
    """The untrained encoder again, with vectors of their own for the words of modules and of arguments.

    They start as the vectors of the plain words, but shorter, by the factors `module` and `argument`.
    Only for Unigram tokenizers; plain sentence-transformers opens the result.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

    vectors = model[0].embedding.weight.detach()
    tokenizer, words = marking(model[0].tokenizer)
    starts = torch.cat([vectors, module * vectors[words], argument * vectors[words]])
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, starts), Normalize()], device="cpu")


def marking(tokenizer: Tokenizer) -> tuple[Tokenizer, list[int]]:
    """A copy that marks letters, and the pieces that it has thrice: plain, of a module's word, of an argument's.

    The new ones have the numbers after the old ones, field by field.
    """
    from tokenizers import Tokenizer

    values = json.loads(tokenizer.to_str())
    pieces = values["model"]["vocab"]
    words = [row for row, (piece, _) in enumerate(pieces) if re.search(r"\w", piece)]  # punctuation has no marks
    for mark, pattern in _PATTERNS.items():
        # The same scores, so that a word is cut alike wherever it stands.
        values["model"]["vocab"] += [[re.sub(r"(?=\w)", mark, pieces[row][0]), pieces[row][1]] for row in words]
        rule = {"type": "Replace", "pattern": {"Regex": pattern}, "content": mark}
        values["normalizer"]["normalizers"].append(rule)
    return Tokenizer.from_str(json.dumps(values)), words
