"""Complex numbers as pairs of reals: functions with a complex derivative, and products, with vjps written by hand.

A complex array is an array of reals whose first axis holds the real and the imaginary parts. The cotangent of a complex
number z = x + i y is dL/dx + i dL/dy, so that the vjp of a function with the complex derivative f' is g conj(f').
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import Primitive, midpoints, overridable, sum_to

Pair = tuple[Any, Any]
"""Real and imaginary part."""


@overridable
def join_parts(re: Any, im: Any) -> Any:
    """The complex array of two real ones.

    Example:
        >>> join_parts(np.array([1.0, 2.0]), np.array([0.0, -1.0]))
        array([1.+0.j, 2.-1.j])
    """
    re, im = np.broadcast_arrays(re, im)
    found = np.empty(re.shape, dtype=np.complex128)
    found.real, found.imag = re, im
    return found


def conjugate(z: Pair) -> Pair:
    return z[0], -z[1]


def multiply(z: Pair, w: Pair) -> Pair:
    """(a + i b) (c + i d) = a c - b d + i (a d + b c)."""
    (a, b), (c, d) = z, w
    return a * c - b * d, a * d + b * c


def matrix_product(z: Pair, w: Pair) -> Pair:
    """Sums of 2 n real products, which a program may add in any order."""
    (a, b), (c, d) = z, w
    left = np.concatenate([a, b], axis=-1)
    re = left @ np.concatenate([c, -d], axis=-2)
    return re, left @ np.concatenate([d, c], axis=-2)


def exponential(z: Pair) -> Pair:
    size = np.exp(z[0])
    return size * np.cos(z[1]), size * np.sin(z[1])


def logarithm(z: Pair) -> Pair:
    return np.log(np.hypot(*z)), np.arctan2(z[1], z[0])


def reciprocal(z: Pair) -> Pair:
    """conj(z) / |z|^2."""
    square = z[0] * z[0] + z[1] * z[1]
    return z[0] / square, -z[1] / square


def square_root(z: Pair) -> Pair:
    """The root in the right half plane, by the sum that loses no digits; 0 at 0."""
    x, y = z
    size = np.hypot(x, y)
    zero = midpoints(size) == 0
    larger = np.sqrt(0.5 * (np.where(zero, 1.0, size) + np.abs(x)))
    smaller = 0.5 * y / larger
    right = midpoints(x) >= 0
    down = np.where(midpoints(y) < 0, -1.0, 1.0)
    re, im = np.where(right, larger, np.abs(smaller)), np.where(right, smaller, down * larger)
    return np.where(zero, 0.0, re), np.where(zero, 0.0, im)


def sine(z: Pair) -> Pair:
    x, y = z
    return np.sin(x) * np.cosh(y), np.cos(x) * np.sinh(y)


def cosine(z: Pair) -> Pair:
    x, y = z
    return np.cos(x) * np.cosh(y), -(np.sin(x) * np.sinh(y))


def turned(z: Pair) -> Pair:
    """i z."""
    return -z[1], z[0]


def turned_back(z: Pair) -> Pair:
    """-i z."""
    return z[1], -z[0]


def hyperbolic_sine(z: Pair) -> Pair:
    x, y = z
    return np.sinh(x) * np.cos(y), np.cosh(x) * np.sin(y)


def hyperbolic_cosine(z: Pair) -> Pair:
    x, y = z
    return np.cosh(x) * np.cos(y), np.sinh(x) * np.sin(y)


def hyperbolic_tangent(z: Pair) -> Pair:
    """With e = exp(-2 |x|): (sign(x) (1 - e^2) + 2 i e sin 2y) / (1 + e^2 + 2 e cos 2y)."""
    x, y = z
    e = np.exp(-2.0 * np.abs(x))
    below = 1.0 + e * e + 2.0 * e * np.cos(2.0 * y)
    sign = np.where(midpoints(x) < 0, -1.0, 1.0)
    return sign * -np.expm1(-4.0 * np.abs(x)) / below, 2.0 * e * np.sin(2.0 * y) / below


def tangent(z: Pair) -> Pair:
    return turned_back(hyperbolic_tangent(turned(z)))


def power(z: Pair, exponent: complex) -> Pair:
    """exp(exponent log z); at 0 it is 0, or 1 with the exponent 0."""
    zero = (midpoints(z[0]) == 0) & (midpoints(z[1]) == 0)
    size = np.where(zero, 1.0, z[0]), np.where(zero, 0.0, z[1])
    turn = float(exponent.real), float(exponent.imag)
    log = logarithm(size)
    scaled = (turn[0] * log[0], turn[0] * log[1]) if turn[1] == 0 else multiply(turn, log)
    re, im = exponential(scaled)
    at_zero = 1.0 if exponent == 0 else 0.0
    return np.where(zero, at_zero, re), np.where(zero, 0.0, im)


def power_derivative(y: Pair, z: Pair, exponent: complex) -> Pair:
    """exponent y / z, without the rounding of exponent - 1; 0 at 0."""
    zero = (midpoints(z[0]) == 0) & (midpoints(z[1]) == 0)
    re, im = multiply(y, reciprocal((np.where(zero, 1.0, z[0]), z[1])))
    turn = float(exponent.real), float(exponent.imag)
    return (turn[0] * re, turn[0] * im) if turn[1] == 0 else multiply(turn, (re, im))


def exponential_minus_one(z: Pair) -> Pair:
    """expm1(x) cos y - 2 sin(y/2)^2 + i exp(x) sin y."""
    x, y = z
    half = np.sin(0.5 * y)
    return np.expm1(x) * np.cos(y) - 2.0 * half * half, np.exp(x) * np.sin(y)


def add(z: Pair, w: Pair) -> Pair:
    return z[0] + w[0], z[1] + w[1]


def scaled(by: float, z: Pair) -> Pair:
    return by * z[0], by * z[1]


def area_sine(z: Pair) -> Pair:
    """arsinh z = log(z + sqrt(z^2 + 1))."""
    return logarithm(add(z, square_root(one_plus(square(z)))))


def area_cosine(z: Pair) -> Pair:
    """arcosh z = log(z + sqrt(z + 1) sqrt(z - 1))."""
    return logarithm(add(z, multiply(square_root(one_plus(z)), square_root((z[0] - 1.0, z[1])))))


def area_tangent(z: Pair) -> Pair:
    """artanh z = (log(1 + z) - log(1 - z)) / 2."""
    return scaled(0.5, add(logarithm(one_plus(z)), negative(logarithm(one_minus(z)))))


def arc_sine(z: Pair) -> Pair:
    return turned_back(area_sine(turned(z)))


def arc_cosine(z: Pair) -> Pair:
    re, im = arc_sine(z)
    return np.pi / 2 - re, -im


def arc_tangent(z: Pair) -> Pair:
    return turned_back(area_tangent(turned(z)))


def parts_of(z: Any) -> Pair:
    return z[0], z[1]


def stacked(pair: Pair) -> Any:
    same = np.shape(pair[0]) == np.shape(pair[1])
    return np.stack(list(pair if same else np.broadcast_arrays(*pair)), axis=0)


def holomorphic(name: str, value: Callable[..., Pair], derivative: Callable[..., Pair]) -> Primitive:
    """The primitive of a function of one complex array with a complex derivative, a function of y and z."""

    def function(z: Any, **parameters: Any) -> Any:
        return stacked(value(parts_of(z), **parameters))

    def vjp(g: Any, y: Any, z: Any, **parameters: Any) -> tuple[Any]:
        slope = derivative(parts_of(y), parts_of(z), **parameters)
        return (stacked(multiply(parts_of(g), conjugate(slope))),)

    return Primitive(name, function, vjp)


def one_minus(z: Pair) -> Pair:
    return 1.0 - z[0], -z[1]


def one_plus(z: Pair) -> Pair:
    return 1.0 + z[0], z[1]


def negative(z: Pair) -> Pair:
    return -z[0], -z[1]


def square(z: Pair) -> Pair:
    return multiply(z, z)


def half_reciprocal(z: Pair) -> Pair:
    re, im = reciprocal(z)
    return 0.5 * re, 0.5 * im


def square_root_derivative(y: Pair, z: Pair) -> Pair:
    return half_reciprocal(y)


def area_cosine_derivative(y: Pair, z: Pair) -> Pair:
    """1 / (sqrt(z + 1) sqrt(z - 1)); 1 / sqrt(z^2 - 1) is another branch in the left half plane."""
    return reciprocal(multiply(square_root(one_plus(z)), square_root((z[0] - 1.0, z[1]))))


HOLOMORPHIC: dict[str, Primitive] = {
    p.name: p
    for p in (
        holomorphic("complex exp", exponential, lambda y, z: y),
        holomorphic("complex log", logarithm, lambda y, z: reciprocal(z)),
        holomorphic("complex sqrt", square_root, square_root_derivative),
        holomorphic("complex reciprocal", reciprocal, lambda y, z: negative(square(y))),
        holomorphic("complex sin", sine, lambda y, z: cosine(z)),
        holomorphic("complex cos", cosine, lambda y, z: negative(sine(z))),
        holomorphic("complex sinh", hyperbolic_sine, lambda y, z: hyperbolic_cosine(z)),
        holomorphic("complex cosh", hyperbolic_cosine, lambda y, z: hyperbolic_sine(z)),
        holomorphic("complex tanh", hyperbolic_tangent, lambda y, z: one_minus(square(y))),
        holomorphic("complex tan", tangent, lambda y, z: one_plus(square(y))),
        holomorphic("complex expm1", exponential_minus_one, lambda y, z: one_plus(y)),
        holomorphic("complex arcsin", arc_sine, lambda y, z: reciprocal(square_root(one_minus(square(z))))),
        holomorphic("complex arccos", arc_cosine, lambda y, z: negative(reciprocal(square_root(one_minus(square(z)))))),
        holomorphic("complex arctan", arc_tangent, lambda y, z: reciprocal(one_plus(square(z)))),
        holomorphic("complex arcsinh", area_sine, lambda y, z: reciprocal(square_root(one_plus(square(z))))),
        holomorphic("complex arccosh", area_cosine, area_cosine_derivative),
        holomorphic("complex arctanh", area_tangent, lambda y, z: reciprocal(one_minus(square(z)))),
        holomorphic("complex power", power, power_derivative),
    )
}


def log_sum_exp_value(z: Any, axes: tuple[int, ...]) -> Any:
    """log(sum_i exp(z_i - m)) + m with the largest real part m, over axes that are kept."""
    m = np.max(midpoints(z[0]), axis=axes, keepdims=True)
    m = np.where(np.isfinite(m), m, 0.0)
    terms = exponential((z[0] - m, z[1]))
    re, im = logarithm((np.sum(terms[0], axis=axes, keepdims=True), np.sum(terms[1], axis=axes, keepdims=True)))
    return stacked((re + m, im))


def log_sum_exp_vjp(g: Any, y: Any, z: Any, axes: tuple[int, ...]) -> tuple[Any]:
    """g conj(exp(z - y))."""
    shares = exponential((z[0] - y[0], z[1] - y[1]))
    return (stacked(multiply((g[0], g[1]), conjugate(shares))),)


def magnitude_value(z: Any) -> Any:
    return np.hypot(z[0], z[1])


def magnitude_vjp(g: Any, y: Any, z: Any) -> tuple[Any]:
    """g z / |z|; 0 at 0, as frameworks define it."""
    zero = midpoints(y) == 0
    size = np.where(zero, 1.0, y) if zero.any() else y
    return (stacked((g * (z[0] / size), g * (z[1] / size))),)


def product_value(z: Any, w: Any) -> Any:
    return stacked(matrix_product(parts_of(z), parts_of(w)))


def adjoint(z: Any) -> Pair:
    return np.swapaxes(z[0], -1, -2), -np.swapaxes(z[1], -1, -2)


def product_vjp(g: Any, y: Any, z: Any, w: Any) -> tuple[Any, Any]:
    """g w^H and z^H g."""
    by_z = matrix_product(parts_of(g), adjoint(w))
    by_w = matrix_product(adjoint(z), parts_of(g))
    return (
        stacked((sum_to(by_z[0], np.shape(z)[1:]), sum_to(by_z[1], np.shape(z)[1:]))),
        stacked((sum_to(by_w[0], np.shape(w)[1:]), sum_to(by_w[1], np.shape(w)[1:]))),
    )


LOG_SUM_EXP = Primitive("complex logsumexp", log_sum_exp_value, log_sum_exp_vjp)
MAGNITUDE = Primitive("complex abs", magnitude_value, magnitude_vjp)
PRODUCT = Primitive("complex matmul", product_value, product_vjp)
