"""Elementwise operations: arithmetic, choices and comparisons; the library functions come from `derivatives`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.reference.operations.derivatives import DERIVATIVES, PARTIALS, STEPS
from gradagree.reference.operations.primitive import Vjp, between, certain, note_ties, register, sum_to


def unary(derivative: Callable[[Any, Any], Any]) -> Vjp:
    """From dy/dx as a function of x and y."""
    return lambda g, y, x: (g * derivative(x, y),)


def binary(first: Callable[[Any, Any, Any], Any], second: Callable[[Any, Any, Any], Any]) -> Vjp:
    """From dz/dx and dz/dy as functions of x, y and z."""

    def vjp(g: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return sum_to(g * first(x, y, z), np.shape(x)), sum_to(g * second(x, y, z), np.shape(y))

    return vjp


def linear(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Vjp:
    """A sum or difference: the cotangents do not depend on the operands."""
    return lambda g, z, x, y: (sum_to(first(g), np.shape(x)), sum_to(second(g), np.shape(y)))


def absolute(g: Any, y: Any, x: Any) -> tuple[Any]:
    """g sign(x); at 0 anything between -g and g."""
    at_kink = certain(x == 0)
    return (between(at_kink, np.where(at_kink, -g, g * np.sign(x)), g),)


def multiply(g: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    return sum_to(g * y, np.shape(x)), sum_to(g * x, np.shape(y))


def divide(g: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    by_y = g / y
    return sum_to(by_y, np.shape(x)), sum_to(-(by_y * z), np.shape(y))


def power(g: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """y x^(y-1) and x^y log x, which is 0 at x = 0 where y > 0."""
    if np.ndim(y) == 0 and isinstance(y, int | float | np.number):
        return (0.0 * g if y == 0 else g if y == 1 else g * (y * x ** (y - 1))), None
    at_zero = x == 0
    logarithm = np.log(np.where(at_zero, 1.0, x))
    by_x = y * x ** np.where(np.logical_and(at_zero, y == 0), 1.0, y - 1)  # at y = 0 it is 0, but moves with y
    return sum_to(g * by_x, np.shape(x)), sum_to(g * np.where(at_zero, 0.0, z * logarithm), np.shape(y))


def extremum(holds: Callable[[Any, Any], Any]) -> Vjp:
    """The cotangent goes to the larger (smaller) operand; at a tie each gets any share of it."""

    def vjp(g: Any, z: Any, x: Any, y: Any) -> tuple[Any, Any]:
        tie = np.broadcast_to(certain(x == y), np.shape(z))
        note_ties(x, y)
        to_x, to_y = np.where(holds(x, y), g, 0.0), np.where(holds(y, x), g, 0.0)
        return sum_to(between(tie, to_x, g), np.shape(x)), sum_to(between(tie, to_y, g), np.shape(y))

    return vjp


def where(g: Any, z: Any, condition: Any, x: Any, y: Any) -> tuple[None, Any, Any]:
    return None, sum_to(np.where(condition, g, 0.0), np.shape(x)), sum_to(np.where(condition, 0.0, g), np.shape(y))


def zeta(g: Any, z: Any, s: Any, x: Any) -> tuple[None, Any]:
    """Hurwitz's zeta function: its derivative with respect to x is -s zeta(s + 1, x)."""
    return None, g * (-s * special.zeta(s + 1, x))


WITHOUT_DERIVATIVE = (
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.isfinite, np.isinf, np.isnan,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.invert,
)  # fmt: skip

for function, derivative in DERIVATIVES.items():
    register(function, unary(derivative))
for function, partials in PARTIALS.items():
    register(function, binary(*partials))
for function in WITHOUT_DERIVATIVE:
    register(function, None)
for function in STEPS:
    register(function, lambda g, y, x: (0.0 * g,))
register(np.positive, lambda g, y, x: (g,))
register(np.negative, lambda g, y, x: (-g,))
register(np.absolute, absolute)
register(np.fabs, absolute)
register(np.add, linear(lambda g: g, lambda g: g))
register(np.subtract, linear(lambda g: g, lambda g: -g))
register(np.multiply, multiply)
register(np.divide, divide)
register(np.power, power)
register(np.maximum, extremum(np.greater))
register(np.minimum, extremum(np.less))
register(np.where, where)
register(special.zeta, zeta)
