"""The page on Python names: as the code makes it, and complete."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import gradagree
from tools import python_page
from tools.python_page import FORMER, HOMES, fixtures, members, names

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_that_the_page_is_as_the_code_makes_it(page: str) -> None:
    assert page == python_page.text(), "python -m tools.python_page > docs/python.md"


def public(home: str) -> set[str]:
    """Names of a package's own list, or that it hands on."""
    module = importlib.import_module(home)
    listed = getattr(module, "__all__", None)
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return set(listed or (name for name, value in own.items() if not inspect.ismodule(value)))


@pytest.mark.parametrize("home", ["gradagree", "gradagree.reference", "gradagree.adapters"])
def test_that_every_public_name_has_its_place(home: str, page: str) -> None:
    shown = set(re.findall(r"^### [\w.]*\.(\w+)$", page, re.MULTILINE))
    assert public(home) - shown == set()


def test_that_a_name_stands_once(page: str) -> None:
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert "gradagree.Activation" in headings
    assert "gradagree.reference.Activation" not in headings


def documented() -> list[Any]:
    return [
        pytest.param(getattr(importlib.import_module(home), name), id=f"{home}.{name}")
        for home in HOMES for name in names(home)
    ]  # fmt: skip


@pytest.mark.parametrize("thing", documented())
def test_that_every_public_name_says_what_it_is(thing: Any) -> None:
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("kind", [gradagree.Case, gradagree.Activation, gradagree.Adapter, gradagree.Record])
def test_that_every_public_method_is_shown_with_what_it_says(kind: type, page: str) -> None:
    shown = {name: docstring for name, _, docstring in members(kind)}
    methods = {name for name, value in vars(kind).items() if inspect.isfunction(value) and not name.startswith("_")}
    methods -= set(FORMER)
    assert methods <= set(shown)
    assert not set(FORMER) & set(shown)
    part = page.partition(f"### gradagree.{kind.__name__}\n")[2].partition("\n### ")[0]
    assert [name for name in shown if not re.search(rf"^- `{name}\b", part, re.MULTILINE)] == []
    assert [name for name in methods if not shown[name]] == []


def test_that_every_fixture_of_the_plugin_is_shown(page: str) -> None:
    source = Path(python_page.PLUGIN).read_text(encoding="utf-8")
    defined = re.findall(r"^@pytest\.fixture.*\ndef (\w+)\(", source, re.MULTILINE)
    assert sorted(defined) == sorted(name for name, _, _ in fixtures())
    assert all(docstring for _, _, docstring in fixtures())
    assert [name for name in defined if f"\n### {name}\n" not in page] == []


def test_that_signs_of_markdown_in_a_docstring_stay_signs() -> None:
    docstring = python_page._prose("o_i * t_i, [k], ``a*b_c`` and `x_y`")
    assert docstring == r"o\_i \* t\_i, \[k\], `a*b_c` and `x_y`"


def test_that_a_public_name_that_is_missing_would_be_seen(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradagree, "__all__", [*gradagree.__all__, "newcomer"])
    with pytest.raises(AssertionError, match="newcomer"):
        test_that_every_public_name_has_its_place("gradagree", page)
