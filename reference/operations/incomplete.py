"""Incomplete gamma and beta functions, and their derivatives with respect to the order, which Arb computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, ctx
from scipy import special

from gradagree.reference.operations.moves import constant
from gradagree.reference.operations.primitive import overridable, register, sum_to

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


GAMMA_ORDER, BETA_ORDER = (np.frompyfunc(rounded_to_float(f), n, 1) for f, n in ((gamma_order, 2), (beta_order, 3)))


@overridable
def gammainc_by_order(a: Any, x: Any) -> Any:
    """The derivative of scipy.special.gammainc(a, x) with respect to a.

    Example:
        >>> round(float(gammainc_by_order(1.0, 1.0)), 6)
        -0.431775
    """
    return np.asarray(GAMMA_ORDER(np.asarray(a, float), np.asarray(x, float)), dtype=np.float64)


@overridable
def betainc_by_order(a: Any, b: Any, x: Any) -> Any:
    """The derivative of scipy.special.betainc(a, b, x) with respect to a.

    Example:
        >>> round(float(betainc_by_order(1.0, 1.0, 0.5)), 6)
        -0.346574
    """
    return np.asarray(BETA_ORDER(*(np.asarray(z, float) for z in (a, b, x))), dtype=np.float64)


def together(*xs: Any) -> list[Any]:
    """The operands in one arithmetic: a program computes the logarithm of a constant's Gamma, too, and rounds it."""
    first = next((x for x in xs if hasattr(x, "_lift")), None)
    return [x if first is None or hasattr(x, "_lift") else constant(first, x) for x in xs]


def gamma_density(a: Any, x: Any) -> Any:
    """d/dx P(a, x)."""
    a, x = together(a, x)
    return np.exp((a - 1) * np.log(x) - x - special.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """d/dx I_x(a, b)."""
    a, b, x = together(a, b, x)
    whole = special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)
    return np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - whole)


def gammainc(sign: float) -> Callable[..., Any]:
    def vjp(g: Any, y: Any, a: Any, x: Any) -> tuple[Any, Any]:
        partials = gammainc_by_order(a, x), gamma_density(a, x)
        by_a, by_x = (sum_to(sign * g * partial, np.shape(z)) for partial, z in zip(partials, (a, x), strict=True))
        return by_a, by_x

    return vjp


def betainc(g: Any, y: Any, a: Any, b: Any, x: Any) -> tuple[Any, Any, Any]:
    """I_x(a, b) = 1 - I_(1-x)(b, a)."""
    partials = betainc_by_order(a, b, x), -betainc_by_order(b, a, 1 - x), beta_density(a, b, x)
    by_a, by_b, by_x = (sum_to(g * partial, np.shape(z)) for partial, z in zip(partials, (a, b, x), strict=True))
    return by_a, by_b, by_x


register(special.gammainc, gammainc(1.0))
register(special.gammaincc, gammainc(-1.0))
register(special.betainc, betainc)
register(gammainc_by_order, None)
register(betainc_by_order, None)
