"""Rounded arithmetic: a number, and a radius around all that a correct program in the framework's dtype may compute.

The centre is the reference's own float64 answer; the radius grows by the model of a correct program
(`gradagree.arithmetics.model`), by what it inherits, and by the reference's own rounding. A radius of infinity says
that a number may not fit the dtype, NaN that nothing can be said.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar, Self

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.duck import Duck, Rules
from gradagree.arithmetics.model import DIVISION, OUTWARD, OWN, Model

COMPARISONS: tuple[Any, ...] = (np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal)

SHORT = 45
"""A float64 constant of more significant bits than this stands for a number that is not representable."""
SMALLEST = 2.0**-1074
"""What the products of which a radius is made may each lose, where the format reaches as far down as float64 does."""


class Rounded(Duck):
    """value +- radius, entry by entry; q: all values are exact multiples of 2^q, or `quanta.NONE`."""

    __slots__ = ("model", "q", "radius", "value")
    arithmetic = "rounded"
    rules: ClassVar[Rules] = {}

    def __init__(self, value: Any, radius: Any, model: Model, q: float = quanta.NONE) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        radius = np.asarray(radius, dtype=np.float64)
        self.radius = radius if radius.shape == self.value.shape else np.broadcast_to(radius, self.value.shape)
        self.model = model
        self.q = q if q == quanta.NONE or not self.radius.any() else quanta.NONE

    @classmethod
    def stored(cls, x: Any, model: Model) -> Self:
        """Numbers of the dtype as the program holds them: exact, but for subnormals that it may flush."""
        x = np.asarray(x, dtype=np.float64)
        flushed = np.where(model.flushes & (np.abs(x) < model.format.smallest_normal), np.abs(x), 0.0)
        return cls(x, flushed, model, quanta.lowest_bit(x))

    @classmethod
    def handed(cls, x: Any, model: Model) -> Self:
        """What one box hands to another: as stored, but that a fused program may use it before it was rounded.

        Of what a box makes of NaN nothing is known.
        """
        stored = cls.stored(x, model)
        radius, q = stored.radius, stored.q
        if model.fused:
            with np.errstate(invalid="ignore"):
                radius, q = np.maximum(radius, model.excess * np.abs(stored.value)), quanta.NONE
        return cls(stored.value, np.where(np.isnan(stored.value), np.nan, radius), model, q)

    @classmethod
    def constant(cls, x: Any, model: Model) -> Self:
        """Numbers of a formula: u |c| where the dtype cannot hold them."""
        if type(x) in (int, float):
            return constant(cls, float(x).hex(), model)
        return cls.constants(np.asarray(x, dtype=np.float64), model)

    @classmethod
    def constants(cls, x: np.ndarray, model: Model) -> Self:
        """Likewise for an array of them."""
        scaled = np.ldexp(np.frexp(x)[0], min(model.format.precision, SHORT))
        radius = np.where(scaled == np.rint(scaled), 0.0, np.abs(x) * (model.u + OWN))
        form = model.format
        radius = np.where(np.abs(x) > form.largest, np.inf, radius)
        tiny = (np.abs(x) < form.smallest_normal) & (x != 0) & (model.flushes | (np.abs(x) % form.smallest != 0))
        radius = np.where(tiny, np.maximum(radius, np.abs(x) + form.smallest), radius)
        return cls(x, radius, model, quanta.lowest_bit(x))

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
        return type(self)(value, radius, self.model, q)

    def modelled(self, model: Model) -> Rounded:
        """The same numbers in a program that computes in another way from here on."""
        return Rounded(self.value, self.radius, model, self.q)

    def of_terms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What rounding each of the terms x_i y_j costs that this product was added up from."""
        return np.asarray(self.model.u * (np.swapaxes(x, -1, -2) @ y))

    def widened(self, by: Any) -> Rounded:
        """The same numbers with larger radii."""
        return Rounded(self.value, (self.radius + by) * OUTWARD, self.model)


@functools.lru_cache(maxsize=4096)
def constant(kind: type[Any], text: str, model: Model) -> Any:
    """A formula's number, as text that tells 0 from -0: the same ones come back in each box."""
    return kind.constants(np.asarray(float.fromhex(text)), model)


def wide(*arrays: Rounded) -> bool:
    """Whether some number may not fit the dtype."""
    return any(bool(np.isinf(array.radius).any()) for array in arrays)


def lifted(*xs: Any) -> tuple[Rounded, ...]:
    """All operands as rounded arrays of the model that one of them has."""
    known = next(x for x in xs if isinstance(x, Rounded))
    return tuple(known._lift(x) for x in xs)


def result(
    value: Any, spread: Any, model: Model, q: float = quanta.NONE, roundings: float = 1, keep: Any = False
) -> Rounded:
    """One operation's result: what its operands' radii make of it, and its own rounding unless it is exact.

    keep marks entries that are known to be exact for another reason (a sum with zero).
    """
    size = np.abs(value) + spread
    rounding = np.where(quanta.exact(size, q, model) | keep, 0.0, roundings * (model.u + OWN) * size + model.quantum)
    return finished(value, spread + rounding, model, q)


def finished(value: Any, radius: Any, model: Model, q: float = quanta.NONE) -> Rounded:
    """A radius blown up for its own rounding; infinite where the number may not fit."""
    size = np.abs(value) + radius
    return Rounded(value, np.where(size > model.format.largest, np.inf, radius * OUTWARD), model, q)


def kept_wide(spread: Any, x: Rounded, y: Rounded) -> Any:
    """An operand that may not fit the dtype makes a result that may not: not NaN, which says that nothing is known."""
    if wide(x, y):
        return np.where(np.isnan(spread), np.inf, spread)
    return spread


def is_zero(x: Rounded) -> Any:
    return (x.value == 0) & (x.radius == 0)


def is_one(x: Rounded) -> Any:
    """True where the program holds 1 or -1 exactly, for there is no other number so near."""
    return (np.abs(x.value) == 1) & (x.radius < x.model.u / 8)


def add(x: Any, y: Any, sign: int = 1) -> Rounded:
    x, y = lifted(x, y)
    value, spread = x.value + sign * y.value, x.radius + y.radius
    exact = is_zero(x) | is_zero(y) | ((value == 0) & (spread == 0))
    return result(value, spread, x.model, min(x.q, y.q), keep=exact)


def subtract(x: Any, y: Any) -> Rounded:
    return add(x, y, -1)


def multiply(x: Any, y: Any) -> Rounded:
    x, y = lifted(x, y)
    spread = kept_wide(np.abs(x.value) * y.radius + np.abs(y.value) * x.radius + x.radius * y.radius, x, y)
    nothing = is_zero(x) | is_zero(y)
    if x.model.format.smallest == SMALLEST:
        spread = spread + 2 * SMALLEST * (((x.radius != 0) | (y.radius != 0)) & ~nothing)
    exact = nothing | is_one(x) | is_one(y)
    return result(x.value * y.value, spread, x.model, quanta.times(x.q, y.q), keep=exact)


def divide(x: Any, y: Any) -> Rounded:
    x, y = lifted(x, y)
    value = x.value / y.value
    least = np.abs(y.value) - y.radius
    spread = kept_wide(np.where(least > 0, x.radius / least + np.abs(value) * (y.radius / least), np.nan), x, y)
    spread = spread + np.where(is_zero(x), 0.0, x.model.quantum)
    return result(value, spread, x.model, roundings=DIVISION, keep=(is_zero(x) & (least > 0)) | is_one(y))


def negative(x: Rounded) -> Rounded:
    return Rounded(-x.value, x.radius, x.model, x.q)
