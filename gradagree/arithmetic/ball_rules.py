"""Rules of ball arithmetic, by Arb's functions; each result encloses the function of every number in the balls."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from flint import arb
from scipy import special

from gradagree.arithmetic.ball import Ball, lift
from gradagree.arithmetic.derived import log_sum_exp
from gradagree.arithmetic.duck import Duck, NoRule
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.three_valued import Trilean, split
from gradagree.reference.operations.scatter import put


def maximum(x: arb, y: arb) -> arb:
    return x.max(y)


def minimum(x: arb, y: arb) -> arb:
    return -maximum(-x, -y)


def sign(x: arb) -> arb:
    if x.is_zero():
        return arb(0)
    return arb(1) if x > 0 else arb(-1) if x < 0 else arb(0, 1)


def rint(x: arb) -> arb:
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


def integer_power(x: arb, n: int) -> arb:
    if n < 0:
        return 1 / integer_power(x, -n)
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


def piecewise_monotone(f: Callable[[arb], arb], *turns: int) -> Callable[[arb], arb]:
    """A function that is monotone between turning points, evaluated at the ends: its series is too wide on balls."""

    def rule(x: arb) -> arb:
        if x.is_exact() or not x.is_finite():
            return f(x)
        ends = [x.lower(), x.upper(), *(arb(turn) for turn in turns if x.contains(turn))]
        return functools.reduce(arb.union, map(f, ends))

    return rule


def exponential_scaling(f: Callable[[arb], arb]) -> Callable[[arb], arb]:
    return lambda x: (-abs(x)).exp() * f(x)


i0 = piecewise_monotone(lambda x: x.bessel_i(0), 0)
i1 = piecewise_monotone(lambda x: x.bessel_i(1))

FUNCTIONS: dict[Any, Callable[[arb], arb]] = {
    np.absolute: abs, np.fabs: abs, np.negative: lambda x: -x, np.positive: lambda x: x, np.sign: sign,
    np.ceil: lambda x: x.ceil(), np.floor: lambda x: x.floor(), np.rint: rint, np.trunc: trunc,
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
    special.exp1: lambda x: x.expint(1), special.expi: lambda x: x.ei(),
    special.erfcx: lambda x: (x * x).exp() * x.erfc(), special.erfinv: lambda x: x.erfinv(),
    special.expit: expit, special.log_expit: lambda x: -((-x).exp().log1p()),
    special.logit: lambda x: (x / (1 - x)).log(), special.exprel: piecewise_monotone(lambda x: x.hypgeom_1f1(1, 2)),
    special.ndtr: ndtr, special.log_ndtr: lambda x: ndtr(x).log(),
    special.ndtri: lambda x: -arb(2).sqrt() * (2 * x).erfcinv(),
    special.i0: i0, special.i0e: exponential_scaling(i0), special.i1: i1, special.i1e: exponential_scaling(i1),
}  # fmt: skip


def entrywise(f: Callable[..., Any], operands: int = 1) -> Callable[..., Ball]:
    """A rule that applies a function of arb numbers entry by entry."""
    mapped = np.frompyfunc(f, operands, 1)
    return lambda *xs: Ball(mapped(*(lift(x).balls for x in xs)))


def power(x: Any, n: Any) -> Ball:
    if isinstance(n, Ball):
        return entrywise(lambda x, y: x**y, 2)(x, n)
    if np.ndim(n):
        return entrywise(lambda x, y: integer_power(x, int(float(y))) if y.is_integer() else x**y, 2)(x, n)
    if float(n) == int(n):
        return entrywise(lambda x: integer_power(x, int(n)))(x)
    return entrywise(lambda x: x ** flint.arb(float(n)))(x)


def zeta(s: Any, x: Any) -> Ball:
    if isinstance(s, Duck):
        raise NoRule("ball arithmetic supports zeta(s, x) only for ordinary numbers s")
    return entrywise(lambda x: hurwitz(float(s), x))(x)


FARTHEST = 1000
"""Number of steps of a recurrence, beyond which nothing is proved."""


def hurwitz(s: float, x: arb) -> arb:
    """Hurwitz's zeta function; for x < 0 and integers s by zeta(s, x) = x^-s + zeta(s, x + 1)."""
    found = arb(0)
    while not x > 0 and x > -FARTHEST and s == round(s):
        found, x = found + 1 / x ** int(s), x + 1
    return found + arb(s).zeta(x)


def total(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    return Ball(np.sum(x.balls, axis=axis, keepdims=keepdims))


def mean(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    added = total(x, axis, keepdims)
    return added / float(x.size // max(added.size, 1))


def log_sum(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    return log_sum_exp(x, Ball.exact(np.max(x.middle, axis=axis, keepdims=True)), axis, keepdims)


def extremum(pick: Callable[[Any, Any], Any]) -> Callable[..., Ball]:
    folded = np.frompyfunc(pick, 2, 1)

    def rule(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        balls = x.balls
        for one in sorted((a % x.ndim for a in axes), reverse=True):
            balls = folded.reduce(balls, axis=one, keepdims=keepdims)
        return Ball(balls)

    return rule


def sort(x: Ball, axis: int = -1) -> Ball:
    """The k-th smallest number lies between the k-th smallest lower end and the k-th smallest upper end."""
    lower, upper = (np.sort(entrywise(end)(x).balls, axis=axis) for end in (flint.arb.lower, flint.arb.upper))
    return entrywise(lambda a, b: a if a == b else a.union(b), 2)(Ball(lower), Ball(upper))


def where(condition: Any, x: Any, y: Any) -> Ball:
    true, open = split(condition)
    x, y = lift(x), lift(y)
    chosen = np.where(true, x.balls, y.balls)
    both = np.frompyfunc(lambda a, b: a.union(b), 2, 1)(x.balls, y.balls) if open.any() else chosen
    return Ball(np.where(open, both, chosen))


def truth_values(true: Any, false: Any) -> Any:
    """Truth values, open where neither true nor false is certain."""
    true, false = np.asarray(true, dtype=bool), np.asarray(false, dtype=bool)
    return true if (true | false).all() else Trilean(true, ~(true | false), lift)


def compare(f: Any) -> Callable[[Any, Any], Any]:
    """Decided where Arb proves the relation or its opposite."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lift(x), lift(y)
        return truth_values(HOLDS[f](x.balls, y.balls), HOLDS[OPPOSITES[f]](x.balls, y.balls))

    return rule


def classify(holds: Callable[[Any], bool], fails: Callable[[Any], bool]) -> Callable[[Ball], Any]:
    """A predicate on single numbers, decided where one of two tests succeeds."""
    mapped = [np.frompyfunc(test, 1, 1) for test in (holds, fails)]
    return lambda x: truth_values(*(test(x.balls) for test in mapped))


def is_infinite(x: flint.arb) -> bool:
    return bool(x.is_exact() and not x.is_finite() and not x.is_nan())


def is_given_nan(x: flint.arb) -> bool:
    """True for NaN that was given; what is not known, such as the root of a negative number, has an infinite radius."""
    return bool(x.is_exact() and x.is_nan())


OPPOSITES: dict[Any, Any] = {
    np.greater: np.less_equal, np.less_equal: np.greater, np.less: np.greater_equal, np.greater_equal: np.less,
    np.equal: np.not_equal, np.not_equal: np.equal,
}  # fmt: skip
HOLDS: dict[Any, Any] = {
    np.greater: np.frompyfunc(lambda x, y: x > y, 2, 1),
    np.greater_equal: np.frompyfunc(lambda x, y: x >= y, 2, 1),
    np.less: np.frompyfunc(lambda x, y: x < y, 2, 1),
    np.less_equal: np.frompyfunc(lambda x, y: x <= y, 2, 1),
    np.equal: np.frompyfunc(lambda x, y: x == y, 2, 1),
    np.not_equal: np.frompyfunc(lambda x, y: x != y, 2, 1),
}


def replaced(x: Any, index: Any, values: Any) -> Ball:
    return Ball(put(lift(x).balls, index, lift(values).balls))


def matmul(x: Any, y: Any) -> Ball:
    return Ball(np.matmul(lift(x).balls, lift(y).balls))


Ball.rules.update({
    np.add: entrywise(lambda x, y: x + y, 2), np.subtract: entrywise(lambda x, y: x - y, 2),
    np.multiply: entrywise(lambda x, y: x * y, 2), np.divide: entrywise(lambda x, y: x / y, 2), np.matmul: matmul,
    np.maximum: entrywise(maximum, 2), np.minimum: entrywise(minimum, 2), np.power: power, special.zeta: zeta,
    np.hypot: entrywise(lambda x, y: (x**2 + y**2).sqrt(), 2), np.arctan2: entrywise(flint.arb.atan2, 2),
    np.logaddexp: entrywise(lambda x, y: maximum(x, y) + (-abs(x - y)).exp().log1p(), 2),
    np.sum: total, np.mean: mean, np.max: extremum(maximum), np.min: extremum(minimum), special.logsumexp: log_sum,
    np.sort: sort, put: replaced,
    np.cumsum: lambda x, axis=None: Ball(np.cumsum(x.balls, axis=axis)), np.where: where,
    np.isfinite: classify(lambda x: x.is_finite(), lambda x: is_infinite(x) or is_given_nan(x)),
    np.isinf: classify(is_infinite, lambda x: x.is_finite() or is_given_nan(x)),
    np.isnan: classify(is_given_nan, lambda x: x.is_finite() or is_infinite(x)),
    np.signbit: classify(lambda x: x < 0, lambda x: x > 0),
    **{f: entrywise(function) for f, function in FUNCTIONS.items()}, **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
