"""The adapters that are installed, with their settings on; and small problems for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gradagree import Case
from gradagree.adapters import Adapter, Problem

FRAMEWORKS = ("torch", "jax")


@functools.cache
def made(name: str) -> Adapter:
    return Adapter.catalogue[name]()


@pytest.fixture(params=FRAMEWORKS)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    """Each installed framework in turn."""
    pytest.importorskip(request.param)
    found = made(request.param)
    with found.settings():
        yield found


@pytest.fixture
def problem() -> Callable[..., Problem]:
    """A case's text as a problem; further arguments take the place of its parts."""

    def make(spec: str, **changes: Any) -> Problem:
        case = Case.parse(spec)
        x = case.arrays()
        return replace(
            Problem(case.activations, case.error, x.weights, x.biases, x.inputs, x.targets, case.dtype), **changes
        )

    return make
