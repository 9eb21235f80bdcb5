"""Rounded arithmetic where rules are special: nothing known, quotients, open comparisons, cancellation, structure."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import special

import gradagree.arithmetic.rounded as rounded_module
from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import OUTWARD, model
from gradagree.arithmetic.rounded_library import by_slope
from gradagree.arithmetic.three_valued import Trilean


def encloses(found: Any, observed: Any) -> bool:
    """Whether every number lies within its radius; a radius that is not finite says nothing, so it lies."""
    found = found if isinstance(found, Rounded) else Rounded(found, 0.0, model("float64"))
    with np.errstate(all="ignore"):
        observed = np.asarray(observed, dtype=np.float64)
        inside = (np.abs(observed - found.value) <= found.radius) | (observed == found.value)
        return bool((inside | ~np.isfinite(found.radius)).all())


def stored(x: Any, dtype: str = "float32", flushes: bool = False) -> Rounded:
    return Rounded.stored(x, model(dtype, flushes=flushes))


UNKNOWN: list[tuple[str, Callable[[Any], Any]]] = [
    ("sign", np.sign), ("tanh", np.tanh), ("expit", special.expit), ("sin", np.sin), ("square", lambda x: x**2),
    ("cube", lambda x: x**3), ("absolute", np.abs), ("maximum", lambda x: np.maximum(x, 0)), ("sum", np.sum),
    ("clip", lambda x: np.clip(x, -1, 1)), ("logaddexp", lambda x: np.logaddexp(x, 0)), ("product", lambda x: 0.5 * x),
    ("greater", lambda x: np.where(x > 0, 1.0, 0.0)), ("equal", lambda x: np.where(x == 7, 1.0, 0.0)),
    ("less_equal", lambda x: np.where(x <= -3, x, -x)), ("max", np.max), ("dot", lambda x: x @ np.ones((1, 1))),
    ("erf", special.erf), ("arctan", np.arctan), ("mean", np.mean), ("quotient", lambda x: x / 3.0),
    ("floor", np.floor), ("rint", np.rint), ("sort", np.sort), ("prod", np.prod), ("cumsum", np.cumsum),
    ("tan", np.tan), ("cumprod", np.cumprod), ("var", np.var), ("norm", np.linalg.norm),
    ("hypot", lambda x: np.hypot(x, 1.0)),
    ("arctan2", lambda x: np.arctan2(x, -1.0)), ("angle", lambda x: np.arctan2(1.0, x)), ("sinc", np.sinc),
    ("copysign", lambda x: np.copysign(1.0, x)), ("heaviside", lambda x: np.heaviside(x, 0.5)), ("i0e", special.i0e),
    ("remainder", lambda x: x % 2.0), ("quotient down", lambda x: x // 2.0), ("gammaln", special.gammaln),
    ("logsumexp", np.logaddexp.reduce), ("isfinite", lambda x: np.where(np.isfinite(x), 1.0, 0.0)),
    ("signbit", lambda x: np.where(np.signbit(x), 1.0, 0.0)), ("huber", lambda x: special.huber(1.0, x)),
]  # fmt: skip


@pytest.mark.parametrize("radius", [np.nan, np.inf])
@pytest.mark.parametrize("function", [f for _, f in UNKNOWN], ids=[name for name, _ in UNKNOWN])
def test_that_nothing_is_claimed_of_a_number_of_which_nothing_is_known(function: Any, radius: float) -> None:
    for centre in (2.0, -0.5, 0.0):
        found = function(Rounded([[centre]], radius, model("float32")))
        for number in (-1000.0, -3.0, 0.0, 1.5, 7.0, 1000.0):
            assert encloses(found, function(np.array([[number]])))


def test_that_a_quotient_by_an_interval_around_zero_is_not_known() -> None:
    y = Rounded([0.5, -0.5, 1.0, 0.0, 2.0], [0.5, 1.0, 2.0, 0.0, 0.25], model("float32"))
    for quotient in (1 / y, 0 / y, np.reciprocal(y), np.ones(5) / y, y**-1, y**-2):
        assert np.isnan(quotient.radius).tolist() == [True, True, True, True, False]


@pytest.mark.parametrize("divide", [lambda x, y: x / y, lambda x, y: x * (x.dtype.type(1) / y)], ids=["/", "*1/"])
def test_that_a_quotient_encloses_division_and_the_product_with_the_reciprocal(divide: Any) -> None:
    x, y = np.random.default_rng(1).uniform(1, 4, (2, 5000)).astype(np.float32)
    assert encloses(stored(x) / stored(y), divide(x, y))


def test_that_nothing_is_rounded_by_a_division_by_one() -> None:
    x = Rounded([3.1, -0.7], [0.0, 2.0**-20], model("bfloat16"))
    assert ((x / 1.0).radius <= x.radius * (1 + 2.0**-40) + model("bfloat16").quantum * 2).all()
    assert ((x / 3.0).radius > x.radius).all()


def test_that_one_rounding_is_too_little_for_the_product_with_the_reciprocal(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(1).uniform(1, 4, (2, 5000)).astype(np.float32)
    monkeypatch.setattr(rounded_module, "DIVISION", 1)
    assert not encloses(stored(x) / stored(y), x * (np.float32(1) / y))


def test_that_a_comparison_is_open_exactly_where_the_intervals_meet() -> None:
    x = Rounded([1.0, 1.0, 1.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.0, 0.0], model("float64"))
    y = Rounded([2.0, 2.0, 2.0, 1.0, 1.0], [0.5, 0.25, 0.75, 0.0, 0.0], model("float64"))
    for compare in rounded_module.COMPARISONS:
        answer = compare(x, y)
        assert isinstance(answer, Trilean)
        assert answer.open.tolist() == [True, False, True, False, False]
        assert answer.true.tolist() == compare(x.value, y.value).tolist()
        assert isinstance(compare(x[3:], y[3:]), np.ndarray)


@pytest.mark.parametrize(("x", "y"), [(1.0, -1e-17), (-1e-17, 1.0), (1.0, -3.0), (0.1, 0.7), (1e-300, 2.0**60)])
@pytest.mark.parametrize("radius", [0.0, 0.25])
def test_that_an_open_where_encloses_both_sides(x: float, y: float, radius: float) -> None:
    sides = [Rounded([side], [radius], model("float64")) for side in (x, y)]
    found = np.where(Rounded([0.0], [1.0], model("float64")) > 0, *sides)
    value, reach = Fraction(found.value.item()), Fraction(found.radius.item())
    ends = [Fraction(side) + sign * Fraction(radius) for side in (x, y) for sign in (-1, 1)]
    assert all(abs(end - value) <= reach for end in ends)


def test_that_a_decided_where_takes_one_side_only() -> None:
    sure = Rounded([3.0, -3.0], [1.0, 1.0], model("float64")) > 0
    found = np.where(sure, Rounded([1.0, np.nan], [0.25, np.nan], model("float64")), -2.0)
    assert (found.value.tolist(), found.radius.tolist()) == ([1.0, -2.0], [0.25, 0.0])


@pytest.mark.parametrize(
    ("x", "y"), [(-0.8701676726341248, -0.54280024766922), (-0.8809064626693726, -0.5351304411888123)]
)
def test_that_logaddexp_encloses_programs_where_the_logarithm_cancels_the_larger(x: float, y: float) -> None:
    x32, y32 = np.float32(x), np.float32(y)
    found = np.logaddexp(stored(x32), stored(y32))
    larger, smaller = max(x32, y32), min(x32, y32)
    assert encloses(found, np.logaddexp(x32, y32))
    assert encloses(found, larger + np.log1p(np.exp(smaller - larger)))


def test_that_structure_keeps_exactness_and_widening_ends_it() -> None:
    x = stored(np.arange(12.0).reshape(3, 4) / 4)
    for same in (
        x[1:],
        x.T,
        np.stack([x, x]),
        np.concatenate([x, x]),
        x.reshape(-1),
        np.flip(x),
        np.where(x > 1, x, 0),
    ):
        assert not np.sum(same).radius.any()
    wider = x.widen(0.5)
    assert (wider.radius >= 0.5).all()
    assert (wider.radius <= 0.5 * OUTWARD).all()
    assert np.sum(wider).radius >= 6
    assert np.sum(np.stack([x, wider])).radius >= 6


def test_that_negative_numbers_have_powers_of_integers_of_both_signs() -> None:
    x, n = np.array([-0.5, -3.0, 4.0, -2.0]), np.array([-1.0, 2.0, -2.0, 0.0])
    found = Rounded.stored(x, model("float32")) ** n
    np.testing.assert_allclose(found.value, [-2.0, 9.0, 0.0625, 1.0])
    assert np.all(found.radius < 1e-5)


@pytest.mark.parametrize("function", [np.exp, np.tanh, special.expit])
@pytest.mark.parametrize("size", [2.0**-30, 2.0**-12, 2.0**-7, 2.0**-5])
def test_that_slopes_bound_a_range(function: Any, size: float) -> None:
    """As the function at both ends, within a few per cent."""
    rng = np.random.default_rng(0)
    x, radius = rng.uniform(-20, 20, 2000), rng.uniform(0.5, 1, 2000) * size
    value = function(x)
    found = by_slope(function, value, radius)
    ends = np.maximum(np.abs(function(x + radius) - value), np.abs(function(x - radius) - value))
    noise = 2.0**-47 * np.abs(value)  # of the sums x + radius, and of the function itself
    assert np.all(found >= ends - noise)
    assert np.all(found <= 1.1 * ends + 2 * noise)
    assert by_slope(function, value, 0.1 + radius) is None
    assert by_slope(np.log, value, radius) is None
