"""Rounded arithmetic at the ends of a dtype's range: constants, overflow and underflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import ml_dtypes
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import may_overflow

DTYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def encloses(found: Any, observed: Any) -> bool:
    """Whether every number lies within its radius; a radius that is not finite says nothing, so it lies."""
    found = found if isinstance(found, Rounded) else Rounded(found, 0.0, model("float64"))
    with np.errstate(all="ignore"):
        observed = np.asarray(observed, dtype=np.float64)
        inside = (np.abs(observed - found.value) <= found.radius) | (observed == found.value)
        return bool((inside | ~np.isfinite(found.radius)).all())


def stored(x: Any, dtype: str = "float32", flushes: bool = False) -> Rounded:
    return Rounded.stored(x, model(dtype, flushes=flushes))


CONSTANTS = [
    0.1, -1 / 3, 0.044715, 1.0, -0.75, 0.0, 65519.0, 1e5, 1e39, 1e300, 3e-39, 1.3e-45, 2.0**-160, 2.0**-130, 1e-320,
]  # fmt: skip


@each_dtype
@pytest.mark.parametrize("constant", CONSTANTS)
def test_that_a_constant_encloses_the_nearest_number_of_the_dtype(dtype: str, constant: float) -> None:
    with np.errstate(all="ignore"):
        nearest = np.asarray(constant).astype(DTYPES[dtype])
    assert encloses(Rounded.constant(constant, model(dtype)), nearest)


def test_that_a_constant_too_large_for_the_dtype_has_an_infinite_radius() -> None:
    assert may_overflow(Rounded.constant(1e5, model("float16")), stored(1.0))
    assert not np.isfinite((stored(0.5, "float16") * 1e5).radius)


@pytest.mark.parametrize("constant", [2.0**-130, 1e-40])
def test_that_a_constant_below_the_smallest_normal_number_may_be_flushed(constant: float) -> None:
    assert encloses(Rounded.constant(constant, model("float32", flushes=True)), 0.0)


@each_dtype
def test_that_a_constant_that_the_dtype_holds_is_exact_and_another_is_not(dtype: str) -> None:
    form = FORMATS[dtype]
    short, long = 1 + 2.0 ** (-min(form.precision, 45) + 1), 1 + 2.0**-52
    assert Rounded.constant(short, model(dtype)).radius == 0
    assert Rounded.constant(long, model(dtype)).radius >= form.u * long
    assert (stored(3.0, dtype) * long).radius >= 3 * form.u


@pytest.mark.parametrize(
    ("dtype", "large"), [("float32", 3e38), ("float16", 6e4), ("bfloat16", 3e38), ("float64", 1.7e308)]
)
def test_that_what_may_not_fit_the_dtype_has_an_infinite_radius(dtype: str, large: float) -> None:
    x = Rounded([large, -large, 1.0], 0.0, model(dtype))
    results = [x + x, x * 4.0, x[:2] - x[1::-1], x**2, np.sum(x)[None], x[None] @ np.ones((3, 1)), np.exp(x)]
    assert [may_overflow(result) for result in results] == [True] * len(results)
    assert not np.isfinite((x / 0.25).radius[:2]).any()
    assert not may_overflow(x, x + 1.0, np.tanh(x), x / 4.0)


def test_that_a_partial_sum_that_overflows_is_noticed_though_the_sum_fits() -> None:
    assert may_overflow(np.sum(stored([6e4, 6e4, -6e4, -6e4], "float16")))


def flush(x: Any) -> Any:
    tiny = np.finfo(np.float32).tiny
    return np.where(np.abs(x) < tiny, np.float32(0), x).astype(np.float32)


FLUSHED: list[tuple[str, Callable[..., Any]]] = [
    ("+", lambda x, y: x + y), ("-", lambda x, y: x - y), ("*", lambda x, y: x * y), ("/", lambda x, y: x / y),
    ("@", lambda x, y: x[:, None, :] @ y[:, :, None]), ("sum", lambda x, y: np.sum(x)), ("maximum", np.maximum),
    ("exp", lambda x, y: np.exp(-(2.0**100) * (np.abs(x) + np.abs(y)))), ("square", lambda x, y: x**2),
    ("cube", lambda x, y: x**3), ("sqrt", lambda x, y: np.sqrt(np.abs(x))), ("tanh", lambda x, y: np.tanh(x)),
    ("where", lambda x, y: np.where(x > 0, y, x)), ("mean", lambda x, y: np.mean(x)),
]  # fmt: skip


@pytest.mark.parametrize("function", [f for _, f in FLUSHED], ids=[name for name, _ in FLUSHED])
def test_that_a_model_that_flushes_encloses_programs_that_do_and_that_do_not(function: Any) -> None:
    rng = np.random.default_rng(2)
    x, y = (rng.uniform(-4, 4, (2, 300, 4)) * 2.0 ** rng.integers(-130, -60, (2, 300, 4))).astype(np.float32)
    y = np.where(np.abs(y) < np.finfo(np.float32).tiny, np.float32(2.0**-60), y)
    with np.errstate(all="ignore"):
        found = function(stored(x, flushes=True), stored(y, flushes=True))
        assert encloses(found, function(x, y))
        assert encloses(found, flush(function(flush(x), flush(y))))


def test_that_a_model_that_does_not_flush_is_too_narrow_for_a_program_that_does() -> None:
    x = np.float32(2.0**-100)
    assert encloses(stored(x) * stored(x / 2**30), np.float32(2.0**-230))
    assert not encloses(stored(2.0**-130) + 0.0, flush(np.float32(2.0**-130)))
    assert not encloses(stored(2.0**-64) * stored(2.0**-64), flush(np.float32(2.0**-128)))
    assert encloses(stored(2.0**-64, flushes=True) * stored(2.0**-64, flushes=True), flush(np.float32(2.0**-128)))


UNDERFLOWING = [
    (np.exp, -720.0), (np.exp, -760.0), (np.exp2, -1070.5), (special.expit, -720.0), (special.expit, -744.0),
    (special.erfc, 26.7), (special.erfc, 30.0), (special.ndtr, -38.0), (np.expm1, 2.0**-1070), (np.tanh, 2.0**-1074),
]  # fmt: skip


@each_dtype
@pytest.mark.parametrize(("f", "x"), UNDERFLOWING, ids=str)
def test_that_what_a_library_function_may_lose_to_underflow_is_enclosed(dtype: str, f: Any, x: float) -> None:
    held = float(np.asarray(x).astype(DTYPES[dtype]))
    found = f(stored(held, dtype))
    with precision(300):
        truth = f(Ball.exact(held)).balls.item()
        value, radius = flint.arb(found.value.item()), flint.arb(found.radius.item())
        assert abs(truth - value) <= radius
    assert encloses(found, np.asarray(f(np.float64(held))).astype(DTYPES[dtype]))
    assert encloses(found, 0.0)


def test_that_a_product_lost_in_float64_is_not_taken_for_a_zero() -> None:
    exact = model("float64")
    x, y = (
        Rounded.stored(np.array(shape), exact) for shape in ([[2.0**-600, 0.0]], [[2.0**-600, 0.0], [0.0, 2.0**-600]])
    )
    product = x @ y
    np.testing.assert_array_equal(product.value, [[0.0, 0.0]])
    np.testing.assert_array_equal(product.radius > 0, [[True, False]])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_that_a_small_number_added_to_the_largest_does_not_overflow(dtype: str) -> None:
    form = FORMATS[dtype]
    for sign in (1, -1):
        largest = stored(np.array([sign * form.largest]), dtype)
        for small in (-3.0, 3.0):
            total = largest + stored(np.array([small]), dtype)
            assert np.isfinite((total + stored(np.array([small]), dtype)).radius).all()
        assert np.isinf((largest + stored(np.array([sign * form.largest * form.u]), dtype)).radius).all()
        assert np.isinf((largest - stored(np.array([-sign * form.largest * form.u]), dtype)).radius).all()
