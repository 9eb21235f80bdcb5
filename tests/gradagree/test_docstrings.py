"""The docstrings of public names: every argument is described, and every example gives what it shows."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

import gradagree
from gradagree import Case
from gradagree.adapters import Adapter
from gradagree.reference import Activation, ErrorFunction, training
from gradagree.reference.contract import implementation_names
from tools.python_page import HOMES, names

PUBLIC = {f"{home}.{name}": getattr(importlib.import_module(home), name) for home in HOMES for name in names(home)}
PUBLIC |= {
    f"gradagree.reference.training.{thing.__name__}": thing
    for thing in (training.train, training.Network, training.NetworkWeights, training.Stop)
}
EXAMPLES = [
    test
    for name, thing in PUBLIC.items()
    if not inspect.ismodule(thing)
    for test in doctest.DocTestFinder(recurse=True).find(thing, name)
    if test.examples
]
ADAPTER_METHODS = (
    "array", "constant", "back", "apply", "jvp", "jacobian", "update", "implementation", "tapped", "error_of",
    "answers", "operands",
)  # fmt: skip
DESCRIBED = [
    *(getattr(gradagree, name) for name in ("check", "run", "survey", "draw", "Case", "Record")),
    *(getattr(Case, name) for name in ("parse", "of", "arrays")),
    *(getattr(Activation, name) for name in (
        "value", "derivative", "vjp", "width", "named", "by", "shared_along", "holding")),
    *(getattr(Adapter, name) for name in ADAPTER_METHODS),
    *(getattr(ErrorFunction, name) for name in ("value", "sensitivity", "vjp", "kink", "across")),
    PUBLIC["gradagree.reference.network"], PUBLIC["gradagree.reference.backpropagate"], training.train,
]  # fmt: skip


@pytest.fixture(autouse=True)
def catalogues_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unregister the classes of an example afterwards."""
    for base in (Activation, ErrorFunction, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    names = set(implementation_names)
    yield
    implementation_names.intersection_update(names)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_that_an_example_gives_what_it_shows(example: doctest.DocTest, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("an_example")
    monkeypatch.setitem(sys.modules, "an_example", module)
    example.globs = vars(module)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=lambda text: None)
    assert (failed, tried) == (0, len(example.examples))


def test_that_an_example_with_another_result_fails() -> None:
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner().run(example, out=lambda text: None).failed == 1


@pytest.mark.parametrize("name", sorted(gradagree.__all__))
def test_that_every_public_name_but_data_has_an_example(name: str) -> None:
    assert name == "Record" or ">>> " in (inspect.getdoc(getattr(gradagree, name)) or "")


@pytest.mark.parametrize("thing", DESCRIBED, ids=lambda thing: thing.__qualname__)
def test_that_every_argument_is_described(thing: Any) -> None:
    text = inspect.getdoc(thing) or ""
    listed = re.findall(r"^    (\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert listed == [name for name in inspect.signature(thing).parameters if name != "self"]
    assert isinstance(thing, type) or "\nReturns:\n" in text
