"""Hypergeometric functions of JAX: their series, and where it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.errors import UsageError
from gradagree.functions.assertions import assert_grads, check_function

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradagree.adapters.lax.iterations import hypergeometric_form  # noqa: E402

RNG = np.random.default_rng(0)
A, B, C = RNG.uniform(0.5, 1.2, 6), RNG.uniform(0.3, 1.1, 6), RNG.uniform(2.5, 4.0, 6)
OPERANDS = {"hyp1f1": (A, C, RNG.uniform(0.05, 6.0, 6)), "hyp2f1": (A, B, C, RNG.uniform(0.05, 0.45, 6))}


def function(name: str) -> Any:
    return getattr(jax.scipy.special, name)


def arrays(name: str, dtype: str) -> list[Any]:
    return [jnp.asarray(x, dtype=dtype) for x in OPERANDS[name]]


@pytest.mark.parametrize("name", OPERANDS)
def test_that_the_series_is_that_of_scipy(name: str) -> None:
    form = hypergeometric_form(OPERANDS[name])
    assert form is not None
    np.testing.assert_allclose(form(*OPERANDS[name]), getattr(special, name)(*OPERANDS[name]), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPERANDS)
def test_that_all_derivatives_agree(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        report = check_function(function(name), arrays(name, dtype), modes=("reverse", "forward"))
    assert report.verdict.value == "agree"
    assert len({record.name for record in report.records}) == 1 + len(OPERANDS[name])
    assert all(float(record.sharpness or 0) < 1e-4 for record in report.records)


@pytest.mark.parametrize("place", [0])
@pytest.mark.parametrize("name", OPERANDS)
def test_that_a_wrong_derivative_by_one_argument_is_found(name: str, place: int) -> None:
    own = function(name)
    wrong = jax.custom_vjp(lambda *xs: own(*xs))

    def backward(vjp: Any, g: Any) -> Any:
        found = list(vjp(g))
        found[place] = found[place] * 1.0001
        return tuple(found)

    wrong.defvjp(lambda *xs: jax.vjp(own, *xs), backward)
    with pytest.raises(AssertionError, match=rf"gradient of args\[{place % len(OPERANDS[name])}\]"):
        assert_grads(wrong, arrays(name, "float32"))


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("hyp1f1", (1.5, 2.5, -3.0)),
        ("hyp1f1", (1.5, 2.5, 120.0)),
        ("hyp2f1", (1.5, 0.5, 2.5, 0.75)),
        ("hyp2f1", (2.5, 2.5, 1.5, 0.5)),
    ],
)
def test_that_other_arguments_are_refused_in_one_sentence(name: str, operands: Any) -> None:
    *first, x = (jnp.asarray(y, dtype="float32") for y in operands)
    with pytest.raises(UsageError, match="give a reference function"):
        assert_grads(lambda x: function(name)(*first, x), [x[None]])
