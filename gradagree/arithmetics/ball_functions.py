"""Rules of ball arithmetic: sums, products, comparisons, where, and Arb's functions entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from scipy import special

from gradagree.arithmetics.ball import Ball, lift
from gradagree.arithmetics.ball_library import FUNCTIONS, larger, smaller, whole_power
from gradagree.arithmetics.derived_arrays import log_sum_exp
from gradagree.arithmetics.duck import Duck
from gradagree.arithmetics.refusals import NoRule
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.trilean import Trilean, split


def each(f: Callable[..., Any], operands: int = 1) -> Callable[..., Ball]:
    """A rule that applies a function of arb numbers entry by entry."""
    mapped = np.frompyfunc(f, operands, 1)
    return lambda *xs: Ball(mapped(*(lift(x).balls for x in xs)))


def power(x: Any, n: Any) -> Ball:
    if isinstance(n, Ball):
        return each(lambda x, y: x**y, 2)(x, n)
    if np.ndim(n):
        return each(lambda x, y: whole_power(x, int(float(y))) if y.is_integer() else x**y, 2)(x, n)
    if float(n) == int(n):
        return each(lambda x: whole_power(x, int(n)))(x)
    return each(lambda x: x ** flint.arb(float(n)))(x)


def zeta(s: Any, x: Any) -> Ball:
    if isinstance(s, Duck):
        raise NoRule("ball arithmetic supports zeta(s, x) only for ordinary numbers s")
    return each(lambda x: flint.arb(float(s)).zeta(x))(x)


def total(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    return Ball(np.sum(x.balls, axis=axis, keepdims=keepdims))


def mean(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    added = total(x, axis, keepdims)
    return added / float(x.size // max(added.size, 1))


def log_sum(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    return log_sum_exp(x, Ball.exact(np.max(x.middle, axis=axis, keepdims=True)), axis, keepdims)


def extreme(pick: Callable[[Any, Any], Any]) -> Callable[..., Ball]:
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
    lower, upper = (np.sort(each(end)(x).balls, axis=axis) for end in (flint.arb.lower, flint.arb.upper))
    return each(lambda a, b: a if a == b else a.union(b), 2)(Ball(lower), Ball(upper))


def where(condition: Any, x: Any, y: Any) -> Ball:
    true, open = split(condition)
    x, y = lift(x), lift(y)
    chosen = np.where(true, x.balls, y.balls)
    both = np.frompyfunc(lambda a, b: a.union(b), 2, 1)(x.balls, y.balls) if open.any() else chosen
    return Ball(np.where(open, both, chosen))


def decided_or_open(true: Any, false: Any) -> Any:
    """Truth values, open where neither true nor false is certain."""
    true, false = np.asarray(true, dtype=bool), np.asarray(false, dtype=bool)
    return true if (true | false).all() else Trilean(true, ~(true | false), lift)


def compare(f: Any) -> Callable[[Any, Any], Any]:
    """Decided where Arb proves the relation or its opposite."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lift(x), lift(y)
        return decided_or_open(HOLDS[f](x.balls, y.balls), HOLDS[OPPOSITES[f]](x.balls, y.balls))

    return rule


def classify(holds: Callable[[Any], bool], fails: Callable[[Any], bool]) -> Callable[[Ball], Any]:
    """A predicate on single numbers, decided where one of two tests succeeds."""
    mapped = [np.frompyfunc(test, 1, 1) for test in (holds, fails)]
    return lambda x: decided_or_open(*(test(x.balls) for test in mapped))


def infinite(x: flint.arb) -> bool:
    return bool(x.is_exact() and not x.is_finite() and not x.is_nan())


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


def matmul(x: Any, y: Any) -> Ball:
    return Ball(np.matmul(lift(x).balls, lift(y).balls))


Ball.rules.update({
    np.add: each(lambda x, y: x + y, 2), np.subtract: each(lambda x, y: x - y, 2),
    np.multiply: each(lambda x, y: x * y, 2), np.divide: each(lambda x, y: x / y, 2), np.matmul: matmul,
    np.maximum: each(larger, 2), np.minimum: each(smaller, 2), np.power: power, special.zeta: zeta,
    np.hypot: each(lambda x, y: (x**2 + y**2).sqrt(), 2), np.arctan2: each(flint.arb.atan2, 2),
    np.logaddexp: each(lambda x, y: larger(x, y) + (-abs(x - y)).exp().log1p(), 2),
    np.sum: total, np.mean: mean, np.max: extreme(larger), np.min: extreme(smaller), special.logsumexp: log_sum,
    np.sort: sort,
    np.cumsum: lambda x, axis=None: Ball(np.cumsum(x.balls, axis=axis)), np.where: where,
    np.isfinite: classify(lambda x: x.is_finite(), infinite), np.isinf: classify(infinite, lambda x: x.is_finite()),
    np.isnan: classify(lambda x: False, lambda x: x.is_finite() or infinite(x)),
    np.signbit: classify(lambda x: x < 0, lambda x: x > 0),
    **{f: each(function) for f, function in FUNCTIONS.items()}, **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
