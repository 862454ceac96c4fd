"""From the text of one Python file to its (description, name) pairs, without importing it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nearfar.demo.wording import describe, name_text

MAX_ARGUMENTS = 12

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef
_Block = ast.If | ast.Try | ast.With


@dataclass(frozen=True, order=True)
class Pair:
    """A description in prose, the name of what it describes, and the top-level package of that."""

    description: str
    name: str
    package: str


def pairs_in(source: bytes, *, module: str) -> Iterator[Pair]:
    """Every function, method and class of a module whose docstring describes it.

    Left out are special methods (`__len__` is described alike everywhere) and what is defined inside
    a function, which cannot be found by a name. Raises SyntaxError or ValueError if `source` is no
    Python, in its declared encoding.
    """
    if b'"""' not in source and b"'''" not in source:
        return  # parsing is nearly all of the time, and one file in five has no docstring
    package = module.partition(".")[0]
    for qualified_name, node in _definitions(ast.parse(source).body):
        docstring = ast.get_docstring(node, clean=False)
        if docstring and (description := describe(docstring)):
            yield Pair(description, name_text(module, qualified_name, _arguments(node)), package)


def _definitions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, _Definition]]:
    for node in body:
        if isinstance(node, _Definition):
            if not (node.name.startswith("__") and node.name.endswith("__")):
                yield owner + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, _Block):
            for block in _blocks(node):
                yield from _definitions(block, owner)


def _blocks(node: _Block) -> Iterator[list[ast.stmt]]:
    yield node.body
    if isinstance(node, ast.If | ast.Try):
        yield node.orelse
    if isinstance(node, ast.Try):
        yield from (handler.body for handler in node.handlers)
        yield node.finalbody


def _arguments(node: _Definition) -> list[str]:
    """Names of the first arguments, of `__init__` for a class; self, cls and starred ones say nothing."""
    if isinstance(node, ast.ClassDef):
        makers = (item for item in node.body if isinstance(item, _Function) and item.name == "__init__")
        return next(map(_arguments, makers), [])
    declared = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return [item.arg for item in declared if item.arg not in ("self", "cls")][:MAX_ARGUMENTS]
