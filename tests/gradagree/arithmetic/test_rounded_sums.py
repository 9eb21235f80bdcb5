"""Sums and dot products: the radius encloses every order of summation, and grid data are summed without rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import OUTWARD, model

STORED = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
ADDED = {"float64": np.float64, "float32": np.float32, "float16": np.float32, "bfloat16": np.float32}
each_dtype = pytest.mark.parametrize("dtype", STORED)


def forward(terms: Sequence[Any]) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def pairwise(terms: Sequence[Any]) -> Any:
    half = len(terms) // 2
    return pairwise(terms[:half]) + pairwise(terms[half:]) if half else terms[0]


def strided(terms: Sequence[Any]) -> Any:
    """Four lanes, as vector units add."""
    return forward([forward(terms[lane::4]) for lane in range(4) if len(terms) > lane])


ORDERS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "forward": forward,
    "reverse": lambda terms: forward(terms[::-1]),
    "pairwise": pairwise,
    "strided": strided,
    "ascending": lambda terms: forward(sorted(terms, key=abs)),
    "descending": lambda terms: forward(sorted(terms, key=abs, reverse=True)),
    "shuffled": lambda terms: forward([terms[k] for k in np.random.default_rng(len(terms)).permutation(len(terms))]),
    "signs": lambda terms: forward(sorted(terms)),
}


def held(dtype: str, x: Any) -> np.ndarray:
    """The nearest numbers of the dtype."""
    return np.asarray(x, dtype=np.float64).astype(STORED[dtype]).astype(np.float64)


def summed(dtype: str, order: str, terms: np.ndarray) -> float:
    """The sum as a program forms it: in the accumulator, in that order, rounded once."""
    return float(np.asarray(ORDERS[order](list(terms.astype(ADDED[dtype])))).astype(STORED[dtype]))


def dotted(dtype: str, order: str, x: np.ndarray, y: np.ndarray, fused: bool) -> float:
    """The dot product as a program forms it; fused: products are not rounded before they are added."""
    kind: Any = np.float64 if fused else ADDED[dtype]
    return summed(dtype, order, (x.astype(kind) * y.astype(kind)).astype(np.float64))


def outside(found: Rounded, observed: float) -> bool:
    """Whether a number lies outside the radius, in exact fractions."""
    return abs(Fraction(observed) - Fraction(found.value.item())) > Fraction(found.radius.item())


def wild(seed: int, count: int) -> np.ndarray:
    """Numbers of all signs whose sizes span 2^12, and which nearly cancel."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, count) * 2.0 ** rng.integers(-6, 7, count)
    x[1::2] = -x[: x[1::2].size * 2 : 2] * (1 + 2.0**-7)
    return x


@each_dtype
@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(terms=st.lists(st.floats(-1000, 1000, width=16), min_size=1, max_size=12))
def test_that_the_radius_of_a_sum_encloses_every_order(dtype: str, order: str, terms: list[float]) -> None:
    x = held(dtype, terms)
    assert not outside(np.sum(Rounded.stored(x, model(dtype))), summed(dtype, order, x))


@each_dtype
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [2, 5, 33, 300])
def test_that_the_radius_of_a_cancelling_sum_encloses_every_order(dtype: str, order: str, count: int) -> None:
    x = held(dtype, wild(count, count))
    assert not outside(np.sum(Rounded.stored(x, model(dtype))), summed(dtype, order, x))


@each_dtype
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("fused", [False, True], ids=["rounded-products", "fused"])
@pytest.mark.parametrize("count", [1, 2, 17, 129])
def test_that_the_radius_of_a_product_encloses_every_order(dtype: str, order: str, fused: bool, count: int) -> None:
    x, y = held(dtype, wild(count, count)), held(dtype, wild(count + 1, count)[::-1])
    found = Rounded.stored(x[None, :], model(dtype)) @ Rounded.stored(y[:, None], model(dtype))
    assert not outside(found, dotted(dtype, order, x, y, fused))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_that_an_accumulator_narrower_than_the_models_is_found(dtype: str) -> None:
    x = held(dtype, wild(9, 300))
    wider, own = (np.sum(Rounded.stored(x, model(dtype, name))) for name in ("float64", dtype))
    observed = [float(order(list(x.astype(STORED[dtype])))) for order in ORDERS.values()]
    assert any(outside(wider, y) for y in observed)
    assert not any(outside(own, y) for y in observed)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_a_radius_without_the_last_rounding_is_too_little(dtype: str) -> None:
    exact_store = model("float32")
    x = held(dtype, np.abs(wild(10, 20)))
    assert outside(np.sum(Rounded.stored(x, exact_store)), summed(dtype, "forward", x))


@each_dtype
@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_that_a_sum_encloses_what_becomes_of_its_operands_radii(dtype: str, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, radius = held(dtype, wild(seed, count)), held(dtype, 2.0**-3 * rng.uniform(0.5, 1, count))
    upper = held(dtype, x + radius)
    upper = np.where(upper - x > radius, x, upper)
    assert not outside(np.sum(Rounded(x, radius, model(dtype))), summed(dtype, "forward", upper))


def test_that_the_last_rounding_counts_what_was_inherited() -> None:
    """Where the sum is 0, all of it is inherited: 0.5966796875 is stored as 0.59765625 in bfloat16."""
    x, radius = np.array([1.0, -1.0, 0.0]), np.array([0.296875, 0.296875, 1.5 * 2.0**-9])
    found = [
        np.sum(Rounded(x, radius, model("bfloat16"))),
        (Rounded(x[None], radius, model("bfloat16")) @ np.ones((3, 1)))[0, 0],
    ]
    assert [outside(y, summed("bfloat16", "forward", held("bfloat16", x + radius))) for y in found] == [False, False]


@each_dtype
@settings(max_examples=60, deadline=None, derandomize=True)
@given(x=st.lists(st.integers(-8, 8), min_size=6, max_size=6), y=st.lists(st.integers(-8, 8), min_size=6, max_size=6))
def test_that_grid_data_are_computed_without_rounding(dtype: str, x: list[int], y: list[int]) -> None:
    a, b = (Rounded.stored(np.reshape(z, (2, 3)) / 4, model(dtype)) for z in (x, y))
    results = [a + b, a - b, a * b, a @ b.T, np.sum(a), np.maximum(a, b), np.where(a > b, a, b), a**2, -np.abs(a)]
    if dtype == "bfloat16":
        results = [result for result in results if np.all(np.abs(result.value) * 16 <= 2**8)]
    assert [result.radius.any() for result in results] == [False] * len(results)
    exact = [Fraction(i * j, 16) for i, j in zip(x, y, strict=True)]
    assert [Fraction(z) for z in (a * b).value.ravel()] == exact


@pytest.mark.parametrize(("dtype", "fitting"), [("float32", 2**24), ("float16", 2**11), ("bfloat16", 2**8)])
def test_that_exactness_ends_where_a_sum_may_not_fit(dtype: str, fitting: int) -> None:
    ones = Rounded.stored(np.ones(2), model(dtype))
    at = Rounded.stored(np.array([fitting - 1.0, 0.0]), model(dtype))
    assert not np.sum(at + ones * [1, 0]).radius.any()
    assert np.sum(Rounded.stored(np.array([fitting, 1.0]), model(dtype))).radius > 0
    past = np.asarray(fitting + 1.0).astype(STORED[dtype])
    assert float(past) != fitting + 1


@each_dtype
def test_that_zeros_add_nothing(dtype: str) -> None:
    x = Rounded.stored(held(dtype, wild(14, 6)), model(dtype))
    zeros = np.zeros(6)
    assert not (x + zeros).radius.any()
    assert not (x * zeros).radius.any()
    assert not (np.exp(x) * zeros).radius.any()
    assert not (np.exp(x[None]) @ zeros[:, None]).radius.any()
    assert ((np.exp(x) - zeros).radius <= np.exp(x).radius * OUTWARD).all()
    assert (np.exp(x).radius > 0).all()
