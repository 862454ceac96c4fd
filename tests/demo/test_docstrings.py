"""What is read from a file, and how it is worded."""

import pytest

from nearfar.demo.docstrings import pairs_in
from nearfar.demo.wording import MAX_WORDS, describe, in_words, name_text

MODULE = b'''
"""The docstring of a module describes no name."""

class OuterBox(Base):
    """A box that may hold other boxes inside of it."""

    def __init__(self, maxSize, *, lid_open=False, **settings):
        """Set up the box from its size and its lid."""

    def __len__(self):
        """Return the number of boxes in the box."""

    class Inner:
        """The smaller box that comes with every box."""

        @property
        def width(self):
            """The width of the inner box in millimetres."""

async def fetch_page(url, /, *parts, timeout=3):
    """Fetch a page and wait for all of its parts."""
    def helper():
        """Do the work that nobody can import from here."""

try:
    import fast
except ImportError:
    def _slow_sum(values):
        r"""Add up the values one after the other."""

def undocumented(): ...
def terse():
    """Too short."""
'''


def test_every_findable_definition_gives_its_description_and_name() -> None:
    found = {pair.name: pair.description for pair in pairs_in(MODULE, module="shop.boxes")}
    assert found == {
        "shop boxes : outer box ( max size lid open )": "A box that may hold other boxes inside of it.",
        "shop boxes : outer box inner ( )": "The smaller box that comes with every box.",
        "shop boxes : outer box inner width ( )": "The width of the inner box in millimetres.",
        "shop boxes : fetch page ( url timeout )": "Fetch a page and wait for all of its parts.",
        "shop boxes : slow sum ( values )": "Add up the values one after the other.",
    }
    assert {pair.package for pair in pairs_in(MODULE, module="shop.boxes")} == {"shop"}


@pytest.mark.parametrize("source", [b'def broken(:\n  """Never closed."""', b'x = """\0"""', b'"""\xff\xfe"""'])
def test_what_is_no_python_raises(source: bytes) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        list(pairs_in(source, module="broken"))


def test_a_declared_encoding_is_respected() -> None:
    source = '# -*- coding: latin-1 -*-\ndef cafe():\n    """Serve a hot café to the guest."""'.encode("latin-1")
    assert [pair.description for pair in pairs_in(source, module="bar")] == ["Serve a hot café to the guest."]


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        ("Add two numbers\n    and return the sum.\n\n    More of it.", "Add two numbers and return the sum."),
        ("Add two numbers and return them.  Then rest.", "Add two numbers and return them."),
        ("Context manager. Closes the file when it ends.", "Context manager. Closes the file when it ends."),
        ("Read a file, e.g. A or i.e. B in it. Second.", "Read a file, e.g. A or i.e. B in it."),
        ("Sort the list.\n>>> sort([2, 1])\n[1, 2]", "Sort the list."),
        ("Sort the list now.\n:param x: the list\n:returns: it", "Sort the list now."),
        ("Sort the list now.\nParameters\n----------\nx : list", "Sort the list now."),
        ("Sort the list now.\nArgs:\n    x: the list", "Sort the list now."),
        ("Sort the list now\n=================\n\nBody.", "Sort the list now"),
        ("sort(x, key=(1, 2)) -> list\n\nSort the list by a key.", "Sort the list by a key."),
        ("sort(x) -> list: Sort the list by a key.", "Sort the list by a key."),
        ("Call :meth:`~list.sort` on ``x`` and `y`_ [1]_ **twice**.", "Call list.sort on x and y twice."),
        ("See `the manual <http://x.y/z>`_ or [`Box`] or [this](http://a.b).", None),
        ("Read [the page](http://a.b) of `the manual <c>`_.", "Read the page of the manual."),
        ("The number of words *per* line of a * b.", "The number of words per line of a * b."),
        ("x (`int`, *optional*):\n    The number of things.", None),
        (">>> only.a.doctest()\n1", None),
        ("Returns:\n    The number of things in it.", None),
        ("Sort %(klass)s by its own key.", None),
        ("Alias of the sorting function above.", None),
        ("리스트를 정렬하여 돌려준다 and no more.", None),
        ("Two words.", None),
        ("word " * (MAX_WORDS + 1), None),
        ("", None),
    ],
)
def test_descriptions_read_as_a_person_writes(docstring: str, description: str | None) -> None:
    assert describe(docstring) == description


def test_names_become_words() -> None:
    assert in_words("parse_HTTPResponse") == "parse http response"
    assert in_words("_private.IPv6Address") == "private ipv6 address"
    assert in_words("BatchNorm2d") == "batch norm2d"
    assert name_text("posixpath", "commonpath", ["paths"]) == "posixpath : commonpath ( paths )"
    assert name_text("json", "dumps", []) == "json : dumps ( )"
    assert name_text("json", "dumps", ["_", "sort_keys"]) == "json : dumps ( sort keys )"
