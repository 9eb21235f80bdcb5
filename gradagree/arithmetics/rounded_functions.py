"""Rules of rounded arithmetic for powers and library functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics import quanta
from gradagree.arithmetics.duck import Duck
from gradagree.arithmetics.libraries import COMPOSED, FUNCTIONS, PLAIN, ZETA, Library
from gradagree.arithmetics.model import LIBRARY, OUTWARD, OWN, Model
from gradagree.arithmetics.refusals import NoRule
from gradagree.arithmetics.rounded import (
    Rounded,
    add,
    divide,
    is_one,
    is_zero,
    lift_all,
    multiply,
    result,
    subtract,
)
from gradagree.arithmetics.saturation import TAILS, tail_of


def integer_power(x: Rounded, n: Any) -> Rounded:
    """x^n for integers n >= 0."""
    size = np.abs(x.value)
    spread = (size + x.radius) ** n - size**n
    value = x.value**n
    q = quanta.NONE if np.ndim(n) else n * x.q if n else 0.0
    roundings = np.where(np.equal(n, 2), 1, LIBRARY)
    spread = np.where(x.radius != 0, spread + LIBRARY * OWN * np.abs(value), 0.0)
    return result(value, spread, x.model, q, roundings, is_zero(x) | is_one(x))  # type: ignore[arg-type]


def power(x: Any, y: Any) -> Rounded:
    if not isinstance(y, Rounded) and np.all(np.equal(y, np.rint(y))):
        if np.all(np.greater_equal(y, 0)):
            return integer_power(x, y if np.ndim(y) else int(y))
        if not np.ndim(y):
            return divide(1.0, integer_power(x, -int(y)))
    x, y = lift_all(x, y)
    return exp(multiply(y, log(x)))


def square(x: Rounded) -> Rounded:
    return integer_power(x, 2)


def library(f: Callable[[Any], Any], made: Library) -> Callable[[Rounded], Rounded]:
    """The rule of a library function: its range within the radius, plus the library's own error."""

    def rule(x: Rounded) -> Rounded:
        model, value, radius = x.model, f(x.value), x.radius
        if made.backward:
            radius = radius + LIBRARY * made.backward * (model.u + OWN) * np.abs(x.value)
        low, high = x.value - radius, x.value + radius
        if made.slope is None:
            spread = propagated(f, x.value, radius, made.turns)
        else:
            spread = made.slope(np.maximum(np.abs(x.value) - radius, 0.0)) * radius
        if made.domain is not None:
            spread = np.where(made.domain(low, high), spread, np.nan)
        if made.peak is not None:
            spread = np.where(made.peak(np.maximum(np.abs(low), np.abs(high))) > model.format.largest, np.inf, spread)
        answer = with_library_error(value, spread, model, is_zero(x) & (value == 0), made)
        return snap_to_limit(f, x, answer) if f in TAILS else answer

    return rule


def with_library_error(value: Any, spread: Any, model: Model, is_exact_zero: Any, made: Library = PLAIN) -> Rounded:
    """The result with the library's own error, and the smallest normal number where it may underflow."""
    least = model.format.smallest_normal
    more = np.where(np.abs(value) < least, least, 0.0) + LIBRARY * made.absolute * (model.accumulator.u + OWN)
    if model.narrow:
        more = more + LIBRARY * made.narrow * model.accumulator.u
    if made.accuracy:
        more = more + made.accuracy * np.abs(value)
    return result(
        value,
        spread + np.where(is_exact_zero, 0.0, more),
        model,
        roundings=made.half if model.narrow else LIBRARY * made.forward,
        keep=is_exact_zero,
    )


def propagated(f: Callable[[Any], Any], x: np.ndarray, radius: np.ndarray, turns: tuple[float, ...] = ()) -> Any:
    """The largest distance of f from f(x) within the radius: at the ends and at the turning points."""
    if not radius.any():
        return 0.0
    value = f(x)
    low, high = (np.nextafter(x + side * radius, side * np.inf) for side in (-1, 1))
    ends = [f(low), f(high), *(f(np.minimum(np.maximum(turn, low), high)) for turn in turns)]
    reach = np.maximum.reduce([np.abs(end - value) for end in ends])
    largest = np.maximum.reduce([np.abs(end) for end in ends])
    return np.where(radius != 0, reach + 2 * LIBRARY * OWN * largest, 0.0)


def snap_to_limit(f: Callable[[Any], Any], x: Rounded, answer: Rounded) -> Rounded:
    """Where the exact value is next to a limit of magnitude 1, programs return the limit; the error is the distance."""
    tail, limit = tail_of(f, x.value, x.radius, x.model)
    if limit is None:
        return answer
    return Rounded(np.where(limit != 0, limit, answer.value), np.where(limit != 0, tail, answer.radius), x.model)


exp, log, gammaln = (library(f, FUNCTIONS[f]) for f in (np.exp, np.log, special.gammaln))


def gamma(x: Any) -> Rounded:
    """exp(gammaln(x)), as XLA computes it for x > 0: absolute errors of the logarithm become relative ones."""
    return exp(gammaln(x))


def zeta(s: Any, x: Any) -> Rounded:
    """Hurwitz's zeta function of x > 0."""
    if isinstance(s, Duck):
        raise NoRule("rounded arithmetic supports zeta(s, x) only for ordinary numbers s")
    return library(lambda x: special.zeta(s, x), ZETA)(x)


def hypot(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    return with_library_error(
        np.hypot(x.value, y.value), np.hypot(x.radius, y.radius), x.model, is_zero(x) & is_zero(y), COMPOSED
    )


def arctan2(x: Any, y: Any) -> Rounded:
    """The angle changes by at most arcsin(radius / distance); any angle where the point may lie on the branch cut.

    Where the distance is within the radius but the point stays on one side of the cut, it changes by less than pi.
    """
    x, y = lift_all(x, y)
    value, reach, distance = np.arctan2(x.value, y.value), np.hypot(x.radius, y.radius), np.hypot(x.value, y.value)
    moved = np.where(reach * OUTWARD < distance, np.arcsin(np.minimum(reach / distance * OUTWARD, 1.0)), np.pi)
    cut = ~(np.abs(x.value) > x.radius) & ~(y.value > y.radius)
    spread = np.where(cut, np.abs(value) + np.pi, np.where(reach == 0, 0.0, moved + LIBRARY * OWN))
    return with_library_error(value, spread, x.model, is_zero(x) & (y.value > y.radius), COMPOSED)


def logaddexp(x: Any, y: Any) -> Rounded:
    """The usual formula is max + log1p(exp(-|x - y|)), which rounds the difference; wide formats may round max, too."""
    x, y = lift_all(x, y)
    value = np.logaddexp(x.value, y.value)
    upper = np.logaddexp(x.value + x.radius, y.value + y.radius) - value
    lower = value - np.logaddexp(x.value - x.radius, y.value - y.radius)
    gap, narrow = np.abs(x.value - y.value), x.model.narrow
    each = PLAIN.half if narrow else LIBRARY
    formula = np.where(np.isfinite(gap), (gap + 2 * each) * np.exp(-gap), 0.0)
    if not narrow:
        formula = formula + np.abs(np.maximum(x.value, y.value))
    inherited = np.where(x.radius + y.radius != 0, np.maximum(upper, lower), 0.0)
    return result(value, inherited + (x.model.u + OWN) * formula, x.model, roundings=each)


Rounded.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.divide: divide, np.power: power, np.square: square,
    np.reciprocal: lambda x: divide(1.0, x), np.logaddexp: logaddexp, np.hypot: hypot, np.arctan2: arctan2,
    special.gamma: gamma, special.zeta: zeta,
    **{f: library(f, made) for f, made in FUNCTIONS.items()},
})  # fmt: skip
