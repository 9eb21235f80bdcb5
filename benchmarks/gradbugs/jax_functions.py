"""Bugs of JAX in the derivatives of single functions, most of them at special numbers."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import jax_vjp, wide


def remainder(x: Any, y: Any) -> Any:
    return jnp.fmod(x, y)


def remainder_backward(rounding: Any) -> Any:
    """The gradients of x - y q, with q the quotient rounded to an integer."""

    def backward(g: Any, x: Any, y: Any) -> Any:
        return g, (-wide(g) * rounding(wide(x) / wide(y))).astype(y.dtype)

    return backward


def mixed_signs(rng: np.random.Generator) -> list[Any]:
    """Quotients that lie between integers, with every pair of signs."""
    y = rng.uniform(0.5, 1.5, 12)
    x = y * (rng.integers(0, 4, 12) + rng.uniform(0.2, 0.8, 12))
    return [x * np.tile([1, 1, -1, -1], 3), y * np.tile([1, -1, 1, -1], 3)]


def bessel(x: Any) -> Any:
    return jax.scipy.special.i0e(x) * jnp.exp(jnp.abs(x))


def bessel_backward(odd: bool) -> Any:
    """I0' = I1; by the product rule with 1 for the slope of |x| at 0 by mistake."""

    def backward(g: Any, x: Any) -> Any:
        x_ = wide(x)
        slope = jnp.sign(x_) if odd else jnp.where(x_ < 0, -1.0, 1.0)
        even = jnp.exp(jnp.abs(x_))
        d = even * (jax.scipy.special.i1e(x_) - jnp.sign(x_) * jax.scipy.special.i0e(x_))
        return ((d + even * jax.scipy.special.i0e(x_) * slope) * wide(g)).astype(x.dtype)[None]

    return backward


def around_zero(rng: np.random.Generator) -> list[Any]:
    return [np.array([-1.5, -0.5, 0.0, 0.25, 2.0, 0.0])]


def log_sigmoid(x: Any) -> Any:
    x_ = wide(x)
    return (jnp.minimum(x_, 0) - jnp.log1p(jnp.exp(-jnp.abs(x_)))).astype(x.dtype)


def log_sigmoid_backward(smooth: bool) -> Any:
    """sigmoid(-x), or by mistake the slopes of its two parts, both of which are 0 at 0."""

    def backward(g: Any, x: Any) -> Any:
        x_ = wide(x)
        parts = (x_ < 0) + jnp.sign(x_) * jax.nn.sigmoid(-jnp.abs(x_))
        return ((jax.nn.sigmoid(-x_) if smooth else parts) * wide(g)).astype(x.dtype)[None]

    return backward


def load_exponent(x: Any) -> Any:
    return x * 8


def load_exponent_backward(everywhere: bool) -> Any:
    """8 g; by mistake g where x is 0, because zero takes another branch."""

    def backward(g: Any, x: Any) -> Any:
        return (g * 8 if everywhere else jnp.where(x == 0, g, g * 8),)

    return backward


def digamma(x: Any) -> Any:
    return jax.scipy.special.digamma(wide(x)).astype(x.dtype)


def trigamma(x: Any) -> Any:
    """The derivative of digamma for positive numbers: recurrence to large ones, then the asymptotic series."""
    total = jnp.zeros_like(x)
    for _ in range(12):
        total, x = total + 1 / x**2, x + 1
    terms = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
    return total + 1 / x + 1 / (2 * x**2) + sum(b / x ** (2 * k + 3) for k, b in enumerate(terms))


def digamma_backward(reflected: bool) -> Any:
    """The gradient; without reflection the series for positive numbers is used for negative ones."""

    def backward(g: Any, x: Any) -> Any:
        x_ = wide(x)
        away = jnp.where(x_ < 0, 1 - x_, x_)
        plain = trigamma(away)
        negative = (math.pi / jnp.sin(math.pi * x_)) ** 2 - plain if reflected else -1 / away
        return (jnp.where(x_ < 0, negative, plain) * wide(g)).astype(x.dtype)[None]

    return backward


def product(matrix: Any, vector: Any) -> Any:
    return matrix @ vector


def chain(layer: Any) -> Any:
    """Two layers with a nonlinearity between them."""
    return lambda first, second, x: layer(second, jnp.tanh(layer(first, x)))


def product_backward(of_vector: bool) -> Any:
    """The gradient of a product; that of the vector left out because nobody asked for it."""

    def backward(g: Any, matrix: Any, vector: Any) -> Any:
        return jnp.outer(g, vector), matrix.T @ g if of_vector else None

    return backward


def second_order(forward: Any, slope: Any) -> Any:
    """A function of one array with a rule for its derivative, which JAX differentiates again."""
    function = jax.custom_jvp(forward)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return function(x), slope(x) * t

    return function


def sinc(x: Any) -> Any:
    """sin(x) / x, and 1 at 0."""
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.where(x == 0, 1.0, jnp.sin(safe) / safe)


def sinc_slope(series: bool) -> Any:
    """The derivative of sinc: at 0 the constant 0 by mistake, instead of a function that is 0 there."""

    def slope(x: Any) -> Any:
        safe = jnp.where(x == 0, 1.0, x)
        at_zero = -x / 3 if series else jnp.zeros_like(x)
        return jnp.where(x == 0, at_zero, (jnp.cos(safe) - jnp.sin(safe) / safe) / safe)

    return slope


def power(x: Any, y: Any) -> Any:
    return x**y


def power_with_rule(guarded: bool) -> Any:
    """x^y; by mistake the first derivative with respect to x treats y = 0 as a constant case."""
    function = jax.custom_jvp(power)

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (s, t) = primals, tangents
        exponent = y - 1 if guarded else jnp.where(y == 0, 1.0, y - 1)
        return function(x, y), y * x**exponent * s + jnp.log(x) * function(x, y) * t

    return function


def integer_powers(rng: np.random.Generator) -> list[Any]:
    return [rng.uniform(0.5, 2, 6), np.array([0.0, 1.0, 2.0, 0.0, 3.0, -1.0])]


BUGS = (
    Bug(
        "the gradient of the remainder rounds the quotient down", "https://github.com/jax-ml/jax/pull/11469",
        "BUG: fix jvp rule for lax.rem", "jax", "elementwise", "mixed signs", "where",
        jax_vjp(remainder, remainder_backward(jnp.floor)), jax_vjp(remainder, remainder_backward(jnp.trunc)),
        mixed_signs, ("args[1]",), np.fmod,
    ),
    Bug(
        "the Bessel function I0 has a slope at zero", "https://github.com/jax-ml/jax/issues/11479",
        "The gradient of `i0` for input 0 should be 0", "jax", "special function", "zero", "mask-not-applied",
        jax_vjp(bessel, bessel_backward(False)), jax_vjp(bessel, bessel_backward(True)), around_zero, ("args[0]",),
        scipy.special.i0,
    ),
    Bug(
        "log sigmoid has no slope at zero", "https://github.com/jax-ml/jax/issues/2140",
        "Bug in grad for jax.nn.log_sigmoid", "jax", "special function", "zero", "entries-missing",
        jax_vjp(log_sigmoid, log_sigmoid_backward(False)), jax_vjp(log_sigmoid, log_sigmoid_backward(True)),
        around_zero, ("args[0]",), scipy.special.log_expit,
    ),
    Bug(
        "ldexp has another slope at zero", "https://github.com/jax-ml/jax/issues/37992",
        "`jax.grad` of `jnp.ldexp(x, 1)` returns `1.0` instead of `2.0` at `x=0`", "jax", "elementwise", "zero",
        "where", jax_vjp(load_exponent, load_exponent_backward(False)),
        jax_vjp(load_exponent, load_exponent_backward(True)),
        around_zero, ("args[0]",), lambda x: x * 8,
    ),
    Bug(
        "the derivative of digamma is that of positive numbers", "https://github.com/jax-ml/jax/issues/37635",
        "Incorrect gradient of lax.digamma for negative half-integer inputs", "jax", "special function",
        "negative numbers", "where", jax_vjp(digamma, digamma_backward(False)),
        jax_vjp(digamma, digamma_backward(True)),
        lambda rng: [np.array([-2.5, -1.5, 0.5, 1.5, 3.0, -4.5])], ("args[0]",), scipy.special.digamma,
    ),
    Bug(
        "a layer returns no gradient of its input, so that the layers before it get none",
        "https://github.com/jax-ml/jax/issues/17496",
        "Custom VJP with jax.custom_vjp returns incorrect gradient for a chained function", "jax", "linear layer",
        "None instead of a gradient", "entries-missing", chain(jax_vjp(product, product_backward(False))),
        chain(jax_vjp(product, product_backward(True))),
        lambda rng: [rng.normal(size=(4, 3)), rng.normal(size=(2, 4)), rng.normal(size=3)], ("args[0]", "args[2]"),
        chain(product),
    ),
    Bug(
        "the second derivative of sinc is 0 at zero", "https://github.com/jax-ml/jax/issues/5054",
        "Add custom JVP rule for jnp.sinc", "jax", "special function", "zero, second order", "second-order",
        second_order(sinc, sinc_slope(False)), second_order(sinc, sinc_slope(True)), around_zero, ("args[0]",),
        lambda x: np.sinc(x / np.pi), ("float64", "float32"), 2,
    ),
    Bug(
        "the mixed second derivative of a power is wrong for the exponent zero",
        "https://github.com/jax-ml/jax/issues/12033", "The second order gradient of `lax.pow` is wrong", "jax",
        "elementwise", "zero, second order", "second-order", power_with_rule(False), power_with_rule(True),
        integer_powers, ("args[0]", "args[1]"), power, ("float64", "float32"), 2,
    ),
)  # fmt: skip
