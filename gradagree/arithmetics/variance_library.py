"""Rules of variance arithmetic beyond first-order propagation: steps, sorting, cumulative sums, steep functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics.derived_arrays import log_sum_exp
from gradagree.arithmetics.duck import Duck
from gradagree.arithmetics.libraries import FUNCTIONS, PLAIN, Library
from gradagree.arithmetics.model import FORMATS
from gradagree.arithmetics.refusals import NoRule
from gradagree.arithmetics.rounded import Rounded
from gradagree.arithmetics.slopes import PARTIALS, SLOPES, STEPS
from gradagree.arithmetics.trilean import Trilean
from gradagree.arithmetics.variance import DEVIATIONS, Variance, lift_all, rounding
from gradagree.arithmetics.variance_functions import LIBRARY_DEVIATIONS, function, power as power_of_number


def reach(x: Variance) -> np.ndarray:
    return np.asarray(DEVIATIONS * x.deviation)


def step(f: Callable[[Any], Any]) -> Callable[[Variance], Variance]:
    """No error, or all jumps within reach."""

    def rule(x: Variance) -> Variance:
        value, lower, upper = (f(x.value + side * reach(x)) for side in (0, -1, 1))
        return Variance(value, np.square(np.maximum(upper - value, value - lower)), x.model)

    return rule


def library(f: Callable[[Any], Any], made: Library) -> Callable[[Variance], Variance]:
    """A function with a library error of more than a few u, or one that overflows before its result does."""
    plain = function(f, SLOPES[f])

    def rule(x: Variance) -> Variance:
        found, model, size = plain(x), x.model, np.abs(x.value)
        value = found.value
        slope = SLOPES[f](x.value, value) if made.slope is None else made.slope(size)
        steep = made.backward * np.abs(size * slope) + (made.forward - 1) * np.abs(value)
        absolute = made.absolute + made.narrow * (model.format.precision < FORMATS["float32"].precision)
        own = LIBRARY_DEVIATIONS * (model.u * steep + model.accumulator.u * absolute)
        own = np.where(np.isfinite(own), own, 0.0) + made.accuracy * np.abs(value) / DEVIATIONS
        if made.peak is not None:
            own = np.where(made.peak(size) > model.format.largest, np.inf, own)
        return found.widened(own)

    return rule


def binary(f: Callable[[Any, Any], Any], partials: Any) -> Callable[[Any, Any], Variance]:
    """A function of two operands; an exact operand contributes nothing, whatever the partial derivative."""

    def rule(x: Any, y: Any) -> Variance:
        x, y = lift_all(x, y)
        value = f(x.value, y.value)
        slopes = (partial(x.value, y.value, value) for partial in partials)
        variance = sum(np.where(z.variance == 0, 0.0, s**2 * z.variance) for z, s in zip((x, y), slopes, strict=True))
        own = np.square(LIBRARY_DEVIATIONS * x.model.u * value) + rounding(value, x.model)
        return Variance(value, variance + own, x.model)

    return rule


def arctan2(x: Any, y: Any) -> Variance:
    """Where the point may lie on the cut, the angle may be any."""
    x, y = lift_all(x, y)
    cut = (np.abs(x.value) <= reach(x)) & (y.value <= reach(y))
    return binary(np.arctan2, PARTIALS[np.arctan2])(x, y).widened(np.where(cut, 2 * np.pi, 0.0))


def power(x: Any, n: Any) -> Variance:
    if not isinstance(n, Duck) and not np.ndim(n):
        return power_of_number(x, n)
    return binary(np.power, PARTIALS[np.power])(x, n)


def zeta(s: Any, x: Any) -> Variance:
    if isinstance(s, Duck):
        raise NoRule("variance arithmetic supports zeta(s, x) only for ordinary numbers s")
    return function(lambda x: special.zeta(s, x), lambda x, y: -s * special.zeta(s + 1, x))(x)


def gamma(x: Variance) -> Any:
    """Up to its sign exp(log |gamma|), as XLA forms it."""
    return np.exp(special.gammaln(x)) * np.where(special.gamma(x.value) < 0, -1.0, 1.0)


def running_total(x: Variance, axis: int | None = None) -> Variance:
    """np.cumsum: each partial sum is stored."""
    value = np.cumsum(x.value, axis=axis)
    added = np.cumsum(x.variance, axis=axis) + np.cumsum(rounding(value, x.model), axis=axis)
    return Variance(value, added, x.model)


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
    **{f: library(f, made) for f, made in FUNCTIONS.items() if made != PLAIN},
    **{f: step(f) for f in STEPS if f is not np.sign},
    **{f: apply_to(f, as_rounded) for f in (np.argmax, np.argmin, np.argsort)},
    **{f: apply_to(f, lambda x: x.value) for f in (np.isfinite, np.isinf, np.isnan)},
    np.arctan2: arctan2, np.hypot: binary(np.hypot, PARTIALS[np.hypot]), np.power: power, np.signbit: signbit,
    special.gamma: gamma, np.sort: sort, np.cumsum: running_total, special.logsumexp: log_sum, special.zeta: zeta,
})  # fmt: skip
