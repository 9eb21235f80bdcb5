"""Faults of forward mode in the installed frameworks, each against the exact value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import check_function
from gradagree.functions.records import Report

torch = pytest.importorskip("torch")
F = torch.nn.functional

WEIGHTS = np.array([0.5, 1.0, 2.0])
FAR_APART = np.array([[-30.0, 1.0, 2.0], [0.5, -40.0, 0.1]])
REFLECTORS = np.random.default_rng(2).standard_normal((5, 4))
KNOWN: dict[str, tuple[Callable[..., Any], list[np.ndarray], str]] = {
    "logcumsumexp": (lambda x: torch.logcumsumexp(x, -1), [FAR_APART], "float64"),
    "hardsigmoid": (F.hardsigmoid, [np.linspace(-2, 2, 7)], "float64"),
    "triangular_solve": (
        lambda b, a: torch.triangular_solve(b, a)[0],
        [WEIGHTS[:, None], np.arange(9.0).reshape(3, 3) + 3 * np.eye(3)],
        "float64",
    ),
    "householder_product": (
        torch.linalg.householder_product,
        [REFLECTORS, np.array([0.9, 0.6, 0.3, 1.1])],
        "float32",
    ),
    "nll_loss": (
        lambda x, w: F.nll_loss(x, torch.tensor([0, 2]), w, reduction="sum"),
        [np.ones((2, 3)), WEIGHTS],
        "float64",
    ),
}


def checked(name: str, mode: str) -> Report:
    function, arrays, dtype = KNOWN[name]
    args = [torch.tensor(x, dtype=getattr(torch, dtype)) for x in arrays]
    return check_function(function, args, modes=(mode,), layouts=False, repeat=1)


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("name", KNOWN)
def test_that_a_fault_of_forward_mode_is_found(name: str) -> None:
    failures = checked(name, "forward").failures
    assert [record.quantity for record in failures] == ["tangent"]
    assert failures[0].verdict.value == "disagree"
    assert failures[0].expected_radius is not None


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("name", ["logcumsumexp", "triangular_solve"])
def test_that_reverse_mode_of_the_same_is_right(name: str) -> None:
    assert not checked(name, "reverse").failures


@pytest.mark.parametrize(("mode", "quantity"), [("forward", "tangent"), ("reverse", "gradient")])
def test_that_polygamma_of_negative_numbers_is_infinite_in_jax(mode: str, quantity: str) -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([-10.03], dtype="float32")
    report = check_function(lambda x: jax.scipy.special.digamma(x), [x], modes=(mode,), layouts=False, repeat=1)
    assert [(record.quantity, record.verdict.value) for record in report.failures] == [(quantity, "nonfinite")]
