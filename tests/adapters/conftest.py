"""The adapters that are installed, with their settings on; and small problems for them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
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
    """Make a problem from a case's text; further arguments of `Problem.dense` replace its parts."""

    def make(spec: str, **changes: Any) -> Problem:
        case = Case.parse(spec)
        x = case.arrays()
        parts = {
            "activations": case.activations, "error": case.error, "weights": x.weights, "biases": x.biases,
            "inputs": x.inputs, "targets": x.targets, "dtype": case.dtype,
            "loss_weight": case.loss_weight,
        }  # fmt: skip
        return Problem.dense(**{**parts, **changes})

    return make
