"""The rules of rounded arithmetic beyond sums and products: functions, comparisons and choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics.model import LIBRARY, OUTWARD, OWN
from gradagree.arithmetics.rounded import (
    COMPARISONS,
    Rounded,
    add,
    divide,
    is_one,
    is_zero,
    lifted,
    multiply,
    negative,
    result,
    subtract,
)
from gradagree.arithmetics.rounded_sums import matmul, mean, total
from gradagree.arithmetics.saturation import TAILS, tail_of
from gradagree.arithmetics.trilean import Trilean, split

__all__: list[str] = []


def absolute(x: Rounded) -> Rounded:
    return Rounded(np.abs(x.value), x.radius, x.model, x.q)


def maximum(x: Any, y: Any) -> Rounded:
    x, y = lifted(x, y)
    value = np.maximum(x.value, y.value)
    upper = np.maximum(x.value + x.radius, y.value + y.radius) - value
    lower = value - np.maximum(x.value - x.radius, y.value - y.radius)
    return Rounded(value, np.maximum(upper, lower) * OUTWARD, x.model, min(x.q, y.q))


def minimum(x: Any, y: Any) -> Rounded:
    x, y = lifted(x, y)
    return negative(maximum(negative(x), negative(y)))


def clip(x: Any, low: Any = None, high: Any = None, **names: Any) -> Rounded:
    low, high = names.get("min", names.get("a_min", low)), names.get("max", names.get("a_max", high))
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def sign(x: Rounded) -> Rounded:
    open = ~(np.abs(x.value) > x.radius) & (x.radius != 0)
    return Rounded(np.sign(x.value), np.where(open, 1 + np.abs(np.sign(x.value)), 0.0), x.model, 0)


def integer_power(x: Rounded, n: int) -> Rounded:
    size = np.abs(x.value)
    spread = (size + x.radius) ** n - size**n
    value = x.value**n
    q = n * x.q if n else 0.0
    roundings = 1 if n == 2 else LIBRARY
    spread = np.where(x.radius != 0, spread + LIBRARY * OWN * np.abs(value), 0.0)
    return result(value, spread, x.model, q, roundings, is_zero(x) | is_one(x))


def power(x: Any, y: Any) -> Rounded:
    if not isinstance(y, Rounded) and np.ndim(y) == 0 and float(y) == int(y):
        return integer_power(x, int(y)) if y >= 0 else divide(1.0, integer_power(x, -int(y)))
    x, y = lifted(x, y)
    return exp(multiply(y, log(x)))


def square(x: Rounded) -> Rounded:
    return integer_power(x, 2)


def monotone(f: Callable[[Any], Any]) -> Callable[[Rounded], Rounded]:
    """The rule of a monotone library function: the values at both ends, and the library's own error."""

    def rule(x: Rounded) -> Rounded:
        model = x.model
        backward = LIBRARY * (model.u + OWN) * np.abs(x.value) * (f in STEEP)
        value, spread = f(x.value), inherited(f, x.value, x.radius + backward)
        nothing = is_zero(x) & (value == 0)
        least = model.format.smallest_normal
        spread = spread + np.where((np.abs(value) < least) & ~nothing, least, 0.0)
        answer = result(value, spread, model, roundings=LIBRARY, keep=nothing)
        return saturated(f, x, answer) if f in TAILS else answer

    return rule


def inherited(f: Callable[[Any], Any], x: np.ndarray, radius: np.ndarray) -> Any:
    """How far f may be from f(x) within the radius."""
    if not radius.any():
        return 0.0
    value = f(x)
    ends = [f(np.nextafter(x + side * radius, side * np.inf)) for side in (-1, 1)]
    reach = np.maximum(np.abs(ends[0] - value), np.abs(ends[1] - value))
    largest = np.maximum(np.abs(ends[0]), np.abs(ends[1]))
    return np.where(radius != 0, reach + 2 * LIBRARY * OWN * largest, 0.0)


def saturated(f: Callable[[Any], Any], x: Rounded, answer: Rounded) -> Rounded:
    """Where the true value is next to a limit of size 1, programs give the limit; what is lost is the distance."""
    tail, limit = tail_of(f, x.value, x.radius, x.model)
    if limit is None:
        return answer
    return Rounded(np.where(limit != 0, limit, answer.value), np.where(limit != 0, tail, answer.radius), x.model)


def wave(f: Callable[[Any], Any]) -> Callable[[Rounded], Rounded]:
    """The rule of sin and cos, whose slope is at most 1."""

    def rule(x: Rounded) -> Rounded:
        return result(f(x.value), x.radius, x.model, roundings=LIBRARY, keep=is_zero(x) & (f(x.value) == 0))

    return rule


exp, log = monotone(np.exp), monotone(np.log)


def logaddexp(x: Any, y: Any) -> Rounded:
    """The usual formula is max + log1p(exp(-|x - y|)), which rounds max and the difference."""
    x, y = lifted(x, y)
    value = np.logaddexp(x.value, y.value)
    upper = np.logaddexp(x.value + x.radius, y.value + y.radius) - value
    lower = value - np.logaddexp(x.value - x.radius, y.value - y.radius)
    gap = np.abs(x.value - y.value)
    rounded_gap = np.where(np.isfinite(gap), (gap + 2 * LIBRARY) * np.exp(-gap), 0.0)
    formula = np.abs(np.maximum(x.value, y.value)) + rounded_gap
    inherited = np.where(x.radius + y.radius != 0, np.maximum(upper, lower), 0.0)
    return result(value, inherited + (x.model.u + OWN) * formula, x.model, roundings=LIBRARY)


def extreme(pick: Callable[..., Any]) -> Callable[..., Rounded]:
    def rule(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
        value, upper, lower = (
            pick(ends, axis=axis, keepdims=keepdims) for ends in (x.value, x.value + x.radius, x.value - x.radius)
        )
        return Rounded(value, np.maximum(upper - value, value - lower) * OUTWARD, x.model, x.q)

    return rule


def where(condition: Any, x: Any, y: Any) -> Rounded:
    """x or y; both, where the condition is open."""
    true, open = split(condition)
    x, y = lifted(x, y)
    value, radius = np.where(true, x.value, y.value), np.where(true, x.radius, y.radius)
    if open.any():
        hull = (np.abs(x.value - y.value) + np.maximum(x.radius, y.radius)) * OUTWARD
        radius = np.where(open, hull, radius)
    return Rounded(value, radius, x.model, min(x.q, y.q))


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Decided where the difference is larger than the radii, or where there are none."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lifted(x, y)
        reach = x.radius + y.radius
        open = (reach != 0) & ~(np.abs(x.value - y.value) > reach)
        answer = f(x.value, y.value)
        return Trilean(answer, open, x._lift) if open.any() else answer

    return rule


STEEP = (np.exp2, np.sinh, special.erfc, special.ndtr, special.log_ndtr)
"""Functions whose libraries err by several u in the argument, too."""
MONOTONE: tuple[Any, ...] = (
    np.expm1, np.exp2, np.log1p, np.log2, np.log10, np.tanh, np.sinh, np.arctan, np.arcsinh, np.sqrt, np.cbrt,
    special.expit, special.log_expit, special.erf, special.erfc, special.ndtr, special.log_ndtr,
)  # fmt: skip
Rounded.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.divide: divide, np.negative: negative,
    np.positive: lambda x: x, np.absolute: absolute, np.fabs: absolute, np.sign: sign, np.maximum: maximum,
    np.minimum: minimum, np.clip: clip, np.power: power, np.square: square, np.reciprocal: lambda x: divide(1.0, x),
    np.exp: exp, np.log: log, np.sin: wave(np.sin), np.cos: wave(np.cos), np.logaddexp: logaddexp, np.matmul: matmul,
    np.sum: total, np.mean: mean, np.max: extreme(np.max), np.min: extreme(np.min), np.where: where,
    **{f: monotone(f) for f in MONOTONE}, **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
