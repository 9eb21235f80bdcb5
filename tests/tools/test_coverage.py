"""Every public name of an installed framework has an entry, and the entries are right."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gradagree.reference import Activation, ErrorFunction, Layer
from tools import coverage
from tools.coverage import ACCOUNTS

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"


def needed(library: str) -> None:
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_every_name_of_an_installed_framework_has_an_entry(library: str) -> None:
    needed(library)
    assert coverage.unaccounted(library) == []


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_a_name_without_an_entry_is_reported(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed(library)
    monkeypatch.setitem(ACCOUNTS, library, "relu: relu")
    missing = coverage.unaccounted(library)
    assert missing
    assert set(missing) == set(coverage.listed(library)) - {"relu"}


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_entries_refer_to_functions_and_names_that_exist(library: str) -> None:
    entries = coverage.account(library)
    for entry in entries.values():
        if entry.status == "covered":
            assert sum(entry.coverage in kind.catalogue for kind in (Activation, ErrorFunction, Layer)) == 1
        elif entry.status == "same as":
            assert entries[entry.coverage.removeprefix(coverage.SAME)].status == "covered"
        else:
            assert entry.coverage.startswith(coverage.NOT_COVERED)
            assert len(entry.coverage) > len(coverage.NOT_COVERED)


@pytest.mark.parametrize("library", [name for name in ACCOUNTS if name != "optax.losses"])
def test_that_a_covered_name_has_an_implementation_in_its_framework(library: str) -> None:
    framework = coverage.IMPLEMENTATIONS.get(library.partition(".")[0], library.partition(".")[0])
    for entry in coverage.account(library).values():
        if entry.status == "covered":
            kind = next(one for one in (Activation, ErrorFunction, Layer) if entry.coverage in one.catalogue)
            kind = kind.catalogue[entry.coverage]
            assert hasattr(kind, framework), entry


def test_that_the_page_is_as_generated() -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage.page()
