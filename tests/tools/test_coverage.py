"""Every name that an installed framework lists is accounted for, and the account is true."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gradagree.reference import Activation, ErrorFunction
from tools import coverage
from tools.coverage import ACCOUNTS

PAGE = Path(__file__).parents[2] / "docs" / "coverage.md"


def needed(library: str) -> None:
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip(f"{library} is not installed")


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_every_name_of_an_installed_framework_is_accounted_for(library: str) -> None:
    needed(library)
    assert coverage.unaccounted(library) == []


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_a_name_of_which_nothing_is_said_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed(library)
    monkeypatch.setitem(ACCOUNTS, library, "relu: relu")
    missing = coverage.unaccounted(library)
    assert missing
    assert set(missing) == set(coverage.listed(library)) - {"relu"}


@pytest.mark.parametrize("library", ACCOUNTS)
def test_that_what_covers_a_name_is_in_the_catalogue_and_what_is_the_same_is_accounted_for(library: str) -> None:
    entries = coverage.account(library)
    for entry in entries.values():
        if entry.status == "covered":
            assert (entry.said in Activation.catalogue) + (entry.said in ErrorFunction.catalogue) == 1
        elif entry.status == "same as":
            assert entries[entry.said.removeprefix(coverage.SAME)].status == "covered"
        else:
            assert entry.said.startswith(coverage.LEFT)
            assert len(entry.said) > len(coverage.LEFT)


@pytest.mark.parametrize("library", [name for name in ACCOUNTS if name != "optax.losses"])
def test_that_a_covered_name_is_spelled_in_its_framework(library: str) -> None:
    framework = library.partition(".")[0]
    for entry in coverage.account(library).values():
        if entry.status == "covered":
            kind = Activation.catalogue.get(entry.said) or ErrorFunction.catalogue[entry.said]
            assert hasattr(kind, framework), entry


def test_that_the_page_is_that_of_the_account() -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage.page()
