"""Rules of variance arithmetic: the operands' errors to first order, and the rounding of each operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetic.derived import log_sum_exp
from gradagree.arithmetic.duck import Duck, NoRule
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounded import COMPARISONS, Rounded
from gradagree.arithmetic.rounded_library import (
    FUNCTIONS,
    PLAIN,
    TAILS,
    Library,
    may_saturate,
    tail_of,
    whole_power,
    zeta_errors,
)
from gradagree.arithmetic.three_valued import Trilean, between_about_middle, split
from gradagree.arithmetic.variance import (
    DEVIATIONS,
    SMALLEST,
    Variance,
    convert,
    equal_terms,
    lift_all,
    matmul,
    max_repeats,
    ordered_sums,
    repeats,
    rounding,
    rounding_and_largest,
    sum_of_terms,
)
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.derivatives import DERIVATIVES, PARTIALS, STEPS
from gradagree.reference.operations.scatter import put, scatter_add

LIBRARY_DEVIATIONS = 2
"""Standard deviation of the error of a library function, in u."""


def add(x: Any, y: Any, sign: int = 1) -> Variance:
    x, y = lift_all(x, y)
    value = x.value + y.value if sign > 0 else x.value - y.value
    variance, largest = rounding_and_largest(value, x.model)
    for one in (x, y):
        if not one.exact:
            variance += one.variance
    if not (x.largest < np.inf and y.largest < np.inf):
        masked = np.isinf(value) & ~(np.isinf(x.variance) | np.isinf(y.variance))
        variance = np.where(masked, 0.0, variance)
    return Variance(value, variance, x.model, largest)


def has_bound(x: Variance) -> bool:
    """True if every variance is finite."""
    return x.exact or math.isfinite(np.max(x.variance, initial=0.0))


def multiply(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = x.value * y.value
    variance, largest = rounding_and_largest(value, x.model)
    x_exact = x.exact and y.largest < math.inf and has_bound(y)  # 0 times infinity is NaN: undecided
    y_exact = y.exact and x.largest < math.inf and has_bound(x)
    if not y_exact:
        variance += np.square(x.value) * y.variance
    if not x_exact:
        factor = np.asarray(np.square(y.value))
        if not y_exact:
            factor += y.variance
        variance += factor * x.variance
    return Variance(value, variance, x.model, largest)


def divide(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = x.value / y.value
    variance, largest = rounding_and_largest(value, x.model)
    variance *= 2
    if y.exact and largest < math.inf:
        if not x.exact:
            variance += x.variance / np.square(y.value)
        return Variance(value, variance, x.model, largest)
    inherited = np.square(value) * y.variance
    inherited += x.variance
    inherited /= np.square(y.value)
    variance += inherited
    return Variance(value, variance, x.model, largest)


def function(f: Callable[[Any], Any], derivative: Callable[[Any, Any], Any]) -> Callable[[Variance], Variance]:
    def rule(x: Variance) -> Variance:
        value = f(x.value)
        squares, least = np.square(value), x.model.format.smallest_normal
        own = (LIBRARY_DEVIATIONS * x.model.u) ** 2 * squares
        if not np.minimum.reduce(squares, axis=None, initial=np.inf) >= max(least, SMALLEST) ** 2:
            own = np.where(np.abs(value) < least, squares, own)
        if f in TAILS and may_saturate(f, x.value, x.model):
            tail, limit = tail_of(f, x.value, DEVIATIONS * x.deviation, x.model)
            own = own if limit is None else np.where(limit != 0, np.square(tail), own)
        inherited = np.asarray(np.square(derivative(x.value, value)) * x.variance)
        inherited += own
        return Variance(value, inherited, x.model)

    return rule


def without_error(f: Callable[[Any], Any]) -> Callable[[Variance], Variance]:
    """Functions without an error of their own, with derivative 1 or -1."""
    return lambda x: Variance(f(x.value), x.variance, x.model)


def sign(x: Variance) -> Variance:
    open = ~(np.abs(x.value) > DEVIATIONS * x.deviation)
    return Variance(np.sign(x.value), np.where(open, 1.0, 0.0), x.model)


def may_be_equal(x: Variance, y: Variance) -> Any:
    """True where a comparison is open: within `DEVIATIONS` standard deviations, or where these are unknown.

    A number that cannot overflow is not infinity, with which masks are compared.
    """
    open = ~(np.abs(x.value - y.value) > DEVIATIONS * np.sqrt(x.variance + y.variance))
    if not (np.isinf(x.value).any() or np.isinf(y.value).any()):
        return open
    finite = [np.isfinite(z.value) & np.isfinite(z.variance) for z in (x, y)]
    apart = (np.isinf(x.value) & finite[1]) | (np.isinf(y.value) & finite[0])
    return open & ~apart


def maximum(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    open = may_be_equal(x, y)
    variance = np.where(open, np.maximum(x.variance, y.variance), np.where(x.value >= y.value, x.variance, y.variance))
    return Variance(np.maximum(x.value, y.value), variance, x.model)


def power_of_number(x: Any, n: Any) -> Variance:
    if isinstance(n, Variance):
        return Variance.rules[np.exp](multiply(n, Variance.rules[np.log](lift_all(x, n)[0])))
    value = whole_power(x.value, n)
    inherited: Any = 0.0
    if n and not x.exact:
        inherited = np.square(n * x.value ** (n - 1)) * x.variance
        inherited = inherited if x.variance.all() else np.where(x.variance == 0, 0.0, inherited)
    variance, largest = rounding_and_largest(value, x.model)
    if float(n).is_integer():
        return Variance(value, inherited + abs(n) * variance, x.model, largest)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_exponent = np.where(value == 0, 0.0, value * np.log(x.value)) ** 2 * x._lift(n).variance
    own = np.square(LIBRARY_DEVIATIONS * x.model.accumulator.u * value) + variance
    return Variance(value, inherited + by_exponent + own, x.model, largest)


def logaddexp(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    value = np.logaddexp(x.value, y.value)
    inherited = np.exp(2 * (x.value - value)) * x.variance + np.exp(2 * (y.value - value)) * y.variance
    own = np.square(LIBRARY_DEVIATIONS * x.model.u * value) + np.square(x.model.u * np.maximum(x.value, y.value))
    return Variance(value, inherited + own, x.model)


def total(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    value, inherited, squares = (
        np.sum(part, axis=axis, keepdims=keepdims) for part in (x.value, x.variance, np.square(x.value))
    )
    axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    both = axis == (-2, -1)
    count = math.prod((max_repeats if both else repeats)(x, one) for one in axes)
    if x.model.ordered and x.size:
        last = np.moveaxis(x.value, tuple(axes), range(-len(axes), 0))
        rows = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
        own = ordered_sums((rows[..., k] for k in range(rows.shape[-1])), np.sum(rows, axis=-1), x.model)
        own = equal_terms(rows) * own
        inherited = inherited + np.reshape(own, value.shape) / count
    return sum_of_terms(value, count * inherited, squares, x.size // max(value.size, 1), x.model)


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


def reach(x: Variance) -> np.ndarray:
    return np.asarray(DEVIATIONS * x.deviation)


def step(f: Callable[[Any], Any]) -> Callable[[Variance], Variance]:
    """No error, or all jumps within reach."""

    def rule(x: Variance) -> Variance:
        value, lower, upper = (f(x.value + side * reach(x)) for side in (0, -1, 1))
        return Variance(value, np.square(np.maximum(upper - value, value - lower)), x.model)

    return rule


def library(
    f: Callable[[Any], Any], errors: Library, slope: Callable[[Any, Any], Any] | None = None
) -> Callable[[Variance], Variance]:
    """A function with a library error of more than a few u, or one that overflows before its result does."""
    exact = slope or DERIVATIVES[f]
    plain = function(f, exact)

    def rule(x: Variance) -> Variance:
        found, model, size = plain(x), x.model, np.abs(x.value)
        value = found.value
        derivative = exact(x.value, value) if errors.derivative is None else errors.derivative(size)
        backward = errors.error_of_argument(x.value, model) * np.abs(size * derivative)
        absolute = errors.absolute + errors.narrow * (model.format.precision < FORMATS["float32"].precision)
        forward = model.u * (errors.forward - 1) * np.abs(value)
        own = LIBRARY_DEVIATIONS * (backward + forward + model.accumulator.u * absolute)
        own = np.where(np.isfinite(own), own, 0.0) + errors.accuracy * np.abs(value) / DEVIATIONS
        if errors.peak is not None:
            own = np.where(errors.peak(size) > model.format.largest, np.inf, own)
        if errors.domain is not None:  # outside, nothing is known of the errors of libraries
            own = np.where(errors.domain(x.value, x.value), own, np.inf)
        return found.widen(own)

    return rule


def binary(f: Callable[[Any, Any], Any], partials: Any) -> Callable[[Any, Any], Variance]:
    """A function of two operands; an exact operand contributes nothing, whatever the partial derivative."""

    def rule(x: Any, y: Any) -> Variance:
        x, y = lift_all(x, y)
        value = f(x.value, y.value)
        derivatives = (partial(x.value, y.value, value) for partial in partials)
        variance = sum(
            np.where(z.variance == 0, 0.0, s**2 * z.variance) for z, s in zip((x, y), derivatives, strict=True)
        )
        own = np.square(LIBRARY_DEVIATIONS * x.model.u * value) + rounding(value, x.model)
        return Variance(value, variance + own, x.model)

    return rule


def arctan2(x: Any, y: Any) -> Variance:
    """Where the point may lie on the cut, the angle may be any."""
    x, y = lift_all(x, y)
    cut = (np.abs(x.value) <= reach(x)) & (y.value <= reach(y))
    return binary(np.arctan2, PARTIALS[np.arctan2])(x, y).widen(np.where(cut, 2 * np.pi, 0.0))


def power(x: Any, n: Any) -> Variance:
    if not isinstance(n, Duck) and not np.ndim(n):
        return power_of_number(x, n)
    return binary(np.power, PARTIALS[np.power])(x, n)


def zeta(s: Any, x: Any) -> Variance:
    if isinstance(s, Duck):
        raise NoRule("variance arithmetic supports zeta(s, x) only for ordinary numbers s")
    return library(lambda x: special.zeta(s, x), zeta_errors(float(s)), lambda x, y: -s * special.zeta(s + 1, x))(x)


def gamma(x: Variance) -> Any:
    """exp(log |gamma|) with its sign, as XLA computes it."""
    return np.exp(special.gammaln(x)) * np.where(special.gamma(x.value) < 0, -1.0, 1.0)


def running_total(x: Variance, axis: int | None = None) -> Variance:
    """np.cumsum: each partial sum is stored."""
    value = np.cumsum(x.value, axis=axis)
    added = np.cumsum(x.variance, axis=axis) + np.cumsum(rounding(value, x.model), axis=axis)
    return Variance(value, added, x.model)


def scattered(x: Variance, places: np.ndarray, shape: Any) -> Any:
    """Sums in any order, each partial sum of which may be stored in the dtype."""
    found = scatter_add.__wrapped__(x, places, shape)  # type: ignore[attr-defined]
    if not isinstance(found, Variance):
        return found
    terms, squares = (scatter_add(part, places, shape) for part in (np.ones(x.shape), np.square(x.value)))
    return found.widen(np.where(terms > 1, x.model.u * np.sqrt((1 + terms / 2) * squares / 3), 0.0))


def replaced(x: Any, index: Any, values: Any) -> Variance:
    x, values = lift_all(x, values)
    return Variance(put(x.value, index, values.value), put(x.variance, index, values.variance), x.model)


def sort(x: Variance, axis: int = -1) -> Variance:
    """np.sort: numbers that may change places are nearly equal."""
    order = np.argsort(x.value, axis=axis, kind="stable")
    return x.map(np.take_along_axis, order, axis=axis)


def as_rounded(x: Variance) -> Rounded:
    """The numbers with their reach as a radius, to decide their order."""
    return Rounded(x.value, reach(x), x.model)


def log_sum(x: Variance, axis: Any = None, keepdims: bool = False) -> Variance:
    largest = Variance(np.max(x.value, axis=axis, keepdims=True), 0.0, x.model)
    return log_sum_exp(x, largest, axis, keepdims)


def apply_to(f: Callable[..., Any], about: Callable[[Variance], Any]) -> Callable[..., Any]:
    """Functions whose results are indices or truth values."""
    return lambda x, *args, **kwargs: f(about(x), *args, **kwargs)


def signbit(x: Variance) -> Any:
    open = np.abs(x.value) <= reach(x)
    return Trilean(np.signbit(x.value), open, x._lift) if open.any() else np.signbit(x.value)


Variance.rules.update({
    np.add: add, np.subtract: lambda x, y: add(x, y, -1), np.multiply: multiply, np.divide: divide,
    **{f: function(f, derivative) for f, derivative in DERIVATIVES.items()},
    **{f: without_error(f) for f in (np.negative, np.positive, np.absolute, np.fabs)}, np.sign: sign,
    np.maximum: maximum, np.minimum: lambda x, y: -maximum(-x, -y), np.logaddexp: logaddexp,
    np.matmul: matmul, np.sum: total, np.mean: mean, np.max: largest, np.where: where,
    **{f: compare(f) for f in COMPARISONS},
    **{f: library(f, errors) for f, errors in FUNCTIONS.items() if errors != PLAIN},
    **{f: step(f) for f in STEPS if f is not np.sign},
    **{f: apply_to(f, as_rounded) for f in (np.argmax, np.argmin, np.argsort)},
    **{f: apply_to(f, lambda x: x.value) for f in (np.isfinite, np.isinf, np.isnan)},
    np.arctan2: arctan2, np.hypot: binary(np.hypot, PARTIALS[np.hypot]), np.power: power, np.signbit: signbit,
    scatter_add: scattered, put: replaced, cast: convert,
    special.gamma: gamma, np.sort: sort, np.cumsum: running_total, special.logsumexp: log_sum, special.zeta: zeta,
})  # fmt: skip
Variance.between = staticmethod(between_about_middle)
