"""Docstrings and identifiers as plain words: the two texts of a pair."""

import inspect
import re
from collections.abc import Iterable

MIN_WORDS = 3
MAX_WORDS = 60
_ENOUGH_WORDS = 6  # a shorter first sentence ("Context manager.") says little: the next one joins it
_MIN_LETTERS = 0.8  # the rest of a text may be digits, punctuation and other scripts

_MARKUP = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"!?\[([^\]]*)\]\([^)]*\)", r"\1"),  # [text](address)
        (r"\[`+([^`\]]*)`+\]", r"\1"),  # [`Name`], a link of doc-builder
        (r":[\w:+.-]+:`[~!]?([^`<]*)(?:<[^`]*>)?`", r"\1"),  # :class:`~a.b`, :ref:`text <label>`
        (r"`([^`<]*?)\s*<[^`]*>`_{0,2}", r"\1"),  # `text <address>`_
        (r"\[[\w#*]+\]_", ""),  # [1]_, a citation
        (r"</?[A-Za-z][^<>]*/?>", " "),  # <Tip>
        (r"\\[a-zA-Z]+\{([^}]*)\}", r"\1"),  # \text{...}
        (r"(?:https?|ftp)://\S+", " "),
        (r"`+(?:_{1,2}(?=\W|$))?", ""),  # ``code``, `target`_
        (r"\*\*|(?<!\w)\*(?=\w[^*]*\*)|(?<=\w)\*(?!\w)", ""),  # **bold**, *emphasis*
        (r"\s+([.,;:!?])(?=\s|$)", r"\1"),
        (r"\(\s*\)", "()"),
        (r"\s+", " "),
        (r"[\s,:;(]+(?:e\.g|i\.e|see)\.?[\s:]*$", ""),  # what followed was an example or an address
    )
)
# A line at which the prose of a paragraph ends although no blank line says so.
_NOT_PROSE = re.compile(
    r"""
    >>> | \.\.[ ] | @\w+ | [-*+\u2022][ ] | \d+[.)][ ] | \# | \| | ``` | \$\$ | [-=~^*_+]{3,}$
    | :\w[^:`]*:(?:\s|$)                                   # :param name:
    | [`*]*\w+[`*]*[ ]\(.*\)[`*]*:                         # name (type):
    | (?: Args? | Arguments? | Attributes? | Examples? | Inputs? | Keyword[ ][Aa]rg\w* | Notes? | Outputs?
        | Parameters? | Params? | Raises | References? | Returns? | See[ ][Aa]lso | Shapes? | Usage
        | Warnings? | Warns | Yields? )\s*:?\s*$           # the heading of a section
    """,
    re.VERBOSE,
)
_SIGNATURE = re.compile(
    r"""
    ^(?:[\w.]+\s*=\s*)? [\w.]+ \([^()]*(?:\([^()]*\)[^()]*)*\) \s*   # result = name(arguments)
    (?:(?:->|-->|=>)\s*[^.]*?)?                                      # -> result
    (?:$|\s*(?:--?|:|\u2014)\s+)                                     # alone, or before "- what it does"
    """,
    re.VERBOSE,
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[a-zA-Z]\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!etc\.)(?<!vs\.)\s+(?=[\"'(]?[A-Z])"
)
_TEMPLATE = re.compile(r"%\(\w+\)s|\{\{|\$\{|\{\w*\}|%s")
_POINTER = re.compile(r"(?:an? )?(?:deprecated )?alias (?:of|for|to)\b|(?:see|same as|inherited|overrid\w+)\b", re.I)
_WORD = re.compile(r"\S*[A-Za-z]\S*")
_CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?!Pv\d)(?=[A-Z][a-z])")  # IPv4 is one word


def describe(docstring: str) -> str | None:
    """The first sentence of a docstring on one line without markup, or None if it says too little.

    Sentences of the first paragraph of prose are joined until they make six words. The result has
    3 to 60 words; what is shorter or longer, no English prose, an unfilled template (`%(klass)s`) or
    a mere pointer ("See the base class.") gives None.

    >>> describe("Return ``x`` of :class:`~a.B`.")
    'Return x of a.B.'
    """
    text = ""
    for sentence in _SENTENCE_END.split(_without_markup(_first_prose(inspect.cleandoc(docstring)))):
        text = f"{text} {sentence}".strip()
        if len(text.split()) >= _ENOUGH_WORDS:
            break
    long_enough = len(_WORD.findall(text)) >= MIN_WORDS and len(text.split()) <= MAX_WORDS
    return text if long_enough and _is_prose(text) else None


def in_words(identifier: str) -> str:
    """`snake_case`, `CamelCase` and `dotted.names` as lower-case words with a space between them.

    >>> in_words("http.HTTPServer_IPv6")
    'http http server ipv6'
    """
    return re.sub(r"[\W_]+", " ", _CASE_CHANGE.sub(" ", identifier)).strip().lower()


def name_text(module: str, qualified_name: str, arguments: Iterable[str]) -> str:
    """How a function is written for the encoder.

    >>> name_text("posixpath", "commonpath", ["paths"])
    'posixpath : commonpath ( paths )'
    """
    listed = " ".join(map(in_words, arguments))
    return " ".join(f"{in_words(module)} : {in_words(qualified_name)} ( {listed} )".split())


def _first_prose(docstring: str) -> str:
    """The first paragraph on one line, up to where it stops being prose; signatures are passed over."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        lines: list[str] = []
        for line in map(str.strip, paragraph.splitlines()):
            if _NOT_PROSE.match(line):
                break
            lines.append(line)
        text = " ".join(lines)
        prose = _SIGNATURE.sub("", text).strip()
        if prose or not text:  # without text it begins with a list, a section or an example: no description
            return prose
    return ""


def _without_markup(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip(" -:;,#*=|_")


def _is_prose(text: str) -> bool:
    letters = len(re.sub(r"[^A-Za-z ]", "", text))
    return letters >= _MIN_LETTERS * len(text) and not _TEMPLATE.search(text) and not _POINTER.match(text)
