"""Multiples of powers of two: which exponent, what fits a format, and where sums and products do not round."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from gradagree.arithmetic import exactness
from gradagree.arithmetic.model import FORMATS, model

DTYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
steady = settings(deadline=None, derandomize=True)


def representable(x: float, dtype: str) -> bool:
    with np.errstate(all="ignore"):
        return float(np.asarray(x).astype(DTYPES[dtype])) == x


@pytest.mark.parametrize(
    ("numbers", "q"),
    [
        ([0.75, -3.0, 0.0], -2), ([1.0], 0), ([12.0, 20.0], 2), ([2.0**-1074], -1074), ([2.0**1023], 1023),
        ([0.1], -55), ([2.0**-1022 + 2.0**-1074], -1074), ([2.0**53 - 1, 2.0**60], 0), ([], np.inf),
        ([0.0, -0.0], np.inf),
    ],
)  # fmt: skip
def test_that_the_lowest_bit_is_the_known_one(numbers: list[float], q: float) -> None:
    assert exactness.lowest_bit(np.array(numbers)) == q


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_that_nothing_is_known_of_numbers_that_are_not_finite(bad: float) -> None:
    assert exactness.lowest_bit(np.array([1.0, bad])) == exactness.UNKNOWN


@steady
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_that_all_numbers_are_multiples_of_the_lowest_bit_and_one_is_odd(numbers: list[float]) -> None:
    q = exactness.lowest_bit(np.array(numbers))
    if q == np.inf:
        assert set(numbers) <= {0.0}
        return
    multiples = [Fraction(x) / Fraction(2) ** int(q) for x in numbers]
    assert all(m.denominator == 1 for m in multiples)
    assert any(m.numerator % 2 for m in multiples)


@steady
@given(x=st.integers(-(2**20), 2**20), y=st.integers(-(2**20), 2**20), i=st.integers(-40, 40), j=st.integers(-40, 40))
def test_that_the_exponent_of_a_product_is_that_of_the_products(x: int, y: int, i: int, j: int) -> None:
    a, b = np.ldexp(float(x), i), np.ldexp(float(y), j)
    assert exactness.lowest_bit(a * b) == exactness.product_exponent(exactness.lowest_bit(a), exactness.lowest_bit(b))


def test_that_the_exponent_of_a_product_with_zeros_or_with_unknown_numbers_is_as_theirs() -> None:
    for pair in ((np.inf, -3.0), (-3.0, np.inf), (np.inf, exactness.UNKNOWN)):
        assert exactness.product_exponent(*pair) == np.inf
    assert exactness.product_exponent(exactness.UNKNOWN, 5.0) == exactness.UNKNOWN


@each_dtype
@pytest.mark.parametrize("q", [-30, -10, -2, 0, 3])
def test_that_all_multiples_that_fit_are_numbers_of_the_format_and_the_next_are_not(dtype: str, q: int) -> None:
    form = FORMATS[dtype]
    last = min(2.0 ** (form.precision + q), form.largest)
    assert exactness.is_representable(np.array(last), q, form) == (q >= form.emin - form.precision + 1)
    if q >= form.emin - form.precision + 1:
        assert all(representable(last - k * 2.0**q, dtype) for k in range(64))
        assert not exactness.is_representable(np.array(last * (1 + 2.0**-52)), q, form)
        assert form.precision == 53 or not representable(last + 2.0**q, dtype)


@each_dtype
def test_that_multiples_below_the_smallest_number_do_not_fit(dtype: str) -> None:
    form = FORMATS[dtype]
    least = form.emin - form.precision + 1
    assert exactness.is_representable(np.array(form.smallest), least, form)
    assert not exactness.is_representable(np.array(form.smallest), least - 1, form)
    assert form.precision == 53 or not representable(2.0 ** (least - 1), dtype)


def test_that_nothing_fits_of_which_nothing_is_known_and_of_zeros_only_zero() -> None:
    sizes = np.array([0.0, 1.0])
    assert exactness.is_representable(sizes, exactness.UNKNOWN, FORMATS["float32"]).tolist() == [False, False]
    assert exactness.is_representable(sizes, np.inf, FORMATS["float32"]).tolist() == [True, False]


def test_that_a_sum_must_fit_the_accumulator_as_well() -> None:
    narrow = model("float32", accumulator="bfloat16")
    size = np.array([2.0**8, 2.0**9])
    assert exactness.is_exact(size, 0, narrow).tolist() == [True, True]
    assert exactness.is_exact(size, 0, narrow, accumulated=True).tolist() == [True, False]
    assert exactness.is_exact(size, 0, model("float32"), accumulated=True).tolist() == [True, True]


def test_that_multiples_that_may_be_flushed_are_not_exact() -> None:
    q, size = -130, np.array([0.0, 2.0**-120])
    assert exactness.is_exact(size, q, model("float32")).tolist() == [True, True]
    assert exactness.is_exact(size, q, model("float32", flushes=True)).tolist() == [True, False]
    assert exactness.is_exact(size, -126, model("float32", flushes=True)).tolist() == [True, True]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@steady
@given(st.lists(st.integers(-40, 40), min_size=2, max_size=12))
def test_that_where_sums_are_exact_every_partial_sum_is_a_number_of_the_format(dtype: str, integers: list[int]) -> None:
    x = np.array(integers) / 4
    size, q = np.sum(np.abs(x)), exactness.lowest_bit(x)
    exact = bool(exactness.is_exact(size, q, model(dtype, accumulator=dtype), accumulated=True))
    partial = [float(s) for order in (x, x[::-1], np.sort(x)) for s in np.cumsum(order)]
    assert exact == (size == 0 or size <= 2.0 ** (FORMATS[dtype].precision + q))
    assert not exact or all(representable(s, dtype) for s in partial)


@pytest.mark.parametrize("exponents", [(-20, 3), (0, 40), (-1070, -1000), (5, 9)])
def test_that_the_lowest_bit_of_a_large_array_is_that_of_its_parts(exponents: tuple[int, int]) -> None:
    rng = np.random.default_rng(8)
    x = np.ldexp(rng.integers(-9, 10, 5000).astype(float), rng.integers(*exponents, 5000))
    assert exactness.lowest_bit(x) == min(exactness.lowest_bit(part) for part in np.split(x, 50))
    x[4000] = np.ldexp(1.0, exponents[0] - 3)
    assert exactness.lowest_bit(x) == exponents[0] - 3
