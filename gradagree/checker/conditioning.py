"""How much a result changes for a relative change of its input, and the conditioning scale."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.checker.derivative_forms import jacobian, unit_tangents
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import midpoint, to_domain


def finite_or_zero(scale: Any) -> np.ndarray:
    """0 for a scale that could not be computed (no derivative at a tie)."""
    return np.nan_to_num(scale, nan=0.0, posinf=np.inf)


def abs_product(x: Any, derivative: Any) -> np.ndarray:
    """|x derivative|, where 0 times anything is 0."""
    return np.where(x == 0, 0.0, np.abs(x * derivative))


def value_change(activation: Activation, x: np.ndarray) -> Any:
    """sum_i |dA_j/dp_i p_i|; 0 if the Jacobian is too large."""
    if not activation.along_last_axis:
        # |A'(p) p|
        return abs_product(x, activation.derivative(x))
    partials = jacobian(activation, x)
    return 0.0 if partials is None else np.moveaxis(np.sum(np.abs(partials * x), axis=-1), 0, -1)


def derivative_change(activation: Activation, x: np.ndarray) -> np.ndarray:
    """|p A''(p)|."""
    return abs_product(x, second_derivative(activation, x))


def second_derivative(activation: Activation, x: np.ndarray) -> np.ndarray:
    """A''(p): the activation's own `second`, or the derivative of A' in dual numbers."""
    own = getattr(activation, "second", None)
    found = own(x) if own is not None else tangent_of(activation.derivative(Dual.variable(x)))
    return np.broadcast_to(np.asarray(found), x.shape)


def parameter_change(activation: Activation, name: str, x: np.ndarray) -> np.ndarray:
    """|p d(dA/da)/dp| of a parameter a."""
    return abs_product(x, tangent_of(activation.by(name, Dual.variable(x))))


def vjp_change(activation: Activation, x: np.ndarray, delta_a: np.ndarray) -> Any:
    """sum_k |d(delta_p_i)/dp_k p_k| of an activation along the last axis; 0 if there are too many numbers."""
    units = unit_tangents(x)
    if units is None:
        return 0.0
    change = tangent_of(activation.vjp(Dual(x[None], units), delta_a[None]))
    return np.sum(np.abs(change) * np.moveaxis(np.abs(x), -1, 0)[..., None], axis=0)


def loss_gradient_change(error: ErrorFunction, x: np.ndarray, t: Any) -> np.ndarray:
    """The change of dE/do along o or along |o|, whichever is larger."""
    along = [np.abs(tangent_of(error.sensitivity(Dual(x, way), t))) for way in (x, np.abs(x))]
    return finite_or_zero(np.broadcast_to(np.maximum(*along), x.shape))


# The conditioning scale S: the largest absolute value of a result between 0 and the input.

CONDITIONING_POINTS = np.concatenate([np.arange(0, 16, 1 / 64), np.geomspace(16, 2.0**20, 512)])
FRACTIONS = np.arange(9) / 8


def value_scale(activation: Activation, x: np.ndarray) -> Any:
    """S of A(p): the largest |A| between 0 and p."""
    if not activation.along_last_axis:
        return conditioning_scale(activation, "value", x)
    return np.fmax.reduce([np.abs(activation.value(point)) for point in _points_between(activation, x)])


def vjp_scale(activation: Activation, x: np.ndarray, delta_a: np.ndarray) -> Any:
    """S of delta_p, along the last axis: the largest sum_j |dA_j/dp_i delta_a_j| between 0 and p."""
    return np.fmax.reduce([_abs_vjp(activation, point, delta_a) for point in _points_between(activation, x)])


def _points_between(activation: Activation, x: np.ndarray) -> list[np.ndarray]:
    return [to_domain(activation.domain, f * x) if f == 0 else f * x for f in FRACTIONS]


def _abs_vjp(activation: Activation, x: np.ndarray, delta_a: np.ndarray) -> Any:
    """sum_j |dA_j/dp_i delta_a_j|."""
    partials = jacobian(activation, x)
    sizes = 0.0 if partials is None else np.abs(partials) * np.moveaxis(np.abs(delta_a), -1, 0)[..., None]
    return np.broadcast_to(np.sum(sizes, axis=0), x.shape)


def conditioning_scale(activation: Activation, part: str, x: np.ndarray) -> np.ndarray:
    """S of an elementwise A or A': its maximum on [0, p] (of A also on [-1, 1]); past the table, at p."""
    table = conditioning_table(activation, part)
    with np.errstate(all="ignore"):
        here = np.abs(getattr(activation, part)(x))
        place = np.minimum(np.searchsorted(CONDITIONING_POINTS, np.abs(x)), len(CONDITIONING_POINTS) - 1)
    return np.fmax(here, np.where(x < 0, table[0][place], table[1][place]))


@functools.lru_cache(maxsize=1024)
def conditioning_table(activation: Activation, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The running maximum away from 0, for negative and for positive p."""
    function: Callable[[Any], Any] = getattr(activation, part)
    with np.errstate(all="ignore"):
        sizes = [
            np.abs(np.broadcast_to(function(side * CONDITIONING_POINTS), CONDITIONING_POINTS.shape)) for side in (-1, 1)
        ]
    negative, positive = (np.fmax.accumulate(np.where(np.isfinite(size), size, 0.0)) for size in sizes)
    if part == "value":
        one = np.searchsorted(CONDITIONING_POINTS, 1.0)
        floor = max(negative[one], positive[one])
        return np.maximum(negative, floor), np.maximum(positive, floor)
    return negative, positive


def loss_scale(error: ErrorFunction, o: np.ndarray, t: Any) -> np.ndarray:
    """S of dE/do: the largest absolute entry of the example between the middle of the domain and o."""
    start = midpoint(error.domain, o)
    gradients = [np.abs(error.sensitivity(start + f * (o - start), t)) for f in FRACTIONS]
    sizes = [np.fmax.reduce(size, axis=-1, keepdims=True) for size in gradients]
    return finite_or_zero(np.broadcast_to(np.fmax.reduce(sizes), o.shape))
