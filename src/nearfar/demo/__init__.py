"""What `nearfar demo` learns from and is measured against, with nothing to download.

The docstrings of the running interpreter make pairs (description, name of what it describes); the task is
to find a function from its description, among packages that were not trained on.

    corpus = docstring_corpus()
    names = [pair.name for pair in corpus.held_out]
    rankings = bm25_rankings([pair.description for pair in corpus.held_out], names)
    retrieval_figures(rankings, np.arange(len(names)))
"""

from nearfar.data.negatives.lexical import snowball
from nearfar.demo.bm25 import bm25_rankings, four_letters
from nearfar.demo.corpus import Corpus, Reading, collect, docstring_corpus, read_pairs, split, table_of
from nearfar.demo.docstrings import Pair
from nearfar.demo.examples import Example, draw_examples, vector_rankings
from nearfar.demo.fields import with_fields
from nearfar.demo.figures import retrieval_figures
from nearfar.demo.sources import Source, find_sources

__all__ = [
    "Corpus",
    "Example",
    "Pair",
    "Reading",
    "Source",
    "bm25_rankings",
    "collect",
    "docstring_corpus",
    "draw_examples",
    "find_sources",
    "four_letters",
    "read_pairs",
    "retrieval_figures",
    "snowball",
    "split",
    "table_of",
    "vector_rankings",
    "with_fields",
]
