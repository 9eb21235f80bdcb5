"""tools/structure.py reads imports, circles, layers and class names from the sources."""

from pathlib import Path

import pytest

from tools import structure

SOURCES = {
    "gradagree/__init__.py": "def check():\n    from gradagree.api import check\n",
    "gradagree/api.py": "from gradagree import checker\nclass Report: ...\n",
    "gradagree/checker/__init__.py": "",
    "gradagree/checker/bounds.py": (
        "import gradagree.reference.boxes\nfrom .exact import Ball\nclass Bound: ...\nclass _Own: ...\n"
    ),
    "gradagree/checker/exact.py": "def f():\n    from gradagree.checker import bounds\nclass Ball: ...\n",
    "reference/__init__.py": "",
    "reference/boxes.py": (
        "from typing import TYPE_CHECKING\nimport numpy\n"
        "if TYPE_CHECKING:\n    from gradagree.api import Report\nclass Bound: ...\n"
    ),
    "adapters/__init__.py": "from . import probes\n",
    "adapters/probes.py": "",
}
LAYERS = ["reference", "adapters", "checker", "api"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name in ("reference", "adapters"):
        (tmp_path / "gradagree" / name).symlink_to(Path("..") / name)
    return tmp_path


def test_that_a_module_has_the_name_it_is_imported_by(root: Path) -> None:
    assert set(structure.modules(root)) == {
        "gradagree", "gradagree.api", "gradagree.checker", "gradagree.checker.bounds", "gradagree.checker.exact",
        "gradagree.reference", "gradagree.reference.boxes", "gradagree.adapters", "gradagree.adapters.probes",
    }  # fmt: skip


def test_that_lazy_typing_and_relative_imports_count(root: Path) -> None:
    assert structure.imports(root) == {
        "gradagree": {"gradagree.api"},
        "gradagree.adapters": {"gradagree.adapters.probes"},
        "gradagree.adapters.probes": set(),
        "gradagree.api": {"gradagree.checker"},
        "gradagree.checker": set(),
        "gradagree.checker.bounds": {"gradagree.reference.boxes", "gradagree.checker.exact"},
        "gradagree.checker.exact": {"gradagree.checker.bounds"},
        "gradagree.reference": set(),
        "gradagree.reference.boxes": {"gradagree.api"},
    }


def test_that_a_circle_is_seen(root: Path) -> None:
    assert structure.cycles(structure.imports(root)) == [["gradagree.checker.bounds", "gradagree.checker.exact"]]


def test_that_a_long_circle_is_one_and_a_chain_is_none() -> None:
    assert structure.cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}) == [["a", "b", "c"]]


def test_that_an_import_from_a_later_layer_is_seen(root: Path) -> None:
    edges = structure.imports(root)
    assert structure.upward(edges, LAYERS) == [("gradagree.reference.boxes", "gradagree.api")]
    assert ("gradagree.api", "gradagree.checker") in structure.upward(edges, ["reference", ["checker", "api"]])


def test_that_classes_of_one_name_are_seen(root: Path) -> None:
    assert structure.class_names(root) == {
        "Ball": ["gradagree.checker.exact"],
        "Bound": ["gradagree.checker.bounds", "gradagree.reference.boxes"],
        "Report": ["gradagree.api"],
    }
