"""Dual arithmetic: a value and its tangent, by the rules that frameworks use.

The rules use the output where frameworks do (`gradagree.arithmetics.slopes`), so that over rounded components the
tangent encloses what automatic differentiation of the formula may compute. Components may be ordinary, rounded or ball
arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from gradagree.arithmetics.derived_arrays import order_and_ties
from gradagree.arithmetics.duck import Duck, Rules
from gradagree.arithmetics.on_the_way import OnTheWay, merged, of_function
from gradagree.arithmetics.refusals import NoRule
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.slopes import PARTIALS, SLOPES as SLOPES
from gradagree.arithmetics.trilean import split


class Dual(Duck):
    """value + slope e, with e^2 = 0. Both have one shape, except that one value may serve many tangents."""

    __slots__ = ("slope", "value")
    arithmetic = "dual"
    rules: ClassVar[Rules] = {}
    rank = 2

    def __init__(self, value: Any, slope: Any) -> None:
        self.value = value
        self.slope = slope
        if OnTheWay.now is not None:
            OnTheWay.now.all.append(slope)

    @classmethod
    def variable(cls, p: Any) -> Self:
        """The independent variable p: its tangent is 1 in every entry."""
        ones = np.ones(np.shape(p))
        return cls(p, p._lift(ones) if isinstance(p, Duck) else ones)

    def _parts(self) -> tuple[Any, ...]:
        shapes = np.shape(self.value), np.shape(self.slope)
        if shapes[0] != shapes[1] and len(shapes[0]) == len(shapes[1]):
            return np.broadcast_to(self.value, np.broadcast_shapes(*shapes)), self.slope
        return self.value, self.slope

    def _like(self, *parts: Any) -> Self:
        return type(self)(*parts)

    def __getitem__(self, index: Any) -> Self:
        behind = isinstance(index, tuple) and len(index) > 0 and index[0] is Ellipsis
        if behind and all(isinstance(place, slice | int) or place is None for place in index[1:]):
            return self._like(self.value[index], self.slope[index])
        return super().__getitem__(index)

    def _lift(self, x: Any) -> Dual:
        return lift(x)


def lift(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(x, np.zeros(np.shape(x)))


def slope_of(x: Any) -> Any:
    """The tangent of a dual array; zero for a constant."""
    return lift(x).slope


def unary(f: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Dual], Dual]:
    def rule(x: Dual) -> Dual:
        y = f(x.value)
        return Dual(y, of_function(slope(x.value, y) * x.slope))

    return rule


def binary(f: Callable[[Any, Any], Any], partials: Any) -> Callable[[Any, Any], Dual]:
    """A function of two operands: the tangent sums over the operands that are not constant."""

    def rule(x: Any, y: Any) -> Dual:
        plain = [operand.value if isinstance(operand, Dual) else operand for operand in (x, y)]
        z = f(*plain)
        pairs = zip((x, y), partials, strict=True)
        slopes = [partial(*plain, z) * made.slope for made, partial in pairs if isinstance(made, Dual)]
        return Dual(z, of_function(sum(slopes)))

    return rule


def linear(f: Callable[..., Any]) -> Callable[..., Dual]:
    """Linear functions, applied to value and tangent."""

    def rule(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
        names = {"axis": axis, **({"keepdims": True} if keepdims else {})}
        return x.map(f, **names) if axis is None else Dual(f(x.value, **names), f(x.slope, **names))

    return rule


def add(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value + y.value, merged(x.slope + y.slope, x.slope, y.slope))


def subtract(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value - y.value, merged(x.slope - y.slope, x.slope, y.slope))


def product(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Dual]:
    def rule(x: Any, y: Any) -> Dual:
        x, y = lift(x), lift(y)
        parts = f(x.slope, y.value), f(x.value, y.slope)
        return Dual(f(x.value, y.value), merged(parts[0] + parts[1], *parts))

    return rule


def divide(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    z = x.value / y.value
    if OnTheWay.now is not None:  # a framework may multiply -x y' by 1 / y^2
        OnTheWay.now.all.append(x.value * y.slope)
    return Dual(z, x.slope / y.value - z / y.value * y.slope)


def power(x: Any, n: Any) -> Dual:
    if isinstance(n, Duck) or np.ndim(n):
        return binary(np.power, PARTIALS[np.power])(x, n)
    if n == 0:
        return Dual(x.value**0, np.zeros(np.shape(x)))
    return Dual(x.value**n, (x.slope if n == 1 else n * x.value ** (n - 1) * x.slope))


def zeta(s: Any, x: Any) -> Dual:
    """Hurwitz zeta function of x; its derivative is -s zeta(s + 1, x)."""
    if isinstance(s, Duck):
        raise NoRule("dual arithmetic supports zeta(s, x) only for ordinary numbers s")
    return unary(lambda x: special.zeta(s, x), lambda x, y: -s * special.zeta(s + 1, x))(x)


def where(condition: Any, x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(np.where(condition, x.value, y.value), np.where(condition, x.slope, y.slope))


def maximum(x: Any, y: Any) -> Dual:
    """The tangent of the larger one; NaN at a certain tie of different tangents, where there is no derivative."""
    x, y = lift(x), lift(y)
    slope = np.where(x.value > y.value, x.slope, y.slope)
    tie, open = split((x.value == y.value) & (x.slope != y.slope))
    return Dual(np.maximum(x.value, y.value), np.where(tie & ~open, np.nan, slope))


def minimum(x: Any, y: Any) -> Dual:
    return -maximum(-x, -y)


def largest(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    value = np.max(x.value, axis=axis, keepdims=True)
    first = np.where(x.value == value, x.slope, 0.0)
    count = np.sum(np.where(x.value == value, 1.0, 0.0), axis=axis, keepdims=True)
    slope = np.sum(first, axis=axis, keepdims=True) / count
    return Dual(value, slope) if keepdims else Dual(np.squeeze(value, axis), np.squeeze(slope, axis))


def sort(x: Dual, axis: int = -1) -> Dual:
    """The tangents in the order of the values; NaN for equal values."""
    parts = x._parts()
    order, tied = order_and_ties(parts[0], axis)
    value, slope = (np.take_along_axis(part, order, axis=axis) for part in parts)
    return Dual(value, np.where(tied, np.nan, slope))


def log_sum_exp(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    z = np.logaddexp.reduce(x.value, axis=axis, keepdims=True)
    found = Dual(z, np.sum(np.exp(x.value - z) * x.slope, axis=axis, keepdims=True))
    return found if keepdims else np.squeeze(found, axis)  # type: ignore[call-overload]


def on_values(f: Callable[..., Any]) -> Callable[..., Any]:
    """Functions without a derivative: truth values and indices."""
    return lambda *xs, **kwargs: f(*(lift(x).value for x in xs), **kwargs)


WITHOUT_DERIVATIVE = (*COMPARISONS, np.isfinite, np.isinf, np.isnan, np.signbit, np.argmax, np.argmin, np.argsort)

Dual.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: product(np.multiply), np.matmul: product(np.matmul),
    np.divide: divide, np.positive: lambda x: x, np.maximum: maximum, np.minimum: minimum, np.where: where,
    np.sum: linear(np.sum), np.mean: linear(np.mean), np.cumsum: linear(np.cumsum), np.max: largest, np.sort: sort,
    special.logsumexp: log_sum_exp, special.zeta: zeta, np.fabs: unary(np.absolute, SLOPES[np.absolute]),
    **{f: unary(f, slope) for f, slope in SLOPES.items()}, **{f: binary(f, pair) for f, pair in PARTIALS.items()},
    **{f: on_values(f) for f in WITHOUT_DERIVATIVE}, np.power: power,
})  # fmt: skip
