"""Rules of variance arithmetic: propagated errors and the rounding of each operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.repetition import repeated, repeats
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.saturation import TAILS, tail_of
from gradagree.arithmetics.slopes import SLOPES
from gradagree.arithmetics.trilean import Trilean, split
from gradagree.arithmetics.variance import DEVIATIONS, Variance, lift_all, rounding
from gradagree.arithmetics.variance_products import matmul, sum_of_terms

LIBRARY_DEVIATIONS = 2
"""Standard deviation of the error of a library function, in u."""


def add(x: Any, y: Any, sign: int = 1) -> Variance:
    x, y = lift_all(x, y)
    value = x.value + sign * y.value
    return Variance(value, x.variance + y.variance + rounding(value, x.model), x.model)


def multiply(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = x.value * y.value
    variance = x.value**2 * y.variance + (y.value**2 + y.variance) * x.variance + rounding(value, x.model)
    return Variance(value, variance, x.model)


def divide(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = x.value / y.value
    return Variance(value, (x.variance + value**2 * y.variance) / y.value**2 + 2 * rounding(value, x.model), x.model)


def function(f: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Variance], Variance]:
    def rule(x: Variance) -> Variance:
        value = f(x.value)
        own = np.square(LIBRARY_DEVIATIONS * x.model.u * value)
        own = np.where(np.abs(value) < x.model.format.smallest_normal, np.square(value), own)
        if f in TAILS:
            tail, limit = tail_of(f, x.value, DEVIATIONS * x.deviation, x.model)
            own = own if limit is None else np.where(limit != 0, np.square(tail), own)
        return Variance(value, slope(x.value, value) ** 2 * x.variance + own, x.model)

    return rule


def exactly(f: Callable[[Any], Any]) -> Callable[[Variance], Variance]:
    """Functions without an error of their own, with derivative 1 or -1."""
    return lambda x: Variance(f(x.value), x.variance, x.model)


def sign(x: Variance) -> Variance:
    open = ~(np.abs(x.value) > DEVIATIONS * x.deviation)
    return Variance(np.sign(x.value), np.where(open, 1.0, 0.0), x.model)


def may_be_equal(x: Variance, y: Variance) -> Any:
    """True where a comparison is open: within `DEVIATIONS` standard deviations, or where these are unknown."""
    return ~(np.abs(x.value - y.value) > DEVIATIONS * np.sqrt(x.variance + y.variance))


def larger(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    open = may_be_equal(x, y)
    variance = np.where(open, np.maximum(x.variance, y.variance), np.where(x.value >= y.value, x.variance, y.variance))
    return Variance(np.maximum(x.value, y.value), variance, x.model)


def power(x: Any, n: Any) -> Variance:
    if isinstance(n, Variance):
        return Variance.rules[np.exp](multiply(n, Variance.rules[np.log](lift_all(x, n)[0])))
    slope = n * x.value ** (n - 1) if n else 0.0
    value = x.value**n
    return Variance(value, slope**2 * x.variance + n * rounding(value, x.model), x.model)


def logaddexp(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = np.logaddexp(x.value, y.value)
    inherited = np.exp(2 * (x.value - value)) * x.variance + np.exp(2 * (y.value - value)) * y.variance
    own = np.square(LIBRARY_DEVIATIONS * x.model.u * value) + np.square(x.model.u * np.maximum(x.value, y.value))
    return Variance(value, inherited + own, x.model)


def total(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    value, inherited, squares = (
        np.sum(part, axis=axis, keepdims=keepdims) for part in (x.value, x.variance, x.value**2)
    )
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    whole = axis == (-2, -1)
    together = math.prod((repeated if whole else repeats)(x, one) for one in axes)
    return sum_of_terms(value, together * inherited, squares, x.size // max(value.size, 1), x.model)


def mean(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    added = total(x, axis, keepdims)
    return divide(added, float(x.size // max(added.size, 1)))


def largest(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    value, variance = (np.max(part, axis=axis, keepdims=keepdims) for part in (x.value, x.variance))
    return Variance(value, variance, x.model)


def where(condition: Any, x: Any, y: Any) -> Variance:
    true, open = split(condition)
    x, y = lift_all(x, y)
    either = np.square(x.value - y.value) + np.maximum(x.variance, y.variance)
    variance = np.where(open, either, np.where(true, x.variance, y.variance))
    return Variance(np.where(true, x.value, y.value), variance, x.model)


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def rule(x: Any, y: Any) -> Any:
        x, y = lift_all(x, y)
        open = may_be_equal(x, y)
        answer = f(x.value, y.value)
        return Trilean(answer, open, x._lift) if open.any() else answer

    return rule


Variance.rules.update({
    np.add: add, np.subtract: lambda x, y: add(x, y, -1), np.multiply: multiply, np.divide: divide, np.power: power,
    **{f: function(f, slope) for f, slope in SLOPES.items()},
    np.negative: exactly(np.negative), np.positive: exactly(np.positive), np.absolute: exactly(np.abs), np.sign: sign,
    np.fabs: exactly(np.abs), np.maximum: larger, np.minimum: lambda x, y: -larger(-x, -y), np.logaddexp: logaddexp,
    np.matmul: matmul, np.sum: total, np.mean: mean, np.max: largest, np.where: where,
    **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
