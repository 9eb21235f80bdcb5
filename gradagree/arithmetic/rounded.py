"""Rounded arithmetic: a value with a running error bound that covers every correct program in the framework's dtype.

The value is the reference's float64 result. The radius grows by the rounding model (`gradagree.arithmetic.model`), by
the radii of the operands, and by the reference's own rounding. An infinite radius means that a number may overflow the
dtype, NaN that nothing is known.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from gradagree.arithmetic import exactness
from gradagree.arithmetic.duck import Duck, Rules
from gradagree.arithmetic.model import DIVISION, FORMATS, OUTWARD, OWN, Model, common, converted
from gradagree.arithmetic.rounding import round_to_format

COMPARISONS: tuple[Any, ...] = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)

SHORT = 45
"""A float64 constant with more significant bits than this stands for a number that is not representable."""
SMALLEST = 2.0**-1074
"""Underflow error of each product in the computation of a radius, for formats with the exponent range of float64."""
LARGE = 2.0**60
"""A number of this size does not change by the addition of 2."""


class Rounded(Duck):
    """value +- radius, entry by entry; all values are exact multiples of 2^q unless q is `exactness.UNKNOWN`."""

    __slots__ = ("model", "q", "radius", "special", "value")
    arithmetic = "rounded"
    rules: ClassVar[Rules] = {}

    def __init__(self, value: Any, radius: Any, model: Model, q: float = exactness.UNKNOWN) -> None:
        self.value = value = np.asarray(value, dtype=np.float64)
        radius = np.asarray(radius, dtype=np.float64)
        self.radius = radius if radius.shape == value.shape else np.broadcast_to(radius, value.shape)
        self.model = model
        self.q = q if q == exactness.UNKNOWN or not self.radius.any() else exactness.UNKNOWN
        self.special: tuple[bool, bool] | None = None

    @classmethod
    def stored(cls, x: Any, model: Model) -> Self:
        """Stored numbers of the dtype: exact, except for subnormals that the program may flush to zero."""
        x = np.asarray(x, dtype=np.float64)
        flushed: Any = 0.0
        if model.flushes:
            flushed = np.where(np.abs(x) < model.format.smallest_normal, np.abs(x), 0.0)
        return cls(x, flushed, model, exactness.lowest_bit(x))

    @classmethod
    def intermediate(cls, x: Any, model: Model) -> Self:
        """A value passed from one operation to the next: as stored, but a fused program may use it before rounding.

        Nothing is known of results computed from NaN.
        """
        stored = cls.stored(x, model)
        radius, q = stored.radius, stored.q
        if model.fused:
            with np.errstate(invalid="ignore"):
                radius, q = np.maximum(radius, model.excess * np.abs(stored.value)), exactness.UNKNOWN
        return cls(stored.value, np.where(np.isnan(stored.value), np.nan, radius), model, q)

    @classmethod
    def constant(cls, x: Any, model: Model) -> Self:
        """Constants of a formula: radius u |c| where they are not representable in the dtype."""
        if type(x) in (int, float):
            return constant(cls, float(x).hex(), model)
        return cls.constants(np.asarray(x, dtype=np.float64), model)

    @classmethod
    def constants(cls, x: np.ndarray, model: Model) -> Self:
        """`constant` for an array."""
        scaled = np.ldexp(np.frexp(x)[0], min(model.format.precision, SHORT))
        radius = np.where(scaled == np.rint(scaled), 0.0, np.abs(x) * (model.u + OWN))
        form = model.format
        radius = np.where(np.isinf(x), 0.0, np.where(np.abs(x) > form.largest, np.inf, radius))
        tiny = (np.abs(x) < form.smallest_normal) & (x != 0) & (model.flushes | (np.abs(x) % form.smallest != 0))
        radius = np.where(tiny, np.maximum(radius, np.abs(x) + form.smallest), radius)
        return cls(x, radius, model, exactness.lowest_bit(x))

    def _parts(self) -> tuple[Any, ...]:
        return (self.value, self.radius)

    def _like(self, *parts: Any) -> Self:
        value, radius = parts
        return type(self)(value, radius, self.model, self.q)

    def _lift(self, x: Any) -> Rounded:
        return x if isinstance(x, Rounded) else Rounded.constant(x, self.model)

    def _join(self, function: Any, arrays: Any, axis: int = 0) -> Self:
        lifted = [self._lift(array) for array in arrays]
        q = min(array.q for array in lifted)
        value, radius = (function([getattr(a, part) for a in lifted], axis=axis) for part in ("value", "radius"))
        return type(self)(value, radius, common([(x.model, x.ndim) for x in lifted]), q)

    def has_special(self) -> tuple[bool, bool]:
        """(True if some value is 0, True if some is 1 or -1)."""
        if self.special is None:
            self.special = not self.value.all(), bool((np.abs(self.value) == 1).any())
        return self.special

    @property
    def exact(self) -> bool:
        """True if all radii are one number in memory, which is 0: certainly no value has an error."""
        return bool(self.radius.size and not any(self.radius.strides) and self.radius.flat[0] == 0)

    def with_model(self, model: Model) -> Rounded:
        """The same numbers under another rounding model from here on."""
        return Rounded(self.value, self.radius, model, self.q)

    def term_rounding(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Error bound for rounding each term x_i y_j of the sum that gave this product."""
        return np.asarray(self.model.u * (np.swapaxes(x, -1, -2) @ y))

    def widen(self, by: Any) -> Rounded:
        """The same values with radii enlarged by `by`."""
        return Rounded(self.value, (self.radius + by) * OUTWARD, self.model)


@functools.lru_cache(maxsize=4096)
def constant(kind: type[Any], text: str, model: Model) -> Any:
    """A constant of a formula, cached by its hexadecimal text, which distinguishes 0 from -0."""
    return kind.constants(np.asarray(float.fromhex(text)), model)


def may_overflow(*arrays: Rounded) -> bool:
    """True if some number may overflow the dtype."""
    return any(bool(np.isinf(array.radius).any()) for array in arrays)


def lift_all(*xs: Any) -> tuple[Rounded, ...]:
    """All operands as rounded arrays of one model."""
    if len(xs) == 2 and isinstance(xs[0], Rounded) and isinstance(xs[1], Rounded) and xs[0].model is xs[1].model:
        return xs
    known = [x for x in xs if isinstance(x, Rounded)]
    if all(x.model is known[0].model for x in known):
        return tuple(known[0]._lift(x) for x in xs)
    shared = common([(x.model, x.ndim) for x in known])
    first = known[0].with_model(shared)
    return tuple(x.with_model(shared) if isinstance(x, Rounded) else first._lift(x) for x in xs)


COARSE = 2.0**-26
"""In formats with a unit roundoff of at least this, a 2^20th of it covers the rounding of radii in float64."""
MANY = 1 << 12
"""Number of entries from which on zeros and ones are counted while their magnitudes are in the cache."""


def bounded(
    value: Any, spread: Any, model: Model, q: float = exactness.UNKNOWN, roundings: float = 1, keep: Any = np.False_
) -> Rounded | None:
    """As `result`; None if a number may overflow, or is not finite."""
    size = np.asarray(np.abs(value))
    least, special = 0.0, None
    if size.size >= MANY:
        least = np.minimum.reduce(size, axis=None)
        special = not least > 0, not least > 1 and bool((size == 1).any())
    size += spread
    relative = roundings * (model.u + OWN)
    largest = np.maximum.reduce(size, axis=None, initial=0.0)  # spread <= size
    if not (2 + relative) * largest + model.quantum <= model.format.largest:
        return None
    exact = keep if q == exactness.UNKNOWN else exactness.is_exact(size, q, model) | keep
    inexact = exact is np.False_ or not np.any(exact)
    if exact is np.True_:
        return Rounded(value, np.asarray(spread * OUTWARD), model, q)
    rounding = size  # in place from here on, as new arrays of this size take longer than the product
    if inexact and model.u >= COARSE and least * relative >= 2.0**22 * model.quantum:
        rounding *= relative * (1 + 2.0**-20)  # and so the quantum, too
        rounding += spread
    else:
        rounding *= relative
        rounding += model.quantum
        if not inexact:
            rounding = np.where(exact, 0.0, rounding)
        rounding += spread
        rounding *= OUTWARD
    found = Rounded(value, rounding, model, q)
    found.special = special
    return found


def result(
    value: Any, spread: Any, model: Model, q: float = exactness.UNKNOWN, roundings: Any = 1, keep: Any = np.False_,
    within: Callable[[], Any] | None = None,
) -> Rounded:  # fmt: skip
    """The result of one operation: the propagated radii (`spread`) plus its own rounding error unless it is exact.

    keep marks entries that are exact for another reason (such as a sum with zero); within tells which do not overflow.
    """
    if not np.ndim(roundings) and (found := bounded(value, spread, model, q, roundings, keep)) is not None:
        return found
    size = np.abs(value) + spread
    exact = keep if q == exactness.UNKNOWN else exactness.is_exact(size, q, model) | keep
    rounding = np.where(exact, 0.0, roundings * (model.u + OWN) * size + model.quantum) + spread
    found = finish(value, rounding, model, q)
    if within is None or not (finite := within()).any():
        return found
    return Rounded(value, np.where(finite, rounding * OUTWARD, found.radius), model, q)


def round_once(x: Rounded, model: Model) -> Rounded:
    """Results of a wider format, rounded to that of the model."""
    stored = (x.radius == 0) & (round_to_format(x.value, model.format) == x.value)
    return result(x.value, x.radius, model, x.q, keep=stored)


def convert(x: Rounded, to: str, source: str | None = None) -> Rounded:
    """Numbers converted to another format, and the model of the operations that follow."""
    after, form = converted(x.model, to), FORMATS[to]
    if after.outer is not None:
        return round_once(x, after)
    if form.precision < x.model.format.precision:
        return round_once(x, replace(after, format=form)).with_model(after)
    if source is not None and FORMATS[source].precision > x.model.format.precision:
        return x.widen(FORMATS[source].u * np.abs(x.value)).with_model(after)  # rounded twice
    return x.with_model(after)


def finish(value: Any, radius: Any, model: Model, q: float = exactness.UNKNOWN) -> Rounded:
    """The result with its radius enlarged for its own rounding; infinite where the number may overflow."""
    size, outward = np.abs(value) + radius, radius * OUTWARD
    if not np.maximum.reduce(size, axis=None, initial=0.0) <= model.format.largest:
        outward = np.where(size > model.format.largest, np.inf, outward)
    return Rounded(value, outward, model, q)


def keep_infinite(spread: Any, x: Rounded, y: Rounded) -> Any:
    """If an operand may overflow, so may the result: infinite radius instead of NaN, which means unknown."""
    if math.isnan(np.add.reduce(spread, axis=None)) and may_overflow(x, y):
        return np.where(np.isnan(spread), np.inf, spread)
    return spread


def is_zero(x: Rounded) -> Any:
    """True where the program holds 0 exactly; a scalar if nowhere."""
    return (x.value == 0) & (x.radius == 0) if x.has_special()[0] else np.False_


def either(first: Any, second: Any) -> Any:
    """True where one of two conditions holds, each of which may be a scalar."""
    if first is np.False_ or second is np.True_:
        return second
    return first if second is np.False_ or first is np.True_ else first | second


def is_infinite(x: Rounded) -> Any:
    """True where the program holds infinity itself, as a mask does, and not a number that overflowed."""
    return np.isinf(x.value) & (x.radius == 0)


def is_one(x: Rounded) -> Any:
    """True where the program holds 1 or -1 exactly, because no other representable number is that close.

    A scalar if nowhere, or everywhere.
    """
    if not x.has_special()[1]:
        return np.False_
    one = np.asarray(np.abs(x.value) == 1)
    if not x.exact:
        one &= x.radius < x.model.u / 8
    return np.True_ if one.all() else one


def add(x: Any, y: Any, sign: int = 1) -> Rounded:
    x, y = lift_all(x, y)
    value = x.value + y.value if sign > 0 else x.value - y.value
    spread = y.radius if x.exact else x.radius if y.exact else x.radius + y.radius
    exact = either(is_zero(x), is_zero(y))
    if not value.all():
        exact = exact | ((value == 0) & (spread == 0))
    q = min(x.q, y.q)
    if (found := bounded(value, spread, x.model, q, keep=exact)) is not None:
        return found
    found = result(value, spread, x.model, q, keep=exact, within=lambda: stays_finite(x, y, sign))
    if math.isfinite(np.add.reduce(value, axis=None)):
        return found
    infinite = is_infinite(x) & np.isfinite(y.radius) | is_infinite(y) & np.isfinite(x.radius)
    return found if not infinite.any() else Rounded(value, np.where(infinite, 0.0, found.radius), x.model)


def stays_finite(x: Rounded, y: Rounded, sign: int) -> Any:
    """True where the sum of two finite numbers does not overflow, such as that of the largest number and a small one.

    A sum is rounded to infinity only from the largest number and half a unit in its last place on (IEEE 754, 4.3.1).
    """
    form = x.model.format
    first, second = ((np.maximum(z.value - z.radius, -form.largest), np.minimum(z.value + z.radius, form.largest))
                     for z in (x, y))  # fmt: skip
    if sign < 0:
        second = -second[1], -second[0]
    low, high = first[0] + second[0], first[1] + second[1]
    known = np.isfinite(x.radius) & np.isfinite(y.radius)
    return known & (np.maximum(-low, high) < form.largest * (1 + form.u / 2))


def subtract(x: Any, y: Any) -> Rounded:
    return add(x, y, -1)


def multiply(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    zero = either(is_zero(x), is_zero(y))
    exact = either(zero, either(is_one(x), is_one(y)))
    value, q = x.value * y.value, exactness.product_exponent(x.q, y.q)
    spread = with_underflow(spread_of_product(x, y), x, y, zero)
    if (found := bounded(value, spread, x.model, q, keep=exact)) is not None:
        return found
    spread = np.abs(x.value) * y.radius + np.abs(y.value) * x.radius + x.radius * y.radius
    return result(value, with_underflow(keep_infinite(spread, x, y), x, y, zero), x.model, q, keep=exact)


def spread_of_product(x: Rounded, y: Rounded) -> Any:
    """The propagated radii of a product of finite numbers."""
    if x.exact is not y.exact:
        return np.abs(x.value) * y.radius if x.exact else np.abs(y.value) * x.radius
    spread = np.asarray(np.abs(y.value))
    spread += y.radius
    spread = spread * x.radius
    spread += np.abs(x.value) * y.radius
    return spread


def with_underflow(spread: Any, x: Rounded, y: Rounded, zero: Any) -> Any:
    """The propagated radii of a product, in which products of small numbers may have underflowed."""
    if x.model.format.smallest != SMALLEST or np.minimum.reduce(spread, axis=None, initial=np.inf) >= LARGE * SMALLEST:
        return spread
    return spread + 2 * SMALLEST * (((x.radius != 0) | (y.radius != 0)) & ~zero)


def divide(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    value, zero, quantum = x.value / y.value, is_zero(x), x.model.quantum
    least = np.abs(y.value) if y.exact else np.abs(y.value) - y.radius
    known = bool(np.minimum.reduce(least, axis=None, initial=np.inf) > 0)
    if known and zero is np.False_ and not (x.exact and y.exact):
        spread = np.asarray(np.abs(value) * (y.radius / least) if not y.exact else x.radius / least)
        if not (x.exact or y.exact):
            spread += x.radius / least
        spread += quantum
        if (found := bounded(value, spread, x.model, roundings=DIVISION, keep=is_one(y))) is not None:
            return found
    spread = np.asarray(np.abs(value) * (y.radius / least))
    spread += x.radius / least
    if not known:
        spread = np.where(least > 0, spread, np.nan)
    spread = keep_infinite(spread, x, y)
    spread = spread + (quantum if zero is np.False_ else np.where(zero, 0.0, quantum))
    return result(
        value,
        spread,
        x.model,
        roundings=DIVISION,
        keep=either(zero if zero is np.False_ else zero & (least > 0), is_one(y)),
    )


def negative(x: Rounded) -> Rounded:
    return Rounded(-x.value, x.radius, x.model, x.q)
