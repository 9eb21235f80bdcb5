"""Variance arithmetic: a value and the variance of its rounding error, for the end-to-end probabilistic tolerance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from gradagree.arithmetic.duck import Duck, Rules
from gradagree.arithmetic.majorants import given_product, majorant
from gradagree.arithmetic.model import FORMATS, Model, common, converted
from gradagree.arithmetic.rounding import round_to_format, round_to_precision

DEVIATIONS = 8
"""The probabilistic tolerance in standard deviations; worst error measured: 4.5 in 1.2e7 entries."""
TILE = 1 << 16
"""Entries processed together."""
MOVES = frozenset({np.swapaxes, np.transpose, np.moveaxis, np.expand_dims, np.reshape, np.broadcast_to, np.ravel})
"""Functions that only move entries."""
SMALLEST = 2.0**-450
"""Errors of numbers below this have squares that underflow, so they are unknown."""


class Variance(Duck):
    """A value and the variance of its error, entry by entry; infinite where the number may overflow the dtype.

    An infinite value with variance 0 is infinity itself, as a mask holds it.
    """

    __slots__ = ("largest", "model", "value", "variance")
    arithmetic = "variance"
    rules: ClassVar[Rules] = {}

    def __init__(self, value: Any, variance: Any, model: Model, largest: float | None = None) -> None:
        """largest: a bound on the magnitude of all values, if known."""
        self.value = value = np.asarray(value, dtype=np.float64)
        variance = np.asarray(variance, dtype=np.float64)
        if variance.shape != value.shape:
            variance = np.broadcast_to(variance, value.shape)
        self.largest = max_abs(value) if largest is None else largest
        if not self.largest <= model.format.largest:
            variance = np.where((np.abs(value) > model.format.largest) & np.isfinite(value), np.inf, variance)
        self.variance = variance
        self.model = model

    @classmethod
    def stored(cls, x: Any, model: Model) -> Self:
        """Numbers of the dtype: exact, except for subnormals that the program may flush to zero."""
        return cls(x, flushed(x, model) if model.flushes else 0.0, model)

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation."""
        return np.asarray(np.sqrt(self.variance))

    @property
    def zero_threshold(self) -> float:
        """Magnitude below which a computed value is acceptable for an exact zero; 0 except in float64."""
        return SMALLEST if self.model.format.precision == FORMATS["float64"].precision else 0.0

    @property
    def tolerance(self) -> np.ndarray:
        """`DEVIATIONS` standard deviations and underflow errors; `zero_threshold` for a zero without error.

        NaN for numbers so small that the squares of their errors underflow.
        """
        deviation = self.deviation
        tolerance = np.asarray(DEVIATIONS * (deviation + self.model.quantum))
        least = self.model.u * SMALLEST
        if np.min(deviation, initial=np.inf) >= least:
            return tolerance
        zero = (self.value == 0) & (self.variance == 0)
        known = zero | (np.abs(self.value) >= SMALLEST) | (deviation >= least)
        return np.where(known, np.where(zero, self.zero_threshold, tolerance), np.nan)

    def _parts(self) -> tuple[Any, ...]:
        return (self.value, self.variance)

    def _like(self, *parts: Any) -> Self:
        value, variance = parts
        return type(self)(value, variance, self.model)

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        value, variance = (function(part, *args, **kwargs) for part in self._parts())
        return type(self)(value, variance, self.model, self.largest if function in MOVES else None)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.value[index], self.variance[index], self.model, self.largest)

    @property
    def exact(self) -> bool:
        """True if no number has an error."""
        one = not any(self.variance.strides)
        return not (self.variance.flat[0] if one and self.variance.size else self.variance.any())

    def _lift(self, x: Any) -> Variance:
        if isinstance(x, Variance):
            return x
        x = np.asarray(x, dtype=np.float64)
        scaled = np.ldexp(np.frexp(x)[0], self.model.format.precision)
        own = flushed(x, self.model) if self.model.flushes else 0.0
        return Variance(x, np.where(scaled == np.rint(scaled), own, rounding(x, self.model)), self.model)

    def with_model(self, model: Model) -> Variance:
        """The same numbers under another rounding model from here on."""
        return Variance(self.value, self.variance, model)

    def term_rounding(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Standard deviation of the error from rounding each term x_i y_j of the sum that gave this product."""
        return np.asarray(self.model.u * np.sqrt(np.swapaxes(x, -1, -2) ** 2 @ y**2 / 3))

    def widen(self, by: Any) -> Variance:
        """The same numbers with an additional independent error of standard deviation `by`."""
        return Variance(self.value, self.variance + np.square(by), self.model)


def flushed(x: Any, model: Model) -> np.ndarray:
    """The square of each subnormal number, which a program that flushes it to zero loses as a whole."""
    x = np.asarray(x, dtype=np.float64)
    return np.where(np.abs(x) < model.format.smallest_normal, np.square(x), 0.0)


def max_abs(x: np.ndarray) -> float:
    """The largest magnitude; NaN if an entry is NaN."""
    ends = np.minimum.reduce(x, axis=None, initial=0.0), np.maximum.reduce(x, axis=None, initial=0.0)
    return float(np.maximum(-ends[0], ends[1]))


def lift_all(*xs: Any) -> tuple[Variance, ...]:
    """All operands as arrays of one model."""
    if len(xs) == 2 and isinstance(xs[0], Variance) and isinstance(xs[1], Variance) and xs[0].model is xs[1].model:
        return xs
    known = [x for x in xs if isinstance(x, Variance)]
    if all(x.model is known[0].model for x in known):
        return tuple(known[0]._lift(x) for x in xs)
    shared = common([(x.model, x.ndim) for x in known])
    first = known[0].with_model(shared)
    return tuple(x.with_model(shared) if isinstance(x, Variance) else first._lift(x) for x in xs)


def convert(x: Variance, to: str, **_: Any) -> Variance:
    """Numbers converted to another format, and the model of the operations that follow."""
    after, form = converted(x.model, to), FORMATS[to]
    if form.precision >= x.model.format.precision:
        return x.with_model(after)
    stored = (x.variance == 0) & (round_to_format(x.value, form) == x.value)
    error = np.where(stored, 0.0, rounding(x.value, replace(after, format=form)))
    return Variance(x.value, x.variance + error, after)


def rounding(v: Any, model: Model) -> Any:
    """The variance of one rounding, underflow included."""
    return rounding_and_largest(v, model)[0]


def rounding_and_largest(v: Any, model: Model) -> tuple[Any, float]:
    """`rounding`, and a bound on the magnitude of all numbers, as `max_abs`."""
    found = np.square(np.asarray(v), dtype=np.float64)  # in place from here on, as new arrays take longer
    least = np.minimum.reduce(found, axis=None, initial=np.inf)
    most = np.maximum.reduce(found, axis=None, initial=0.0)
    found *= model.u**2 / 3 * (1 + 2.0**-30)
    underflow = model.quantum**2 / 3
    if not least * model.u**2 >= 2.0**32 * underflow or least == 0:  # elsewhere the margin above is larger
        found += underflow
        found = found if np.all(v) else np.where(np.equal(v, 0), 0.0, found)
    return found, math.sqrt(most) * (1 + 2.0**-50)


def blocks(x: np.ndarray) -> list[Any]:
    """Slices along the first axis of about `TILE` entries, which fit a processor cache."""
    rows = max(1, TILE * len(x) // x.size) if x.ndim and x.size else 0
    return [slice(start, start + rows) for start in range(0, len(x), rows)] if rows else [...]


FEW = 4
"""Columns used for a first comparison of rows."""


def repeats(x: Any, axis: int) -> int:
    """Number of occurrences of the most frequent slice along an axis: equal slices have equal errors.

    Slices that round to the same numbers of the dtype are equal. Slices without errors, such as zeros, do not count.
    """
    if not x.size or all_differ(np.moveaxis(x.value, axis, 0)[(slice(None), *(0,) * (x.ndim - 1))], x.model.u):
        return 1
    slices, variances = (np.moveaxis(part, axis, 0).reshape(x.shape[axis], -1) for part in (x.value, x.variance))
    slices = slices[variances.any(axis=1)]
    if not slices.size or all_differ(slices[:, 0], x.model.u):
        return 1
    stored = round_to_precision(slices[:, :FEW], x.model.format.precision)
    if max_count(stored) == 1:
        return 1
    return max_count(round_to_precision(slices, x.model.format.precision))


def max_repeats(x: Any, axis: int) -> int:
    """`repeats` for one matrix, or the largest over a stack of matrices; the axis is one of the last two."""
    return repeats(x, axis) if x.ndim < 3 else max((max_repeats(one, axis) for one in x), default=1)


def all_differ(column: np.ndarray, u: float) -> bool:
    """True if no two numbers are so close that a format with unit roundoff u may round them to the same number."""
    ordered = np.sort(column)
    apart = ordered[1:] - ordered[:-1] > 2 * u * np.maximum(np.abs(ordered[1:]), np.abs(ordered[:-1]))
    return bool(apart.all())


def max_count(rows: np.ndarray) -> int:
    """Number of occurrences of the most frequent row."""
    packed = np.ascontiguousarray(rows + 0.0).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    return int(np.unique(packed, return_counts=True)[1].max())


LARGE = 1 << 17
"""From this number of entries on, the squares of an array are computed in blocks and not kept."""


def sum_of_terms(value: Any, inherited: Any, squares: Any, terms: int, model: Model) -> Variance:
    """A sum of terms whose squares sum to `squares`."""
    return stored_sum(value, inherited + partial_sums_factor(terms, model) * squares, terms, model, squares)


def partial_sums_factor(terms: int, model: Model) -> float:
    """Factor of each squared term in the variance of the roundings of all partial sums."""
    return model.accumulator.u**2 / 3 * (1 + terms / 2)


def ordered_sums(terms: Iterable[Any], total: Any, model: Model) -> Any:
    """The variance of the roundings of all partial sums of terms in this order, or in the reverse one if larger."""
    partial: Any = 0.0
    found: Any = 0.0
    for term in terms:
        partial = partial + term
        found = found + np.square(np.fmax(np.abs(partial), np.abs(total - partial)))
    return model.accumulator.u**2 / 3 * found


def equal_terms(rows: np.ndarray) -> np.ndarray:
    """How often the most frequent number other than 0 occurs along the last axis.

    Partial sums of equal terms are rounded in the same direction again and again.
    """
    ordered = np.sort(rows, axis=-1)
    equal = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] != 0)
    counted = np.cumsum(equal, axis=-1)
    run = counted - np.maximum.accumulate(np.where(equal, 0, counted), axis=-1)
    return np.asarray(1 + np.max(run, axis=-1, initial=0))


def stored_sum(value: Any, variance: Any, terms: int, model: Model, squares: Any) -> Variance:
    """A sum stored in the dtype: the given variance plus that of the partial sums and of storing the result.

    squares: the sum of the squared terms, or an upper bound; the variance is infinite where a partial sum may overflow.
    """
    value, variance = (np.asarray(x, dtype=np.float64) for x in (value, variance))
    added = np.empty(value.shape)
    for rows in blocks(value):
        own = np.square(value[rows], out=added[rows])
        own *= terms * model.accumulator.u**2 / 9 + model.u**2 / 3
        own += (terms + 1 / 3) * model.quantum**2
        own += variance[rows]
        if not variance[rows].all():
            own[variance[rows] == 0] = 0.0
    variance = added
    if np.sqrt(terms * np.max(squares, initial=0.0)) > model.format.largest:
        variance = np.where(np.sqrt(terms * squares) > model.format.largest, np.inf, variance)
    return Variance(value, variance, model)


def as_factor(x: Variance) -> Variance:
    """A factor of a matrix product, as the device rounds it."""
    if (form := x.model.products) is None:
        return x
    return Variance(x.value, x.variance + rounding(x.value, replace(x.model, format=form)), x.model)


def matmul(x: Any, y: Any) -> Variance:
    x, y = map(as_factor, lift_all(x, y))
    if y.exact:
        variance = matmul_squares(left_factor(x), y.value)
    else:
        left, right = factors(x, y)
        variance = majorant(left, right)
    squares = matmul_squares(x.value**2, y.value) if may_overflow(x, y) else 0.0
    product = given_product(x.value, y.value)
    if x.model.ordered and y.ndim > 1:
        terms = (x.value[..., k, None] * y.value[..., k, :][..., None, :] for k in range(x.shape[-1]))
        equal = np.minimum(equal_terms(x.value)[..., None], equal_terms(np.swapaxes(y.value, -1, -2))[..., None, :])
        variance = variance + equal * ordered_sums(terms, product, x.model)
    return stored_sum(product, variance, x.shape[-1], x.model, squares)


def left_factor(x: Variance) -> np.ndarray:
    """Left factor of the variance of x @ y: roundings of the partial sums and errors of x."""
    left = partial_sums_factor(x.shape[-1], x.model) * x.value**2
    return left if x.exact else left + max_repeats(x, -1) * x.variance


def factors(x: Variance, y: Variance) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose matrix product is the variance of x @ y before it is stored."""
    left, right = left_factor(x), y.value**2
    if y.exact:
        return left, right
    return np.concatenate([left, x.value**2], -1), np.concatenate([right, max_repeats(y, -2) * y.variance], -2)


def may_overflow(x: Variance, y: Variance) -> bool:
    """True if a partial sum of x @ y may overflow when all terms are as large as the largest."""
    return not x.shape[-1] * x.largest * y.largest <= x.model.format.largest


def matmul_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y^2, without keeping the squares of a large matrix."""
    if y.ndim > 2 or x.ndim > 2 or y.size <= LARGE:
        return majorant(x, np.square(y))
    found = np.zeros((*x.shape[:-1], y.shape[-1]))
    if y.flags.c_contiguous:
        for rows in blocks(y):
            found += majorant(x[..., rows], np.square(y[rows]))
    else:
        for columns in blocks(y.T):
            found[..., columns] = majorant(x, np.square(y[:, columns]))
    return found
