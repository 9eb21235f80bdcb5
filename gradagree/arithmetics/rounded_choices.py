"""Rules of rounded arithmetic that never round: absolute value, extremes, sorting, steps, comparisons, where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.model import OUTWARD
from gradagree.arithmetics.rounded import COMPARISONS, Rounded, lift_all, negative
from gradagree.arithmetics.trilean import Trilean, split


def hull(x: Rounded, q: float, value: Any, lower: Any, upper: Any) -> Rounded:
    """The interval from lower to upper as value and radius."""
    return Rounded(value, np.maximum(upper - value, value - lower) * OUTWARD, x.model, q)


def absolute(x: Rounded) -> Rounded:
    return Rounded(np.abs(x.value), x.radius, x.model, x.q)


def maximum(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    value = np.maximum(x.value, y.value)
    lower, upper = (np.maximum(x.value + side * x.radius, y.value + side * y.radius) for side in (-1, 1))
    return hull(x, min(x.q, y.q), value, lower, upper)


def minimum(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    return negative(maximum(negative(x), negative(y)))


def extreme(pick: Callable[..., Any]) -> Callable[..., Rounded]:
    def rule(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
        ends = (x.value, x.value - x.radius, x.value + x.radius)
        return hull(x, x.q, *(pick(end, axis=axis, keepdims=keepdims) for end in ends))

    return rule


def sort(x: Rounded, axis: int = -1) -> Rounded:
    """The k-th smallest number lies between the k-th smallest lower end and the k-th smallest upper end."""
    return hull(x, x.q, *(np.sort(end, axis=axis) for end in (x.value, x.value - x.radius, x.value + x.radius)))


def step(f: Callable[[Any], Any]) -> Callable[[Rounded], Rounded]:
    """Nondecreasing functions with integer values."""

    def rule(x: Rounded) -> Rounded:
        lower, upper = (np.nextafter(x.value + side * x.radius, side * np.inf) for side in (-1, 1))
        known = x.radius == 0
        ends = (f(np.where(known, x.value, end)) for end in (lower, upper))
        return hull(x, max(x.q, 0.0), f(x.value), *ends)

    return rule


def sign(x: Rounded) -> Rounded:
    open = ~(np.abs(x.value) > x.radius) & (x.radius != 0)
    return Rounded(np.sign(x.value), np.where(open, 1 + np.abs(np.sign(x.value)), 0.0), x.model, 0)


def where(condition: Any, x: Any, y: Any) -> Rounded:
    """x or y; the hull of both where the condition is open."""
    true, open = split(condition)
    x, y = lift_all(x, y)
    value, radius = np.where(true, x.value, y.value), np.where(true, x.radius, y.radius)
    if open.any():
        hull = (np.abs(x.value - y.value) + np.maximum(x.radius, y.radius)) * OUTWARD
        radius = np.where(open, hull, radius)
    return Rounded(value, radius, x.model, min(x.q, y.q))


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Decided where the difference exceeds the radii, or where both are exact."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lift_all(x, y)
        reach = x.radius + y.radius
        return decided_or_open(f(x.value, y.value), (reach != 0) & ~(np.abs(x.value - y.value) > reach), x)

    return rule


def decided_or_open(answer: Any, open: Any, x: Rounded) -> Any:
    return Trilean(answer, open, x._lift) if np.any(open) else answer


def classify(f: Callable[[Any], Any]) -> Callable[[Rounded], Any]:
    """isfinite, isinf, isnan: open where a number may overflow the dtype or is unknown."""
    return lambda x: decided_or_open(f(x.value), ~np.isfinite(x.radius), x)


def signbit(x: Rounded) -> Any:
    """Also open for zeros, which may have either sign."""
    return decided_or_open(np.signbit(x.value), ~(np.abs(x.value) > x.radius), x)


Rounded.rules.update({
    np.negative: negative, np.positive: lambda x: x, np.absolute: absolute, np.fabs: absolute, np.sign: sign,
    np.maximum: maximum, np.minimum: minimum, np.max: extreme(np.max), np.min: extreme(np.min), np.sort: sort,
    np.where: where, np.signbit: signbit, **{f: compare(f) for f in COMPARISONS},
    **{f: step(f) for f in (np.ceil, np.floor, np.rint, np.trunc)},
    **{f: classify(f) for f in (np.isfinite, np.isinf, np.isnan)},
})  # fmt: skip
