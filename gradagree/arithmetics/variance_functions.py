"""The rules of variance arithmetic: what each operation inherits and adds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import SLOPES
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.saturation import TAILS, tail_of
from gradagree.arithmetics.trilean import Trilean, split
from gradagree.arithmetics.variance import DEVIATIONS, Variance, lifted, rounding, tiles

__all__: list[str] = []

FEW = 4
"""Columns by which rows are first told apart."""
LIBRARY_DEVIATIONS = 2
"""Standard deviation of a library function's error, in u."""


def add(x: Any, y: Any, sign: int = 1) -> Variance:
    x, y = lifted(x, y)
    value = x.value + sign * y.value
    return Variance(value, x.variance + y.variance + rounding(value, x.model), x.model)


def multiply(x: Any, y: Any) -> Variance:
    x, y = lifted(x, y)
    value = x.value * y.value
    variance = x.value**2 * y.variance + (y.value**2 + y.variance) * x.variance + rounding(value, x.model)
    return Variance(value, variance, x.model)


def divide(x: Any, y: Any) -> Variance:
    x, y = lifted(x, y)
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
    """Functions that add no error and whose slope is 1 or -1."""
    return lambda x: Variance(f(x.value), x.variance, x.model)


def sign(x: Variance) -> Variance:
    open = np.abs(x.value) <= DEVIATIONS * x.deviation
    return Variance(np.sign(x.value), np.where(open, 1.0, 0.0), x.model)


def larger(x: Any, y: Any) -> Variance:
    x, y = lifted(x, y)
    open = np.abs(x.value - y.value) <= DEVIATIONS * np.sqrt(x.variance + y.variance)
    variance = np.where(open, np.maximum(x.variance, y.variance), np.where(x.value >= y.value, x.variance, y.variance))
    return Variance(np.maximum(x.value, y.value), variance, x.model)


def power(x: Any, n: Any) -> Variance:
    if isinstance(n, Variance):
        return Variance.rules[np.exp](multiply(n, Variance.rules[np.log](lifted(x, n)[0])))
    slope = n * x.value ** (n - 1) if n else 0.0
    value = x.value**n
    return Variance(value, slope**2 * x.variance + n * rounding(value, x.model), x.model)


def logaddexp(x: Any, y: Any) -> Variance:
    x, y = lifted(x, y)
    value = np.logaddexp(x.value, y.value)
    inherited = np.exp(2 * (x.value - value)) * x.variance + np.exp(2 * (y.value - value)) * y.variance
    own = np.square(LIBRARY_DEVIATIONS * x.model.u * value) + np.square(x.model.u * np.maximum(x.value, y.value))
    return Variance(value, inherited + own, x.model)


def summed(value: Any, inherited: Any, squares: Any, terms: int, model: Model) -> Variance:
    """A sum, the squares of whose terms add up to `squares`."""
    return stored_sum(value, inherited + each_step(terms, model) * squares, terms, model, squares)


def each_step(terms: int, model: Model) -> float:
    """What the roundings of all partial sums make of each square of a term."""
    return model.accumulator.u**2 / 3 * (1 + terms / 2)


def stored_sum(value: Any, variance: Any, terms: int, model: Model, squares: Any) -> Variance:
    """A sum with what its terms and their squares add, and with the partial sums' own size, stored in the dtype.

    squares are those of the terms, added up, or anything larger; infinite where a partial sum may not fit.
    """
    value, variance = (np.asarray(x, dtype=np.float64) for x in (value, variance))
    added = np.empty(value.shape)
    for rows in tiles(value):
        own = np.square(value[rows], out=added[rows])
        own *= terms * model.accumulator.u**2 / 9 + model.u**2 / 3
        own += (terms + 1 / 3) * model.quantum**2
        own += variance[rows]
        own[variance[rows] == 0] = 0.0
    variance = added
    if np.sqrt(terms * np.max(squares, initial=0.0)) > model.format.largest:
        variance = np.where(np.sqrt(terms * squares) > model.format.largest, np.inf, variance)
    return Variance(value, variance, model)


def repeats(x: np.ndarray, axis: int) -> int:
    """How often the most frequent slice along an axis occurs: equal slices have equal errors, which add up straight."""
    slices = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    if not slices.size or most_frequent(slices[:, :FEW]) == 1:
        return 1
    return most_frequent(slices)


def repeated(x: np.ndarray, axis: int) -> int:
    """Likewise of matrices, of each by itself where there are several; the axis is one of the last two."""
    return repeats(x, axis) if x.ndim < 3 else max((repeated(one, axis) for one in x), default=1)


def most_frequent(rows: np.ndarray) -> int:
    """How many rows the most frequent row is equal to, itself included."""
    whole = np.ascontiguousarray(rows + 0.0).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    return int(np.unique(whole, return_counts=True)[1].max())


def total(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    value, inherited, squares = (
        np.sum(part, axis=axis, keepdims=keepdims) for part in (x.value, x.variance, x.value**2)
    )
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    whole = axis == (-2, -1)
    together = math.prod((repeated if whole else repeats)(x.value, one) for one in axes)
    return summed(value, together * inherited, squares, x.size // max(value.size, 1), x.model)


def mean(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    added = total(x, axis, keepdims)
    return divide(added, float(x.size // max(added.size, 1)))


def largest(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    value, variance = (np.max(part, axis=axis, keepdims=keepdims) for part in (x.value, x.variance))
    return Variance(value, variance, x.model)


def matmul(x: Any, y: Any) -> Variance:
    x, y = lifted(x, y)
    model, terms = x.model, x.shape[-1]
    x2, y2 = x.value**2, y.value**2
    left = each_step(terms, model) * x2
    if x.variance.any():
        left = left + repeated(x.value, -1) * x.variance
    variance = left @ y2
    if y.variance.any():
        variance = variance + x2 @ (repeated(y.value, -2) * y.variance)
    largest = float(np.max(np.abs(x.value), initial=0.0)) * float(np.max(np.abs(y.value), initial=0.0))
    near = terms * largest > model.format.largest
    return stored_sum(x.value @ y.value, variance, terms, model, x2 @ y2 if near else 0.0)


def where(condition: Any, x: Any, y: Any) -> Variance:
    true, open = split(condition)
    x, y = lifted(x, y)
    either = np.square(x.value - y.value) + np.maximum(x.variance, y.variance)
    variance = np.where(open, either, np.where(true, x.variance, y.variance))
    return Variance(np.where(true, x.value, y.value), variance, x.model)


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def rule(x: Any, y: Any) -> Any:
        x, y = lifted(x, y)
        open = np.abs(x.value - y.value) <= DEVIATIONS * np.sqrt(x.variance + y.variance)
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
