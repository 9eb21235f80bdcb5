"""Functions of balls enclose the truth: power series, and identities between the functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball
from gradagree.arithmetic.ball import lift, precision
from gradagree.arithmetic.ball_rules import FUNCTIONS

X = np.array([[0.375, -1.25, 3.0], [-0.0625, 0.5, -7.0]])
FRACTIONS = (
    np.absolute, np.fabs, np.negative, np.positive, np.sign, np.ceil, np.floor, np.rint, np.trunc, np.reciprocal,
    np.square,
)  # fmt: skip
"""Functions of fractions that are fractions."""


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


def fraction(x: flint.arb) -> Fraction:
    """An exact number of Arb's."""
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


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
    special.i0: lambda k: Fraction(0) if k % 2 else Fraction(1, 2**k * math.factorial(k // 2) ** 2),
    special.i1: lambda k: Fraction(k % 2, 2**k * math.factorial(k // 2) * math.factorial(k // 2 + 1)),
    special.exprel: lambda k: Fraction(1, math.factorial(k + 1)),
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
    np.cosh: (X, lambda x: np.cosh(x) ** 2, lambda x: 1 + np.sinh(x) ** 2),
    np.arccosh: (np.abs(X) + 1, lambda x: np.cosh(np.arccosh(x)), lambda x: x),
    np.arctanh: (X / 8, lambda x: np.tanh(np.arctanh(x)), lambda x: x),
    np.tan: (X, lambda x: np.tan(x) * np.cos(x), np.sin),
    np.arcsin: (X / 8, lambda x: np.sin(np.arcsin(x)), lambda x: x),
    np.arccos: (X / 8, lambda x: np.cos(np.arccos(x)), lambda x: x),
    np.arctan2: (X, lambda x: np.tan(np.arctan2(x, -1.75)), lambda x: x / -1.75),
    np.hypot: (X, lambda x: np.hypot(x, 0.5) ** 2, lambda x: x * x + 0.25),
    np.sinc: (X - 0.21875, lambda x: np.sinc(x) * np.pi * x, lambda x: np.sin(np.pi * x)),
    np.logaddexp: (X, lambda x: np.exp(np.logaddexp(x, 0.5)), lambda x: np.exp(x) + np.exp(Ball.exact(0.5))),
    special.expit: (X, special.expit, lambda x: 1 / (1 + np.exp(-x))),
    special.log_expit: (X, lambda x: np.exp(special.log_expit(x)), special.expit),
    special.erfc: (X, special.erfc, lambda x: 1 - special.erf(x)),
    special.ndtr: (X, special.ndtr, lambda x: (1 + special.erf(x / np.sqrt(Ball.exact(2.0)))) / 2),
    special.expi: (-np.abs(X), special.expi, lambda x: -special.exp1(-x)),
    special.exp1: (np.abs(X), lambda x: -special.exp1(x), lambda x: special.expi(-x)),
    special.erfcx: (X, lambda x: np.exp(-x * x) * special.erfcx(x), special.erfc),
    special.erfinv: (X / 8, lambda x: special.erf(special.erfinv(x)), lambda x: x),
    special.erfcinv: (np.abs(X) / 8, lambda x: special.erfc(special.erfcinv(x)), lambda x: x),
    special.ndtri: (np.abs(X) / 8, lambda x: special.ndtr(special.ndtri(x)), lambda x: x),
    special.logit: (np.abs(X) / 8, lambda x: special.expit(special.logit(x)), lambda x: x),
    special.i0e: (X, lambda x: special.i0e(x) * np.exp(np.abs(x)), special.i0),
    special.i1e: (X, lambda x: special.i1e(x) * np.exp(np.abs(x)), special.i1),
    special.gamma: (X - 0.21875, lambda x: special.gamma(x + 1), lambda x: x * special.gamma(x)),
    special.gammaln: (X - 0.21875, lambda x: np.exp(special.gammaln(x)), lambda x: np.abs(special.gamma(x))),
    special.digamma: (X - 0.21875, lambda x: special.digamma(x + 1), lambda x: special.digamma(x) + 1 / x),
    special.zeta: (np.abs(X), lambda x: special.zeta(2.0, x), lambda x: special.zeta(2.0, x + 1) + 1 / x**2),
    special.logsumexp: (X, lambda x: np.exp(np.logaddexp.reduce(x)), lambda x: np.sum(np.exp(x), axis=0)),
    special.log_ndtr: (X, lambda x: np.exp(special.log_ndtr(x)), special.ndtr),
}


@pytest.mark.parametrize("f", IDENTITIES, ids=lambda f: f.__name__)
def test_that_functions_obey_their_identities(f: Any) -> None:
    points, left, right = IDENTITIES[f]
    pairs = list(zip(left(Ball.exact(points)).balls.ravel(), right(Ball.exact(points)).balls.ravel(), strict=True))
    assert all(x.overlaps(y) for x, y in pairs)
    assert not any((x * (1 + flint.arb(2) ** -100)).overlaps(y) for x, y in pairs)


def test_that_every_function_is_tested_here() -> None:
    assert set(FUNCTIONS) == {*FRACTIONS, *SERIES, *IDENTITIES} - {
        np.arctan2, np.hypot, np.logaddexp, special.zeta, special.logsumexp,
    }  # fmt: skip


UNARY = [*SERIES, *IDENTITIES, *FRACTIONS]
SEVERAL = (np.arctan2, np.hypot, np.logaddexp, special.zeta, special.logsumexp)


@pytest.mark.parametrize("f", [f for f in UNARY if f not in SEVERAL], ids=lambda f: f.__name__)
@pytest.mark.parametrize("radius", [2.0**-40, 0.25, 2.0])
def test_that_a_ball_of_inputs_encloses_the_answer_to_each(f: Any, radius: float) -> None:
    for middle in (0.5, 1.75, -0.125, 0.0, 6.0):
        wide = lift(f(Ball([flint.arb(middle, radius)]))).balls[0]
        members = [middle + side * radius for side in (-1, -0.5, 0, 0.75, 1)]
        answers = [lift(f(Ball.exact([member]))).balls[0] for member in members]
        assert all(wide.overlaps(y) or not wide.is_finite() for y in answers if y.is_finite())


def test_that_a_cube_root_is_known_at_and_around_zero() -> None:
    assert np.cbrt(Ball.exact([0.0])).balls[0].is_zero()
    around = np.cbrt(Ball([flint.arb(1, 9)])).balls[0]
    assert around.is_finite()
    assert all(around.contains(x) for x in (-2, 0, 1, 2))
