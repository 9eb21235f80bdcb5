"""Dual arithmetic: a value and its derivative, by the frameworks' own rules.

The rules use the output where frameworks do (1 - y^2 for tanh, y (1 - y) for the logistic function), so that over
rounded components the slope encloses what automatic differentiation of the formula may form. The components may be
ordinary, rounded or ball arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from gradagree.arithmetics.duck import Duck, NoRule, Rules
from gradagree.arithmetics.rounded import COMPARISONS
from gradagree.arithmetics.trilean import split

__all__ = ["Dual", "slope_of"]

TWO_OVER_ROOT_PI = float(2 / np.sqrt(np.pi))
ROOT_2_PI = float(np.sqrt(2 * np.pi))
LOG_2, LOG_10 = float(np.log(2)), float(np.log(10))


class Dual(Duck):
    """value + slope e, with e^2 = 0; both of one shape."""

    __slots__ = ("slope", "value")
    arithmetic = "dual"
    rules: ClassVar[Rules] = {}
    rank = 2

    def __init__(self, value: Any, slope: Any) -> None:
        self.value = value
        self.slope = slope

    @classmethod
    def variable(cls, p: Any) -> Self:
        """p itself, whose slope is 1 in every entry."""
        ones = np.ones(np.shape(p))
        return cls(p, p._lift(ones) if isinstance(p, Duck) else ones)

    def _parts(self) -> tuple[Any, ...]:
        return (self.value, self.slope)

    def _like(self, *parts: Any) -> Self:
        return type(self)(*parts)

    def _lift(self, x: Any) -> Dual:
        return lift(x)


def lift(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(x, np.zeros(np.shape(x)))


def slope_of(x: Any) -> Any:
    """The slope of a dual array; zero of a constant."""
    return lift(x).slope


def unary(f: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Callable[[Dual], Dual]:
    def rule(x: Dual) -> Dual:
        y = f(x.value)
        return Dual(y, slope(x.value, y) * x.slope)

    return rule


def linear(f: Callable[..., Any]) -> Callable[..., Dual]:
    """Functions that act on value and slope alike."""

    def rule(x: Dual, *args: Any, **kwargs: Any) -> Dual:
        return Dual(f(x.value, *args, **kwargs), f(x.slope, *args, **kwargs))

    return rule


def add(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value + y.value, x.slope + y.slope)


def subtract(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value - y.value, x.slope - y.slope)


def product(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Dual]:
    def rule(x: Any, y: Any) -> Dual:
        x, y = lift(x), lift(y)
        return Dual(f(x.value, y.value), f(x.slope, y.value) + f(x.value, y.slope))

    return rule


def divide(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    z = x.value / y.value
    return Dual(z, x.slope / y.value - z / y.value * y.slope)


def power(x: Any, n: Any) -> Dual:
    if isinstance(n, Dual) or np.ndim(n):
        raise NoRule("dual arithmetic knows powers with a number as exponent; write x**y as np.exp(y * np.log(x))")
    if n == 0:
        return Dual(x.value**0, np.zeros(np.shape(x)))
    return Dual(x.value**n, (x.slope if n == 1 else n * x.value ** (n - 1) * x.slope))


def where(condition: Any, x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(np.where(condition, x.value, y.value), np.where(condition, x.slope, y.slope))


def maximum(x: Any, y: Any) -> Dual:
    """The larger one's slope; at a certain tie of different slopes none (NaN), for there is no derivative."""
    x, y = lift(x), lift(y)
    slope = np.where(x.value > y.value, x.slope, y.slope)
    tie, open = split((x.value == y.value) & (x.slope != y.slope))
    return Dual(np.maximum(x.value, y.value), np.where(tie & ~open, np.nan, slope))


def minimum(x: Any, y: Any) -> Dual:
    return -maximum(-x, -y)


def clip(x: Any, low: Any = None, high: Any = None) -> Dual:
    x = x if low is None else maximum(x, low)
    return x if high is None else minimum(x, high)


def largest(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    value = np.max(x.value, axis=axis, keepdims=True)
    first = np.where(x.value == value, x.slope, 0.0)
    count = np.sum(np.where(x.value == value, 1.0, 0.0), axis=axis, keepdims=True)
    slope = np.sum(first, axis=axis, keepdims=True) / count
    return Dual(value, slope) if keepdims else Dual(np.squeeze(value, axis), np.squeeze(slope, axis))


def logaddexp(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    z = np.logaddexp(x.value, y.value)
    return Dual(z, np.exp(x.value - z) * x.slope + np.exp(y.value - z) * y.slope)


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: f(lift(x).value, lift(y).value)


SLOPES: dict[Any, Callable[[Any, Any], Any]] = {
    np.absolute: lambda x, y: np.sign(x),
    np.arcsinh: lambda x, y: 1 / np.sqrt(1 + x**2),
    np.arctan: lambda x, y: 1 / (1 + x**2),
    np.cbrt: lambda x, y: 1 / (3 * y**2),
    np.cos: lambda x, y: -np.sin(x),
    np.exp: lambda x, y: y,
    np.exp2: lambda x, y: LOG_2 * y,
    np.expm1: lambda x, y: y + 1,
    np.log: lambda x, y: 1 / x,
    np.log10: lambda x, y: 1 / (LOG_10 * x),
    np.log1p: lambda x, y: 1 / (1 + x),
    np.log2: lambda x, y: 1 / (LOG_2 * x),
    np.negative: lambda x, y: -1.0,
    np.reciprocal: lambda x, y: -(y**2),
    np.sign: lambda x, y: 0.0,
    np.sin: lambda x, y: np.cos(x),
    np.sinh: lambda x, y: (np.exp(x) + np.exp(-x)) / 2,
    np.sqrt: lambda x, y: 0.5 / y,
    np.square: lambda x, y: 2 * x,
    np.tanh: lambda x, y: 1 - y**2,
    special.erf: lambda x, y: TWO_OVER_ROOT_PI * np.exp(-(x**2)),
    special.erfc: lambda x, y: -TWO_OVER_ROOT_PI * np.exp(-(x**2)),
    special.expit: lambda x, y: y * (1 - y),
    special.log_expit: lambda x, y: special.expit(-x),
    special.log_ndtr: lambda x, y: np.exp(-0.5 * x**2 - y) / ROOT_2_PI,
    special.ndtr: lambda x, y: np.exp(-0.5 * x**2) / ROOT_2_PI,
}
"""dy/dx from the input x and the output y, as automatic differentiation forms it."""

Dual.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: product(np.multiply), np.matmul: product(np.matmul),
    np.divide: divide, np.power: power, np.positive: lambda x: x, np.maximum: maximum, np.minimum: minimum,
    np.clip: clip, np.where: where, np.logaddexp: logaddexp, np.sum: linear(np.sum), np.mean: linear(np.mean),
    np.max: largest, np.fabs: unary(np.absolute, SLOPES[np.absolute]),
    **{f: unary(f, slope) for f, slope in SLOPES.items()}, **{f: compare(f) for f in COMPARISONS},
})  # fmt: skip
