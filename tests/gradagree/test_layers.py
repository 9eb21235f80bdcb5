"""Layers of the package: imports point one way, without cycles; class names are unique; no module hides a function."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import gradagree
from tools.structure import LAYERS, class_names, cycles, imports, layer, modules, shadowing, upward

ROOT = Path(__file__).parents[2]
EDGES = imports(ROOT)
FUNCTIONS = [name for name in gradagree.__all__ if inspect.isfunction(getattr(gradagree, name))]


def test_that_every_module_is_in_a_layer() -> None:
    assert {name for name in modules(ROOT) if layer(name, LAYERS) is None} == {"gradagree", "gradagree.__main__"}


def test_that_every_layer_exists() -> None:
    parts = {name.split(".")[1] for name in modules(ROOT) if "." in name}
    assert {part for names in LAYERS for part in ([names] if isinstance(names, str) else names)} <= parts


def test_that_every_import_points_down() -> None:
    assert upward(EDGES, LAYERS) == []


def test_that_there_is_no_import_cycle() -> None:
    assert cycles(EDGES) == []


def test_that_public_class_names_are_unique() -> None:
    assert {name: homes for name, homes in class_names(ROOT).items() if len(homes) > 1} == {}


def test_that_no_module_has_the_name_of_a_public_function() -> None:
    assert {"check", "draw", "run", "survey"} <= set(FUNCTIONS)
    assert shadowing(ROOT, FUNCTIONS) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package with one of each fault: an upward lazy import, a cycle of typing imports, a class twice, a shadow."""
    sources = {
        "gradagree/__init__.py": "",
        "gradagree/check.py": "class Twice: ...\n",
        "gradagree/errors.py": "def f():\n    from gradagree.cases import text\n",
        "gradagree/cases/__init__.py": "",
        "gradagree/cases/text.py": "import typing\nif typing.TYPE_CHECKING:\n    import gradagree.cases.b\n",
        "gradagree/cases/b.py": "import gradagree.cases.text\nclass Twice: ...\n",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path


def test_that_each_fault_would_be_found(tree: Path) -> None:
    edges = imports(tree)
    assert ("gradagree.errors", "gradagree.cases.text") in upward(edges, LAYERS)
    assert ["gradagree.cases.b", "gradagree.cases.text"] in cycles(edges)
    assert class_names(tree)["Twice"] == ["gradagree.cases.b", "gradagree.check"]
    assert shadowing(tree, FUNCTIONS) == ["gradagree.check"]
    assert layer("gradagree.check", LAYERS) is None
