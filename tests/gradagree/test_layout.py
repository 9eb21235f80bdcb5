"""Layout of the code: files of one topic, functions that fit a screen, names that shadow nothing."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gradagree

ROOT = Path(__file__).parents[2]
LONGEST_FILE, LONGEST_FUNCTION = 500, 60
FILES = sorted(
    path for folder in ("reference", "adapters", "gradagree") for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Every function with its number of lines, decorators included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def test_that_there_are_files_and_none_is_counted_twice() -> None:
    assert {path.parent.name for path in FILES} >= {"reference", "adapters", "gradagree", "arithmetic", "report"}
    assert len({path.resolve() for path in FILES}) == len(FILES)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_that_a_file_is_of_one_topic_and_no_longer_than_the_house_allows(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_that_a_function_fits_a_screen(path: Path) -> None:
    long = {name: lines for name, lines in functions(path.read_text(encoding="utf-8")) if lines > LONGEST_FUNCTION}
    assert long == {}


def test_that_a_long_function_would_be_seen() -> None:
    source = "class C:\n    @property\n    def f(self):\n" + "        x = 1\n" * 59
    assert list(functions(source)) == [("f", 61)]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_that_every_module_says_what_it_is(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert said.splitlines()[0].endswith((".", ":"))


def packages() -> list[ModuleType]:
    names = [gradagree.__name__]
    for package in names:
        found = pkgutil.iter_modules(importlib.import_module(package).__path__)
        names += [f"{package}.{module.name}" for module in found if module.ispkg]
    return [importlib.import_module(name) for name in names]


def hidden(exported: dict[str, Any], modules: set[str]) -> set[str]:
    """Names that a package exports as a function or class and that a module of it bears too."""
    return {name for name, value in exported.items() if name in modules and not isinstance(value, ModuleType)}


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.__name__)
def test_that_no_module_bears_the_name_of_a_public_function(package: ModuleType) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    exported = {name: getattr(package, name) for name in getattr(package, "__all__", vars(package))}
    assert hidden(exported, modules) == set()


def test_that_a_module_that_hides_a_function_would_be_seen() -> None:
    assert hidden({"check": len, "errors": ast, "draw": len}, {"check", "errors", "drawing"}) == {"check"}


def test_that_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    assert {package.__name__ for package in packages()} <= set(listed)
