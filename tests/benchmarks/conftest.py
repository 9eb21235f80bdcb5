"""Functions that a benchmark registers leave the catalogues after the tests of a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from gradagree import Activation, ErrorFunction


@pytest.fixture(scope="module", autouse=True)
def forget_benchmarks() -> Iterator[None]:
    """Other tests draw from the catalogues; the modules are forgotten too, so that they register again."""
    catalogues = Activation.catalogue, ErrorFunction.catalogue
    before, modules = [set(catalogue) for catalogue in catalogues], set(sys.modules)
    yield
    for catalogue, names in zip(catalogues, before, strict=True):
        for name in set(catalogue) - names:
            catalogue.pop(name)
    for module in set(sys.modules) - modules:
        if module.startswith("benchmarks."):
            sys.modules.pop(module)
