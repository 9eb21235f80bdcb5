"""Rules of the incomplete gamma and beta functions, in ball, rounded and variance arithmetic.

Programs compute each of them as a factor x^a e^-x / Gamma(a), the exponential of a sum of logarithms, times a series of
positive terms or a continued fraction, or as 1 minus that for the complement, so that the factor's error counts in the
smaller of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from flint import arb, ctx
from scipy import special

from gradagree.arithmetic.ball import RADIUS, Ball, precision
from gradagree.arithmetic.ball_rules import entrywise
from gradagree.arithmetic.model import LIBRARY, OUTWARD, OWN
from gradagree.arithmetic.rounded import Rounded, lift_all, result
from gradagree.arithmetic.variance import Variance, lift_all as lift_variances
from gradagree.arithmetic.variance_rules import LIBRARY_DEVIATIONS
from gradagree.reference.operations.incomplete import (
    BY_ORDER,
    beta_density,
    betainc_by_order,
    gamma_density,
    gammainc_by_order,
)

BITS = 128
"""Precision of the balls, whose own rounding should not count."""
FACTOR = 8
"""Error of log Gamma near its zeros, in u, with those of the steps that follow."""


DIGITS = 60
"""Bits of a number that is rounded to float64."""
MOST = 2048


def gamma_order(a: arb, x: arb) -> arb:
    """d/da P(a, x), for P = gamma(a, x) / Gamma(a), by the series gamma(a, x) = sum (-1)^n x^(a+n) / n! / (a+n)."""
    if x.is_zero():
        return arb(0)
    series = (-x).hypgeom([a, a], [a + 1, a + 1])
    first = x.gamma_lower(a, regularized=1) * (x.log() - a.digamma())
    return first - (a * x.log()).exp() / (a * (a + 1).gamma()) * series


def beta_order(a: arb, b: arb, x: arb) -> arb:
    """d/da I_x(a, b), for I_x(a, b) = B_x(a, b) / B(a, b), by the series of B_x(a, b)."""
    if x.is_zero():
        return arb(0)
    series = x.hypgeom([a, a, 1 - b], [a + 1, a + 1])
    whole = (a.lgamma() + b.lgamma() - (a + b).lgamma()).exp()
    found = x.beta_lower(a, b, regularized=1) * (x.log() - a.digamma() + (a + b).digamma())
    return found - (a * x.log()).exp() / (a * a * whole) * series


def rounded_to_float(f: Callable[..., arb]) -> Callable[..., float]:
    """A function of balls as a function of float64, right to its last digits; NaN where it is not known."""

    def run(*xs: float) -> float:
        before, bits = ctx.prec, 2 * DIGITS
        try:
            while bits <= MOST:
                ctx.prec = bits
                found = f(*map(arb, xs))
                if found.is_finite() and (found.is_zero() or found.rel_accuracy_bits() >= DIGITS):
                    return float(found.mid())
                bits *= 2
            return float("nan")
        finally:
            ctx.prec = before

    return run


def on_arrays(f: Callable[..., arb], count: int) -> Callable[..., np.ndarray]:
    """The same function of that many ordinary arrays."""
    run = np.frompyfunc(rounded_to_float(f), count, 1)
    return lambda *xs: np.asarray(run(*(np.asarray(x, float) for x in xs)), dtype=np.float64)


BY_ORDER.update({"gamma": on_arrays(gamma_order, 2), "beta": on_arrays(beta_order, 3)})


class Incomplete(NamedTuple):
    """One function.

    function: Of float64.
    ball: Of balls.
    error: The error of a program, as a multiple of `LIBRARY` u, at the given numbers.
    partials: The derivatives with respect to the operands.
    """

    function: Callable[..., Any]
    ball: Callable[..., arb]
    error: Callable[..., Any]
    partials: tuple[Callable[..., Any], ...]


def gamma_factor(a: Any, x: Any) -> Any:
    """The sum of the magnitudes in the exponent of x^a e^-x / Gamma(a), times the smaller of P and Q."""
    sizes = np.abs(special.xlogy(a, x)) + x + np.abs(special.gammaln(a)) + FACTOR
    return np.minimum(special.gammainc(a, x), special.gammaincc(a, x)) * sizes


def beta_factor(a: Any, b: Any, x: Any) -> Any:
    """The same of x^a (1 - x)^b / B(a, b)."""
    logarithms = sum(np.abs(special.gammaln(z)) for z in (a, b, a + b))
    sizes = np.abs(special.xlogy(a, x)) + np.abs(special.xlog1py(b, -x)) + logarithms + 3 * FACTOR
    return np.minimum(special.betainc(a, b, x), special.betainc(b, a, 1 - x)) * sizes


def gamma_error(a: Any, x: Any) -> Any:
    return gamma_factor(a, x) + special.gammainc(a, x)


def complement_error(a: Any, x: Any) -> Any:
    """Programs compute 1 - P where x < 1 or x < a."""
    return gamma_factor(a, x) + np.where(x < np.maximum(a, 1.0), 1.0, special.gammaincc(a, x))


def beta_error(a: Any, b: Any, x: Any) -> Any:
    return beta_factor(a, b, x) + special.betainc(a, b, x)


def gamma_order_error(a: Any, x: Any) -> Any:
    """The derivative is a sum whose terms are the function times log x and digamma(a), with the series' derivative."""
    scale = 1.0 + np.abs(np.log(x)) + np.abs(special.digamma(a)) + 1 / a
    return np.where(x == 0, 0.0, gamma_factor(a, x) * scale)


def beta_order_error(a: Any, b: Any, x: Any) -> Any:
    scale = 1.0 + np.abs(np.log(x)) + np.abs(special.digamma(a)) + np.abs(special.digamma(a + b)) + 1 / a
    return np.where(x == 0, 0.0, beta_factor(a, b, x) * scale)


def unknown(*xs: Any) -> Any:
    """A second derivative that has no formula here."""
    return np.full(np.broadcast_shapes(*map(np.shape, xs)), np.nan)


FUNCTIONS: dict[Any, Incomplete] = {
    special.gammainc: Incomplete(
        special.gammainc, lambda a, x: x.gamma_lower(a, regularized=1), gamma_error, (gammainc_by_order, gamma_density)
    ),
    special.gammaincc: Incomplete(
        special.gammaincc, lambda a, x: x.gamma_upper(a, regularized=1), complement_error,
        (lambda a, x: -gammainc_by_order(a, x), lambda a, x: -gamma_density(a, x)),
    ),
    special.betainc: Incomplete(
        special.betainc, lambda a, b, x: x.beta_lower(a, b, regularized=1), beta_error,
        (betainc_by_order, lambda a, b, x: -betainc_by_order(b, a, 1 - x), beta_density),
    ),
    gammainc_by_order: Incomplete(
        gammainc_by_order, gamma_order, gamma_order_error,
        (unknown, lambda a, x: gamma_density(a, x) * (np.log(x) - special.digamma(a))),
    ),
    betainc_by_order: Incomplete(
        betainc_by_order, beta_order, beta_order_error,
        (unknown, unknown, lambda a, b, x: beta_density(a, b, x)
         * (np.log(x) - special.digamma(a) + special.digamma(a + b))),
    ),
}  # fmt: skip


def spread_of(f: Incomplete, xs: tuple[Rounded, ...], value: Any) -> Any:
    """How far the function of all numbers within the radii is from the value, by ball arithmetic."""
    if not any(x.radius.any() for x in xs):
        return 0.0
    with precision(BITS):
        balls = [np.frompyfunc(lambda v, r: arb(float(v), float(r)), 2, 1)(x.value, x.radius) for x in xs]
        found = entrywise(f.ball, len(balls))(*map(Ball, balls))
    middle, radius = found.middle, np.asarray(RADIUS(found.balls), dtype=np.float64)
    return (np.abs(middle - value) + radius + OWN * np.abs(value)) * OUTWARD


def rounded(f: Incomplete) -> Callable[..., Rounded]:
    def rule(*xs: Any) -> Rounded:
        numbers = lift_all(*xs)
        model, values = numbers[0].model, [x.value for x in numbers]
        value = f.function(*values)
        own = LIBRARY * (model.accumulator.u + OWN) * f.error(*values)
        return result(value, spread_of(f, numbers, value) + own, model, keep=value == 0)

    return rule


def variance(f: Incomplete) -> Callable[..., Variance]:
    """An exact operand contributes nothing, whatever the partial derivative."""

    def rule(*xs: Any) -> Variance:
        numbers = lift_variances(*xs)
        model, values = numbers[0].model, [x.value for x in numbers]
        value: Any = f.function(*values)
        inherited: Any = 0.0
        for x, partial in zip(numbers, f.partials, strict=True):
            if x.variance.any():
                inherited = inherited + np.where(x.variance == 0, 0.0, partial(*values) ** 2 * x.variance)
        own = LIBRARY_DEVIATIONS * model.accumulator.u * f.error(*values) + model.u * np.abs(value)
        return Variance(value, inherited + np.square(own), model)

    return rule


Ball.rules.update({key: entrywise(f.ball, len(f.partials)) for key, f in FUNCTIONS.items()})
Rounded.rules.update({key: rounded(f) for key, f in FUNCTIONS.items()})
Variance.rules.update({key: variance(f) for key, f in FUNCTIONS.items()})
