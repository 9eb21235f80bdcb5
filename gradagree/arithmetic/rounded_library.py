"""Library functions in rounded arithmetic: their measured errors, saturation near a limit, and their rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetic import exactness
from gradagree.arithmetic.duck import Duck, NoRule, Rules
from gradagree.arithmetic.model import LIBRARY, OUTWARD, OWN, Model
from gradagree.arithmetic.rounded import (
    Rounded,
    add,
    divide,
    either,
    is_infinite,
    is_one,
    is_zero,
    lift_all,
    multiply,
    result,
    subtract,
)
from gradagree.arithmetic.rounding import outward
from gradagree.arithmetic.tiles import tiled


@dataclass(frozen=True)
class Library:
    """The errors of a function, in multiples of `LIBRARY` u, and its turning points.

    forward: relative to the result. backward: relative to the argument (for steep functions, where its rounding
    matters); reflected: the same for negative arguments only. absolute: in u of the accumulator. narrow: the same, in
    16-bit formats only. half: replaces forward in 16-bit formats, in u; half_backward: replaces backward there, in u,
    beside the error of the wider format in which the function is computed. accuracy: relative error of an algorithm
    with a fixed number of digits in every format. derivative: a bound on |f'| for arguments of at least a given
    magnitude, used instead of turns. slope: a bound on |f'| between two ends, used for negative arguments. domain: True
    for ends between which the function is known. peak: an intermediate that overflows before the result does, as a
    function of the argument's magnitude.
    """

    turns: tuple[float, ...] = ()
    forward: float = 1
    backward: float = 0
    absolute: float = 0
    narrow: float = 0
    accuracy: float = 0
    half: float = 2
    half_backward: float | None = None
    reflected: float = 0
    derivative: Callable[[Any], Any] | None = None
    slope: Callable[[Any, Any], Any] | None = None
    domain: Callable[[Any, Any], Any] | None = None
    peak: Callable[[Any], Any] | None = None

    def error_of_argument(self, x: Any, model: Model) -> Any:
        """The rounding error of the argument that programs may make, relative to it and in multiples of `LIBRARY`."""
        units = np.where(x < 0, self.backward + self.reflected, self.backward) if self.reflected else self.backward
        if model.narrow and self.half_backward is not None:
            return units * (model.accumulator.u + OWN) + self.half_backward / LIBRARY * model.u
        return units * (model.u + OWN)


def between_poles(low: Any, high: Any) -> Any:
    """True if no pole of tan lies between the ends, with a margin."""
    margin = 2.0**-50 * (np.abs(low) + np.abs(high))
    return (low == high) | (np.rint((low - margin) / np.pi) == np.rint((high + margin) / np.pi))


def between_integers(low: Any, high: Any) -> Any:
    """True if both ends are positive, or lie between the same two integers, with a margin: gamma has poles there."""
    margin = 2.0**-50 * (np.abs(low) + np.abs(high))
    return (low > 0) | (np.floor(low - margin) == np.floor(high + margin))


def largest_at_ends(derivative: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A bound on |f'| between two ends, for a derivative whose magnitude is largest at one of them.

    Between two poles, psi and its derivatives are monotonic, or positive and convex: psi^(n)(x) is a sum of equal signs
    over (x + k)^-(n + 1) for odd n, and increases for even n.
    """
    return lambda low, high: np.maximum(np.abs(derivative(low)), np.abs(derivative(high))) * (1 + 2.0**-30)


LOWEST_GAMMA = 1.4616321449683623
HIGHEST_I1E = 1.5451272579925426
PLAIN, STEEP, COMPOSED = Library(), Library(backward=1), Library(half=4)

PLAIN_FUNCTIONS = (np.arctan, np.cbrt, np.exp, np.log, np.sqrt, np.tanh, special.exprel, special.ndtri)
COMPOSED_FUNCTIONS = (
    np.arccos, np.arccosh, np.arcsin, np.arcsinh, np.expm1, np.log10, np.log2, special.expit, special.log_expit,
)  # fmt: skip
STEEP_FUNCTIONS = (special.erfcinv, special.erfcx, special.ndtr)

FUNCTIONS: dict[Any, Library] = {
    **dict.fromkeys(PLAIN_FUNCTIONS, PLAIN), **dict.fromkeys(COMPOSED_FUNCTIONS, COMPOSED),
    **dict.fromkeys(STEEP_FUNCTIONS, STEEP),
    **dict.fromkeys((np.cos, np.sin), Library(derivative=np.ones_like)),
    np.arctanh: Library(accuracy=2.0**-45, half=4),
    np.cosh: Library(turns=(0.0,), backward=1, half_backward=0, peak=np.exp),
    np.exp2: Library(backward=1, half_backward=2),
    np.log1p: Library(accuracy=2.0**-44),
    np.sinc: Library(
        derivative=lambda size: 2 / np.maximum(size, 1.4), backward=1, half=4, peak=lambda size: np.pi * size
    ),
    np.sinh: Library(backward=1, half_backward=0, peak=np.exp),
    np.tan: Library(domain=between_poles),
    special.digamma: Library(
        backward=2, half_backward=0, domain=between_integers, slope=largest_at_ends(lambda x: special.zeta(2.0, x))
    ),
    special.erf: Library(narrow=1),
    special.erfc: Library(backward=1, half_backward=0),
    special.erfinv: Library(forward=2, backward=1, half_backward=0),
    special.exp1: Library(forward=2, domain=lambda low, high: low > 0),
    special.expi: Library(forward=2, absolute=1, domain=lambda low, high: (low > 0) | (high < 0)),
    special.gammaln: Library(
        (LOWEST_GAMMA,), backward=1, half_backward=0, absolute=4, domain=between_integers,
        slope=largest_at_ends(special.digamma),
    ),
    special.i0: Library((0.0,), half=4, peak=np.exp),
    special.i0e: Library((0.0,)),
    special.i1: Library(forward=2, half=4, peak=np.exp),
    special.i1e: Library((-HIGHEST_I1E, HIGHEST_I1E), forward=2),
    special.log_ndtr: Library(forward=2, backward=1),
    special.logit: Library(backward=1, half_backward=1),
}  # fmt: skip
"""Measured, in u of the result, or absolute where a value is near 0:

half       at every number of 16 bits: 1, and 3 where XLA rounds its formula's steps (log2, expit, arccosh)
backward   XLA's exp2, sinh and cosh raise e to a rounded power (716 in float64); so do erfc and ndtr; zeros of logit.
           At every number of 16 bits beyond half, relative to the argument: exp2 1.8, logit 0.7; others below 0.001
reflected  polygamma functions of negative x have sin(pi x) of a rounded pi x
forward    i1 and i1e: 19 where two series meet, near 7.7; erfinv: 34 in XLA; log_ndtr: 13, compiled by Inductor;
           exp1 and expi: 11 by jax's continued fractions
absolute   gammaln: 35 in size near 1 and 2, by XLA's sum of large terms that cancel; expi: 2.5 near its zero at 0.3725
narrow     erf: 3.4 of float32 in size, by torch's polynomial for vectors of bfloat16
accuracy   XLA's log1p in float64: 241 just above -0.4142; arctanh through it: 147
peak       e^x overflows in sinh, cosh, i0 and i1 before it is halved or scaled; pi x in sinc
"""


SATURATED = 1 / 16
"""In u."""
TAIL_OUTWARD = 1 + 2.0**-40
SMALLEST = 5e-324
"""A distance is enlarged for its own rounding in float64."""

TAILS: dict[Any, Any] = {
    np.tanh: lambda size: 2 * special.expit(-2 * size),
    special.erf: special.erfc,
    special.expit: lambda x: special.expit(-x),
}
"""The distance of f(x) from its limit; for odd functions, as a function of |x|."""


def may_saturate(f: Any, x: np.ndarray, model: Model) -> bool:
    """False if no entry is so large that its result is next to a limit."""
    ends = np.minimum.reduce(x, axis=None, initial=0.0), np.maximum.reduce(x, axis=None, initial=0.0)
    most = ends[1] if f is special.expit else max(-ends[0], ends[1])
    return not TAILS[f](most) * TAIL_OUTWARD + SMALLEST >= SATURATED * model.u


def tail_of(f: Any, x: np.ndarray, radius: np.ndarray, model: Model) -> tuple[Any, Any]:
    """(distance from the limit; the limit, or 0 where not saturated). The limit is None if no entry is saturated."""
    odd = f is not special.expit
    size = (np.abs(x) if odd else x) - radius
    tail = TAILS[f](size) * TAIL_OUTWARD + SMALLEST
    saturated = tail < SATURATED * model.u
    if not np.any(saturated):
        return tail, None
    return tail, np.where(saturated, np.sign(x) if odd else 1.0, 0.0)


def whole_power(x: np.ndarray, n: Any) -> np.ndarray:
    """x^n, by two products for cubes, which takes a fraction of the time."""
    found: np.ndarray = x * x * x if np.ndim(n) == 0 and n == 3 else x**n
    return found


def integer_power(x: Rounded, n: Any) -> Rounded:
    """x^n for integers n >= 0."""
    if np.ndim(n) == 0 and n == 2:
        return square(x)
    size = np.abs(x.value)
    value, spread = whole_power(x.value, n), whole_power(size + x.radius, n) - whole_power(size, n)
    roundings: Any = np.where(np.equal(n, 2), 1.0, LIBRARY) if np.ndim(n) else LIBRARY
    q = exactness.UNKNOWN if np.ndim(n) else n * x.q if n else 0.0
    spread = np.where(x.radius != 0, spread + LIBRARY * OWN * np.abs(value), 0.0)
    return result(value, spread, x.model, q, roundings, either(is_zero(x), is_one(x)))


def square(x: Rounded) -> Rounded:
    """x^2."""
    value, spread = x.value * x.value, np.zeros(())
    if not x.exact:
        spread = np.asarray(2 * np.abs(x.value))
        spread += x.radius
        spread *= x.radius
        spread += LIBRARY * OWN * value
        spread = spread if x.radius.all() else np.where(x.radius != 0, spread, 0.0)
    return result(value, spread, x.model, 2 * x.q, keep=either(is_zero(x), is_one(x)))


def power(x: Any, y: Any) -> Rounded:
    if isinstance(x, Rounded) and isinstance(y, Rounded) and not y.radius.any() and np.all(y.value == np.rint(y.value)):
        y = y.value
    if not isinstance(y, Rounded) and np.all(np.equal(y, np.rint(y))):
        if np.all(np.greater_equal(y, 0)):
            return integer_power(x, y if np.ndim(y) else int(y))
        if not np.ndim(y):
            return divide(1.0, integer_power(x, -int(y)))
        whole: Any = integer_power(x, np.abs(y))
        inverse: Any = divide(1.0, np.where(np.less(y, 0), whole, 1.0))
        return x._lift(np.where(np.less(y, 0), inverse, whole))
    x, y = lift_all(x, y)
    answer = exp(multiply(y, log(x)))  # as far as a program may be off; its value has the errors of three operations
    with np.errstate(all="ignore"):
        return Rounded(np.power(x.value, y.value), answer.radius, answer.model)


def library(f: Callable[[Any], Any], errors: Library) -> Callable[[Rounded], Rounded]:
    """The rule of a library function: its range within the radius, plus the library's own error."""

    def rule(x: Rounded) -> Rounded:
        model, value, radius = x.model, f(x.value), x.radius
        if errors.backward or errors.reflected:
            radius = radius + LIBRARY * errors.error_of_argument(x.value, model) * np.abs(x.value)
        if errors.derivative is None:
            spread = propagate(f, x.value, value, radius, errors.turns)
        else:
            spread = errors.derivative(np.maximum(np.abs(x.value) - radius, 0.0)) * radius
        if errors.domain is not None or errors.peak is not None:
            low, high = x.value - radius, x.value + radius
        if errors.slope is not None:
            spread = np.where(low > 0, spread, errors.slope(low, high) * radius)
        if errors.domain is not None:
            spread = np.where(errors.domain(low, high), spread, np.nan)
        if errors.peak is not None:
            spread = np.where(errors.peak(np.maximum(np.abs(low), np.abs(high))) > model.format.largest, np.inf, spread)
        zero = np.False_ if np.all(value) else (is_zero(x) | is_infinite(x)) & (value == 0)
        answer = with_library_error(value, spread, model, zero, errors)
        return snap_to_limit(f, x, answer) if f in TAILS else answer

    return rule


def with_library_error(value: Any, spread: Any, model: Model, is_exact_zero: Any, errors: Library = PLAIN) -> Rounded:
    """The result with the library's own error, and the smallest normal number where it may underflow."""
    least, size = model.format.smallest_normal, np.abs(value)
    more: Any = LIBRARY * errors.absolute * (model.accumulator.u + OWN)
    if not np.minimum.reduce(size, axis=None, initial=np.inf) >= least:
        more = more + np.where(size < least, least, 0.0)
    if model.narrow:
        more = more + LIBRARY * errors.narrow * model.accumulator.u
    if errors.accuracy:
        more = more + errors.accuracy * size
    return result(
        value,
        spread + (np.where(is_exact_zero, 0.0, more) if is_exact_zero is not np.False_ else more)
        if np.any(more)
        else spread,
        model,
        roundings=errors.half if model.narrow else LIBRARY * errors.forward,
        keep=is_exact_zero,
    )


SLOPES: dict[Any, tuple[Callable[[Any], Any], float]] = {
    np.exp: (lambda y: y * (1 + 2.0**-40), 1.0),
    np.tanh: (lambda y: 1 + 2.0**-47 - y * y, 2.0),
    special.expit: (lambda y: (1 + 2.0**-47 - y) * y, 1.0),
}
"""|f'| as a function of y = f(x), rounding errors included, and a bound on |f''/f'|."""
FLAT, CURVED = 2.0**-9, 2.0**-5
"""Radii up to which f' changes by a fraction of a percent, and by a few percent."""


def by_slope(f: Callable[[Any], Any], value: Any, radius: np.ndarray) -> Any:
    """A bound on the distance of f from value = f(x) within small radii; None for other functions and radii.

    With |f''/f'| <= k, f' grows within a radius r by at most e^(kr) <= 1 + kr (1 + kr).
    """
    most = np.maximum.reduce(radius, axis=None)
    if f not in SLOPES or not most <= CURVED:
        return None
    slope, growth = SLOPES[f]
    spread = np.asarray(slope(value))
    spread *= radius
    step = growth * (most if most <= FLAT else radius)
    spread *= 1 + step * (1 + step)
    return spread


def propagate(
    f: Callable[[Any], Any], x: np.ndarray, value: np.ndarray, radius: np.ndarray, turns: tuple[float, ...] = ()
) -> Any:
    """The largest distance of f from value = f(x) within the radius: at the ends and at the turning points."""
    if not radius.any():
        return 0.0
    if (spread := by_slope(f, value, radius)) is not None:
        return spread if radius.all() else np.where(radius != 0, spread, 0.0)
    low, high = (outward(x + side * radius, side) for side in (-1, 1))
    ends = [f(low), f(high), *(f(np.minimum(np.maximum(turn, low), high)) for turn in turns)]
    reach, largest = np.abs(ends[0] - value), np.abs(ends[0])
    for end in ends[1:]:
        reach, largest = np.maximum(reach, np.abs(end - value)), np.maximum(largest, np.abs(end))
    spread = reach + 2 * LIBRARY * OWN * largest
    return spread if radius.all() else np.where(radius != 0, spread, 0.0)


def snap_to_limit(f: Callable[[Any], Any], x: Rounded, answer: Rounded) -> Rounded:
    """Where the exact value is next to a limit of magnitude 1, programs return the limit; the error is the distance."""
    if not may_saturate(f, x.value, x.model):
        return answer
    tail, limit = tail_of(f, x.value, x.radius, x.model)
    if limit is None:
        return answer
    return Rounded(np.where(limit != 0, limit, answer.value), np.where(limit != 0, tail, answer.radius), x.model)


exp, log, gammaln = (library(f, FUNCTIONS[f]) for f in (np.exp, np.log, special.gammaln))


def gamma(x: Any) -> Rounded:
    """exp(gammaln(x)) with its sign, as XLA computes it: absolute errors of the logarithm become relative ones."""
    found = exp(gammaln(x))
    return negative(found, special.gamma(x.value) < 0)


def negative(x: Rounded, where: Any) -> Rounded:
    return Rounded(np.where(where, -x.value, x.value), x.radius, x.model) if np.any(where) else x


def zeta_errors(s: float) -> Library:
    """The errors of Hurwitz's zeta function of x; x < 0 has a real value for integers s only."""
    domain = between_integers if s == round(s) else lambda low, high: low > 0
    slope = largest_at_ends(lambda x: s * special.zeta(s + 1, x))
    return Library(reflected=1, half_backward=0, domain=domain, slope=slope)


def zeta(s: Any, x: Any) -> Rounded:
    """Hurwitz's zeta function of x."""
    if isinstance(s, Duck):
        raise NoRule("rounded arithmetic supports zeta(s, x) only for ordinary numbers s")
    return library(lambda x: special.zeta(s, x), zeta_errors(float(s)))(x)


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


ELEMENTWISE: Rules = {
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.divide: divide, np.power: power, np.square: square,
    np.reciprocal: lambda x: divide(1.0, x), np.logaddexp: logaddexp, np.hypot: hypot, np.arctan2: arctan2,
    special.gamma: gamma, special.zeta: zeta,
    **{f: library(f, errors) for f, errors in FUNCTIONS.items()},
}  # fmt: skip
Rounded.rules.update({f: tiled(Rounded, rule) for f, rule in ELEMENTWISE.items()})
