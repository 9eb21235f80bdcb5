"""Functions of one arb number; each result encloses the function of every number in the ball."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb
from scipy import special


def larger(x: arb, y: arb) -> arb:
    return x.max(y)


def smaller(x: arb, y: arb) -> arb:
    return -larger(-x, -y)


def sign(x: arb) -> arb:
    if x.is_zero():
        return arb(0)
    return arb(1) if x > 0 else arb(-1) if x < 0 else arb(0, 1)


def nearest(x: arb) -> arb:
    """The nearest integer; ties go to the even one."""
    up, down = (x + 0.5).floor(), (x - 0.5).ceil()
    if up == down:
        return up
    if x.is_exact() and up.is_exact():
        return up if (up / 2).is_integer() else down
    return up.union(down)


def trunc(x: arb) -> arb:
    return x.floor() if x >= 0 else x.ceil() if x <= 0 else x.floor().union(x.ceil())


def cbrt(x: arb) -> arb:
    if x.is_zero() or not x.is_finite():
        return x
    if x > 0:
        return x.root(3)
    return -((-x).root(3)) if x < 0 else cbrt(x.lower()).union(cbrt(x.upper()))


def whole_power(x: arb, n: int) -> arb:
    if n < 0:
        return 1 / whole_power(x, -n)
    y = arb(1)
    for _ in range(n):
        y = y * x
    return y


def expit(x: arb) -> arb:
    return 1 / (1 + (-x).exp())


def ndtr(x: arb) -> arb:
    return (-x / arb(2).sqrt()).erfc() / 2


def gammaln(x: arb) -> arb:
    return x.lgamma() if x > 0 else abs(x.gamma()).log()


def between(f: Callable[[arb], arb], *turns: int) -> Callable[[arb], arb]:
    """A function that is monotone between turning points, evaluated at the ends: its series is too wide on balls."""

    def rule(x: arb) -> arb:
        if x.is_exact() or not x.is_finite():
            return f(x)
        ends = [x.lower(), x.upper(), *(arb(turn) for turn in turns if x.contains(turn))]
        return functools.reduce(arb.union, map(f, ends))

    return rule


def scaled(f: Callable[[arb], arb]) -> Callable[[arb], arb]:
    return lambda x: (-abs(x)).exp() * f(x)


i0 = between(lambda x: x.bessel_i(0), 0)
i1 = between(lambda x: x.bessel_i(1))

FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    np.absolute: abs, np.fabs: abs, np.negative: lambda x: -x, np.positive: lambda x: x, np.sign: sign,
    np.ceil: lambda x: x.ceil(), np.floor: lambda x: x.floor(), np.rint: nearest, np.trunc: trunc,
    np.cbrt: cbrt, np.reciprocal: lambda x: 1 / x, np.sqrt: lambda x: x.sqrt(), np.square: lambda x: x * x,
    np.exp: lambda x: x.exp(), np.exp2: lambda x: arb(2) ** x, np.expm1: lambda x: x.expm1(),
    np.log: lambda x: x.log(), np.log10: lambda x: x.log() / arb(10).log(), np.log1p: lambda x: x.log1p(),
    np.log2: lambda x: x.log() / arb(2).log(),
    np.cos: lambda x: x.cos(), np.sin: lambda x: x.sin(), np.sinc: lambda x: x.sinc_pi(), np.tan: lambda x: x.tan(),
    np.arccos: lambda x: x.acos(), np.arcsin: lambda x: x.asin(), np.arctan: lambda x: x.atan(),
    np.cosh: lambda x: x.cosh(), np.sinh: lambda x: x.sinh(), np.tanh: lambda x: x.tanh(),
    np.arccosh: lambda x: x.acosh(), np.arcsinh: lambda x: x.asinh(), np.arctanh: lambda x: x.atanh(),
    special.digamma: lambda x: x.digamma(), special.gamma: lambda x: x.gamma(), special.gammaln: gammaln,
    special.erf: lambda x: x.erf(), special.erfc: lambda x: x.erfc(), special.erfcinv: lambda x: x.erfcinv(),
    special.erfcx: lambda x: (x * x).exp() * x.erfc(), special.erfinv: lambda x: x.erfinv(),
    special.expit: expit, special.log_expit: lambda x: -((-x).exp().log1p()),
    special.logit: lambda x: (x / (1 - x)).log(), special.exprel: between(lambda x: x.hypgeom_1f1(1, 2)),
    special.ndtr: ndtr, special.log_ndtr: lambda x: ndtr(x).log(),
    special.ndtri: lambda x: -arb(2).sqrt() * (2 * x).erfcinv(),
    special.i0: i0, special.i0e: scaled(i0), special.i1: i1, special.i1e: scaled(i1),
}  # fmt: skip
