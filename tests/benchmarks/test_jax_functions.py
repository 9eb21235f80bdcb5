"""JAX's functions: arguments are found, wrong derivatives are accused, and the page has an account of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("torch")
jnp = pytest.importorskip("jax.numpy")

functions = pytest.importorskip("benchmarks.jax_functions")
jax_page = pytest.importorskip("benchmarks.jax_page")


@jax.custom_jvp
def wrong_sine(x: Any) -> Any:
    return jnp.sin(x)


wrong_sine.defjvp(lambda xs, ts: (jnp.sin(xs[0]), 1.01 * jnp.cos(xs[0]) * ts[0]))


def test_that_functions_of_all_modules_are_listed() -> None:
    names = functions.listing()
    assert {"lax.dot_general", "nn.gelu", "numpy.fft.rfft", "scipy.stats.beta.cdf", "numpy.linalg.qr"} <= set(names)
    assert not any(name.startswith("_") for name in names)


def test_that_a_right_function_is_judged_and_a_wrong_one_accused() -> None:
    right = functions.judge("mine", jnp.sin, "float32", 60.0)
    assert right["verdict"] == "agree"
    assert 0 < right["sharpness"] < 1e-5
    wrong = functions.judge("mine", wrong_sine, "float32", 60.0)
    assert wrong["verdict"] == "disagree"
    assert wrong["failures"][0]["name"] == "args[0]"


def test_that_functions_without_a_derivative_have_a_reason() -> None:
    def refused(function: Any) -> Any:
        return functions.judge("mine", function, "float32", 60.0)["refused"]

    assert refused(lambda x: jnp.argmax(x)) == "returns no floating-point numbers"
    assert refused(lambda x: x & 1) == "takes integers"
    assert refused(lambda x: jax.lax.linalg.hessenberg(jnp.ones((3, 3)) * jnp.sum(x))[0]).startswith("no NumPy form")
    assert refused(lambda x: jax.lax.nextafter(x, x + 1)) == "JAX has no derivative of it"
    assert refused(lambda x: jax.lax.zeta(jnp.full_like(x, 3), 1 + x * x)) == "JAX has no derivative of it"
    assert functions.judge("lax.iota", jax.lax.iota, "float32", 60.0)["refused"].startswith("creates arrays")


def one(verdict: str, sharpness: float | None = 1e-6, failures: Any = ()) -> dict[str, Any]:
    return {"verdict": verdict, "sharpness": sharpness, "failures": list(failures), "seconds": 0.1}


FAILURE = {"verdict": "disagree", "name": "args[0]", "expected": 1.0, "observed": 2.0}
RESULT = {
    "versions": {"jax": "1.2"},
    "functions": {
        "nn.right": {"float32": one("agree"), "bfloat16": {"refused": "the function cannot be called: TypeError"}},
        "nn.wrong": {"float32": one("disagree", failures=[FAILURE])},
        "nn.open": {"float32": one("undecided")},
        "nn.refused": {"float32": {"refused": "no NumPy form of the operation lax.schur is known; give a reference"}},
        "nn.integers": {"float32": {"refused": "takes integers"}},
    },
}


def test_that_the_page_counts_and_lists_what_is_not_judged() -> None:
    page = jax_page.page(RESULT)
    assert "5 functions, 4 of them differentiable; 2 of these are judged" in page
    assert "1 undecided and 1 refused" in page
    assert "- `nn.wrong` (float32): disagree: args[0], expected 1.0, observed 2.0" in page
    assert "- `nn.open`: undecided" in page
    assert "- `nn.refused`: no NumPy form of the operation lax.schur is known" in page
    assert "Without a derivative: 1 takes integers." in page
    assert "| `nn.right` | covered | agree 1 | float32 1.0e-06 |" in page


def test_that_the_page_in_the_documentation_is_that_of_the_report() -> None:
    page = Path(__file__).parents[2] / "docs" / "jax-functions.md"
    assert page.read_text() == jax_page.page(json.loads(jax_page.RESULT.read_text()))


def test_that_reasons_have_no_places_of_a_machine() -> None:
    assert "/" not in functions.without_places("a loop (called at /home/me/x.py:3); give a reference")
    assert "(/" not in jax_page.RESULT.read_text()
