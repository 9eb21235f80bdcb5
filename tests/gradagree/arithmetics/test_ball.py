"""Ball arithmetic encloses the truth: exact fractions, power series, and identities between the functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetics import Ball
from gradagree.arithmetics.ball import lift, precision
from gradagree.arithmetics.rounded import COMPARISONS

BITS = 200
X = np.array([[0.375, -1.25, 3.0], [-0.0625, 0.5, -7.0]])
Y = np.array([[2.5, -1.25, 0.75], [6.0, -0.125, 0.5]])


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def fraction(x: flint.arb) -> Fraction:
    """An exact number of Arb's."""
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def encloses(ball: flint.arb, exact: Any) -> bool:
    """Whether the ball contains the fraction and is as small as its precision allows."""
    middle, radius = fraction(ball.mid()), fraction(ball.rad())
    return abs(middle - exact) <= radius <= (abs(middle) + 1) * Fraction(2) ** (8 - BITS)


def entry_by_entry(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function on arrays of fractions."""
    return np.vectorize(f, otypes=[object])


RATIONAL: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {
    np.add: (np.add, np.add), np.subtract: (np.subtract, np.subtract), np.multiply: (np.multiply, np.multiply),
    np.divide: (np.divide, np.divide), np.matmul: (lambda x, y: x @ y.T, lambda x, y: x.dot(y.T)),
    np.negative: (lambda x, y: -x, lambda x, y: -x), np.positive: (lambda x, y: +x, lambda x, y: x),
    np.absolute: (lambda x, y: np.abs(x), lambda x, y: abs(x)), np.fabs: (lambda x, y: np.fabs(x), lambda x, y: abs(x)),
    np.square: (lambda x, y: np.square(x), lambda x, y: x * x), np.reciprocal: (lambda x, y: 1 / x, lambda x, y: 1 / x),
    np.power: (lambda x, y: x**3 * y**-2 + x**0, lambda x, y: x * x * x / (y * y) + 1),
    np.maximum: (np.maximum, entry_by_entry(max)), np.minimum: (np.minimum, entry_by_entry(min)),
    np.sign: (lambda x, y: np.sign(x), entry_by_entry(lambda x, y: Fraction((x > 0) - (x < 0)))),
    np.sum: (lambda x, y: np.sum(x, axis=-1), lambda x, y: np.sum(x, axis=-1)),
    np.mean: (lambda x, y: np.mean(x * y), lambda x, y: np.sum(x * y) / 6),
    np.max: (lambda x, y: np.max(x, axis=0), lambda x, y: np.max(x, axis=0)),
    np.min: (lambda x, y: np.min(x, axis=0, keepdims=True), lambda x, y: np.min(x, axis=0, keepdims=True)),
    np.clip: (lambda x, y: np.clip(x, -1, 0.5), entry_by_entry(lambda x, y: min(max(x, -1), Fraction(1, 2)))),
    np.where: (lambda x, y: np.where(x > y, x, 2.0), entry_by_entry(lambda x, y: x if x > y else 2)),
}  # fmt: skip


@pytest.mark.parametrize("rule", RATIONAL, ids=lambda f: f.__name__)
def test_that_rational_functions_enclose_the_exact_fraction(rule: Any) -> None:
    on_balls, on_fractions = RATIONAL[rule]
    x, y = (entry_by_entry(Fraction)(z) for z in (X, Y))
    found, exact = np.ravel(on_balls(Ball.exact(X), Ball.exact(Y)).balls), np.ravel(on_fractions(x, y))
    assert found.shape == exact.shape
    assert all(encloses(ball, number) for ball, number in zip(found, exact, strict=True))
    assert not any(encloses(ball + flint.arb(2) ** -60, number) for ball, number in zip(found, exact, strict=True))


@pytest.mark.parametrize("reduce", [np.max, np.min, np.sum, np.mean], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (-2, -1)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_that_reductions_run_over_any_axes(reduce: Any, axis: Any, keepdims: bool) -> None:
    found = reduce(Ball.exact(X), axis=axis, keepdims=keepdims)
    exact = reduce(entry_by_entry(Fraction)(X), axis=axis, keepdims=keepdims)
    assert found.shape == np.shape(exact)
    assert all(encloses(ball, number) for ball, number in zip(np.ravel(found.balls), np.ravel(exact), strict=True))


def term(f: Callable[[int], Fraction], x: Fraction) -> tuple[Fraction, Fraction]:
    """The sum of 80 terms of a power series, and ten times the last one, more than is missing."""
    terms = [f(k) * x**k for k in range(80)]
    return sum(terms), 10 * max(abs(t) for t in terms[-3:])


def odd(f: Callable[[int], Fraction]) -> Callable[[int], Fraction]:
    return lambda k: (-1) ** (k // 2) * f(k) if k % 2 else Fraction(0)


SERIES: dict[Any, Callable[[int], Fraction]] = {
    np.exp: lambda k: Fraction(1, math.factorial(k)),
    np.sin: odd(lambda k: Fraction(1, math.factorial(k))),
    np.cos: lambda k: Fraction(0) if k % 2 else Fraction((-1) ** (k // 2), math.factorial(k)),
    np.arctan: odd(lambda k: Fraction(1, k)),
    np.log1p: lambda k: Fraction((-1) ** (k + 1), k) if k else Fraction(0),
    special.erf: odd(lambda k: Fraction(1, k * math.factorial(k // 2))),
}


@pytest.mark.parametrize("f", SERIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("x", [0.375, -0.25, 2.0**-30])
def test_that_functions_are_their_power_series(f: Any, x: float) -> None:
    ball = f(Ball.exact([x])).balls[0]
    if f is special.erf:
        ball = ball * flint.arb.pi().sqrt() / 2
    near, missing = term(SERIES[f], Fraction(x))
    assert abs(fraction(ball.mid()) - near) <= fraction(ball.rad()) + missing
    assert fraction(ball.rad()) + missing < abs(near) / 2**60


def log(x: Any) -> Any:
    return np.log1p(x - 1)


IDENTITIES: dict[Any, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    np.log: (np.abs(X), lambda x: np.exp(np.log(x)), lambda x: x),
    np.expm1: (X, np.expm1, lambda x: np.exp(x) - 1),
    np.exp2: (X, np.exp2, lambda x: np.exp(-x * np.log1p(Ball.exact(-0.5)))),
    np.log2: (np.abs(X), lambda x: np.exp2(np.log2(x)), lambda x: x),
    np.log10: (np.abs(X), lambda x: np.log10(x) * log(Ball.exact(10.0)), log),
    np.tanh: (X, np.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1)),
    np.sinh: (X, np.sinh, lambda x: (np.exp(x) - np.exp(-x)) / 2),
    np.sqrt: (np.abs(X), lambda x: np.sqrt(x) * np.sqrt(x), lambda x: x),
    np.cbrt: (X, lambda x: np.cbrt(x) * np.cbrt(x) * np.cbrt(x), lambda x: x),
    np.arcsinh: (X, lambda x: np.sinh(np.arcsinh(x)), lambda x: x),
    np.logaddexp: (X, lambda x: np.exp(np.logaddexp(x, 0.5)), lambda x: np.exp(x) + np.exp(Ball.exact(0.5))),
    special.expit: (X, special.expit, lambda x: 1 / (1 + np.exp(-x))),
    special.log_expit: (X, lambda x: np.exp(special.log_expit(x)), special.expit),
    special.erfc: (X, special.erfc, lambda x: 1 - special.erf(x)),
    special.ndtr: (X, special.ndtr, lambda x: (1 + special.erf(x / np.sqrt(Ball.exact(2.0)))) / 2),
    special.log_ndtr: (X, lambda x: np.exp(special.log_ndtr(x)), special.ndtr),
}


@pytest.mark.parametrize("f", IDENTITIES, ids=lambda f: f.__name__)
def test_that_functions_obey_their_identities(f: Any) -> None:
    points, left, right = IDENTITIES[f]
    pairs = list(zip(left(Ball.exact(points)).balls.ravel(), right(Ball.exact(points)).balls.ravel(), strict=True))
    assert all(x.overlaps(y) for x, y in pairs)
    assert not any((x * (1 + flint.arb(2) ** -100)).overlaps(y) for x, y in pairs)


def test_that_every_rule_is_tested_here() -> None:
    assert {*RATIONAL, *SERIES, *IDENTITIES, *COMPARISONS} == set(Ball.rules)


UNARY = [*SERIES, *IDENTITIES, np.square, np.absolute, np.reciprocal, np.sign]


@pytest.mark.parametrize("f", [f for f in UNARY if f is not np.logaddexp], ids=lambda f: f.__name__)
@pytest.mark.parametrize("radius", [2.0**-40, 0.25, 2.0])
def test_that_a_ball_of_inputs_encloses_the_answer_to_each(f: Any, radius: float) -> None:
    for middle in (0.5, 1.75, -0.125, 0.0, 6.0):
        wide = lift(f(Ball([flint.arb(middle, radius)]))).balls[0]
        members = [middle + side * radius for side in (-1, -0.5, 0, 0.75, 1)]
        answers = [lift(f(Ball.exact([member]))).balls[0] for member in members]
        assert all(wide.overlaps(y) or not wide.is_finite() for y in answers if y.is_finite())


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("middle", [0.0, 0.25, -0.25, 3.0])
def test_that_a_power_of_a_ball_around_zero_is_known(n: int, middle: float) -> None:
    wide = (Ball([flint.arb(middle, 0.5)]) ** n).balls[0]
    assert wide.is_finite()
    assert all(wide.contains(flint.arb(middle + side) ** n) for side in (-0.5, -0.125, 0.5))
