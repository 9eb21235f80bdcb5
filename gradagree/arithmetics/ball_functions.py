"""The rules of ball arithmetic: Arb's functions entry by entry, sums, comparisons and choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flint
import numpy as np
from scipy import special

from gradagree.arithmetics.ball import Ball, lift
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.trilean import Trilean, split

__all__: list[str] = []


def each(f: Callable[..., Any], operands: int = 1) -> Callable[..., Ball]:
    """The rule that applies a function of Arb's numbers entry by entry."""
    mapped = np.frompyfunc(f, operands, 1)
    return lambda *xs: Ball(mapped(*(lift(x).balls for x in xs)))


def larger(x: flint.arb, y: flint.arb) -> flint.arb:
    return x.max(y)


def sign(x: flint.arb) -> flint.arb:
    if x.is_zero():
        return flint.arb(0)
    return flint.arb(1) if x > 0 else flint.arb(-1) if x < 0 else flint.arb(0, 1)


def logaddexp(x: flint.arb, y: flint.arb) -> flint.arb:
    top = larger(x, y)
    return top + (-abs(x - y)).exp().log1p()


def expit(x: flint.arb) -> flint.arb:
    return 1 / (1 + (-x).exp())


def ndtr(x: flint.arb) -> flint.arb:
    return (-x / flint.arb(2).sqrt()).erfc() / 2


def cbrt(x: flint.arb) -> flint.arb:
    return x.root(3) if x >= 0 else -((-x).root(3))


def power(x: Any, n: Any) -> Ball:
    if isinstance(n, Ball) or np.ndim(n):
        return each(lambda x, y: x**y, 2)(x, n)
    if float(n) == int(n):
        return each(lambda x: whole_power(x, int(n)))(x)
    return each(lambda x: x ** flint.arb(float(n)))(x)


def whole_power(x: flint.arb, n: int) -> flint.arb:
    if n < 0:
        return 1 / whole_power(x, -n)
    y = flint.arb(1)
    for _ in range(n):
        y = y * x
    return y


def total(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    return Ball(np.sum(x.balls, axis=axis, keepdims=keepdims))


def mean(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
    added = total(x, axis, keepdims)
    return added / float(x.size // max(added.size, 1))


def extreme(pick: Callable[[Any, Any], Any]) -> Callable[..., Ball]:
    folded = np.frompyfunc(pick, 2, 1)

    def rule(x: Ball, axis: Any = None, keepdims: bool = False) -> Ball:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        balls = x.balls
        for one in sorted((a % x.ndim for a in axes), reverse=True):
            balls = folded.reduce(balls, axis=one, keepdims=keepdims)
        return Ball(balls)

    return rule


def where(condition: Any, x: Any, y: Any) -> Ball:
    true, open = split(condition)
    x, y = lift(x), lift(y)
    chosen = np.where(true, x.balls, y.balls)
    both = np.frompyfunc(lambda a, b: a.union(b), 2, 1)(x.balls, y.balls) if open.any() else chosen
    return Ball(np.where(open, both, chosen))


def compare(f: Any) -> Callable[[Any, Any], Any]:
    """Decided where Arb is certain of the answer or of its opposite."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lift(x), lift(y)
        true, false = (np.asarray(HOLDS[g](x.balls, y.balls), dtype=bool) for g in (f, OPPOSITES[f]))
        return true if (true | false).all() else Trilean(true, ~(true | false), lift)

    return rule


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


def product(x: Any, y: Any) -> Ball:
    return Ball(np.matmul(lift(x).balls, lift(y).balls))


def clip(x: Any, low: Any = None, high: Any = None) -> Ball:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


Ball.rules.update({
    np.add: each(lambda x, y: x + y, 2), np.subtract: each(lambda x, y: x - y, 2),
    np.multiply: each(lambda x, y: x * y, 2), np.divide: each(lambda x, y: x / y, 2), np.matmul: product,
    np.negative: each(lambda x: -x), np.positive: lambda x: x, np.absolute: each(abs), np.fabs: each(abs),
    np.sign: each(sign), np.maximum: each(larger, 2), np.minimum: each(lambda x, y: -larger(-x, -y), 2),
    np.square: each(lambda x: x * x), np.power: power, np.reciprocal: each(lambda x: 1 / x),
    np.exp: each(lambda x: x.exp()), np.expm1: each(lambda x: x.expm1()), np.exp2: each(lambda x: flint.arb(2) ** x),
    np.log: each(lambda x: x.log()), np.log1p: each(lambda x: x.log1p()),
    np.log2: each(lambda x: x.log() / flint.arb(2).log()), np.log10: each(lambda x: x.log() / flint.arb(10).log()),
    np.tanh: each(lambda x: x.tanh()), np.sinh: each(lambda x: x.sinh()), np.sqrt: each(lambda x: x.sqrt()),
    np.cbrt: each(cbrt), np.sin: each(lambda x: x.sin()), np.cos: each(lambda x: x.cos()),
    np.arctan: each(lambda x: x.atan()), np.arcsinh: each(lambda x: x.asinh()), np.logaddexp: each(logaddexp, 2),
    special.expit: each(expit), special.log_expit: each(lambda x: -((-x).exp().log1p())),
    special.erf: each(lambda x: x.erf()), special.erfc: each(lambda x: x.erfc()), special.ndtr: each(ndtr),
    special.log_ndtr: each(lambda x: ndtr(x).log()),
    np.sum: total, np.mean: mean, np.max: extreme(larger), np.min: extreme(lambda x, y: -larger(-x, -y)),
    np.where: where, np.clip: clip, **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
