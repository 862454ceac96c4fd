"""The house in order: imports go one way, files and functions stay small, public names hold what they promise."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nearfar
from nearfar.objectives import REGISTRY

SOURCE = Path(nearfar.__file__).parent
LAYERS = (
    ("errors", "hub"),
    ("config",),
    ("settings",),
    ("contrasts",),
    ("execution",),
    ("objectives",),
    ("testing",),
    ("data",),
    ("encoders",),
    ("mining",),
    ("analysis",),
    ("live",),
    ("training",),
    ("comparing",),
    ("words",),
    ("integrations",),
    ("demo",),
    ("commands",),
    ("__main__",),
)
"""Lowest first. A module imports from its own package and from lower layers."""
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FILES = sorted(SOURCE.rglob("*.py"))
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def package_of(path: Path) -> str:
    """The name directly under nearfar that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name directly under nearfar of each import in a file, those inside functions included."""
    here = ("nearfar", *path.relative_to(SOURCE).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [*here[: -node.level]] if node.level else []
            base = start + (node.module.split(".") if node.module else [])
            modules = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for parts in modules:
            if parts[0] == "nearfar" and len(parts) > 1:
                yield node.lineno, nearfar._HOME.get(parts[1], parts[1])
            elif parts == ["nearfar"]:
                yield node.lineno, "nearfar"


@every_file
def test_imports_go_one_way(path: Path) -> None:
    if path == SOURCE / "__init__.py":  # it names everything
        return
    here = package_of(path)
    for line, there in imported(path):
        assert there in RANK, f"{path.name}:{line} imports {there}, which is in no layer"
        assert there == here or RANK[there] < RANK[here], f"{path.name}:{line} {here} imports {there}"


def test_every_package_is_in_a_layer() -> None:
    assert {package_of(path) for path in FILES} - {"__init__"} == set(RANK)


@every_file
def test_modules_and_functions_can_be_read_in_one_sitting(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{path.name}:{node.lineno} {node.name} has {length} lines"


def modules() -> list[str]:
    """Every module but those that run when they are imported."""
    names = [module.name for module in pkgutil.walk_packages([str(SOURCE)], "nearfar.")]
    return [name for name in names if not name.endswith("__main__")]


def public() -> Iterator[tuple[str, Any]]:
    """Classes and functions that a module of nearfar defines under a public name, and the methods of such classes."""
    for name in modules():
        module = importlib.import_module(name)
        for label, thing in vars(module).items():
            if label.startswith("_") or getattr(thing, "__module__", None) != name:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{name}.{label}", thing


def test_every_public_name_can_be_imported_and_is_offered() -> None:
    assert dir(nearfar) == sorted(dir(nearfar))
    assert nearfar.__all__ == dir(nearfar)
    assert len(set(nearfar.__all__)) == len(nearfar.__all__)
    for name in nearfar.__all__:
        assert callable(getattr(nearfar, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nearfar.nothing  # noqa: B018


def test_type_checkers_see_the_names_that_are_there() -> None:
    """`__all__`, the table of homes and the imports for type checkers say the same."""
    guarded = next(
        node for node in ast.parse((SOURCE / "__init__.py").read_text("utf-8")).body if isinstance(node, ast.If)
    )
    homes = {alias.name: node.module for node in guarded.body for alias in node.names}
    assert set(homes) == set(nearfar.__all__)
    assert {name: f"nearfar.{home}" for name, home in nearfar._HOME.items()} | {
        "execution": "nearfar.execution"
    } == homes


@pytest.mark.parametrize("package", [name for name in modules() if "." not in name.removeprefix("nearfar.")])
def test_what_a_package_offers_is_there(package: str) -> None:
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name), name


def loaded_after(statement: str, *names: str) -> set[str]:
    """Which of these modules a fresh interpreter has after the statement."""
    check = f"{statement}; import sys; print(*(set({names!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_costs_nothing_until_a_name_is_used() -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "datasets", "accelerate", "sklearn", "scipy", "pandas")
    assert loaded_after("import nearfar; dir(nearfar)", *heavy) == set()


def test_a_loss_costs_torch_alone() -> None:
    heavy = ("transformers", "sentence_transformers", "datasets", "accelerate", "sklearn", "pandas", "pyarrow", "typer")
    assert loaded_after("import nearfar; nearfar.InfoNCELoss; nearfar.pairs; nearfar.execution", *heavy) == set()


def exported() -> Iterator[tuple[str, Any]]:
    """What `nearfar` and its packages offer by `__all__`, and the public methods of it."""
    for package in ("nearfar", *modules()):
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            yield f"{package}.{name}", thing
            if inspect.isclass(thing):
                for label, method in inspect.getmembers(thing, callable):
                    if not label.startswith("_") and getattr(method, "__module__", "").startswith("nearfar"):
                        yield f"{package}.{name}.{label}", method


def test_no_public_signature_takes_any_keyword() -> None:
    for name, thing in exported():
        if not (inspect.isfunction(thing) or inspect.ismethod(thing)):
            continue
        kinds = [parameter.kind for parameter in inspect.signature(thing).parameters.values()]
        assert inspect.Parameter.VAR_KEYWORD not in kinds, name


@pytest.mark.parametrize("objective", REGISTRY.values(), ids=REGISTRY)
def test_hyper_parameters_are_keyword_only(objective: type) -> None:
    for parameter in inspect.signature(objective).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is not inspect.Parameter.empty


@pytest.mark.parametrize("objective", REGISTRY.values(), ids=REGISTRY)
def test_an_objective_says_its_equation_and_its_source(objective: type) -> None:
    assert objective.equation
    assert objective.source
    for name in inspect.signature(objective).parameters:
        assert re.search(rf"^\s*[\w, ]*\b{name}\b[\w, ]*:", inspect.getdoc(objective), re.M), f"{name} is undocumented"


def test_every_public_class_and_function_has_a_docstring() -> None:
    bare = [name for name, thing in public() if not written_doc(thing)]
    assert not bare


def written_doc(thing: Any) -> str | None:
    """The docstring that stands in the source: dataclasses get a made-up one, and pydantic's is inherited."""
    node = ast.parse(inspect.cleandoc("\n" + inspect.getsource(thing))).body[0]
    return ast.get_docstring(node)


@every_file
def test_every_module_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert ast.get_docstring(tree) or path.name == "__main__.py"
