"""Derivatives as automatic differentiation may evaluate them, with bounds on their rounding errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, share
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import OUTWARD
from gradagree.arithmetics.on_the_way import slopes_on_the_way
from gradagree.arithmetics.rounded import SHORT, Rounded
from gradagree.reference import Activation, ErrorFunction

SLOPE = 0.7071067811865476
STEPS = 2
"""Roundings more than in the reference's own form, where a framework takes a slope in more steps."""
LARGEST = 1 << 22
"""Numbers in the arrays that hold every direction at once; beyond, this is not worked out."""


def formed_sensitivity(error: ErrorFunction, o: Any, t: Any) -> Any:
    """dE/do from dual numbers over o's own arithmetic: one direction for each output, each example alone.

    Where the error function couples the examples, one direction for each output of each. None where there are too many.
    """
    if o.shape[0] * o.shape[1] ** 2 > LARGEST:
        return None
    try:
        counts = share(error, o.shape[0])
    except Unsupported:
        return _coupled(error, o, t)
    everywhere, directions = _each_alone(o)
    with slopes_on_the_way(merges=True):
        E = error.value(Dual(everywhere, o._lift(directions)), t[:, None])
    return np.broadcast_to((o._lift(slope_of(E)) * counts).T, o.shape)


def reach(error: ErrorFunction, o: np.ndarray, t: Any) -> np.ndarray:
    """How fast the fastest intermediate of E changes with each output, each example alone; 1 where there are too many.

    What the sensitivity of an intermediate loses to underflow on the way outwards is multiplied by as much.
    """
    most = np.ones(o.shape)
    if o.shape[0] * o.shape[1] ** 2 > LARGEST:
        return most
    with np.errstate(all="ignore"), slopes_on_the_way() as seen:
        error.value(Dual(*_each_alone(o)), t[:, None])
    for slope in seen.all:
        if np.shape(slope)[:2] == most.T.shape:
            size = np.abs(np.reshape(slope, (*most.T.shape, -1)))
            most = np.fmax(most, np.fmax.reduce(size, axis=-1, initial=0.0).T)
    return most


def reach_of(activation: Activation, p: np.ndarray) -> np.ndarray:
    """How fast the fastest intermediate of A changes with p, likewise."""
    with np.errstate(all="ignore"), slopes_on_the_way() as seen:
        activation.value(Dual.variable(p))
    sizes = [np.abs(slope) for slope in seen.all if np.shape(slope) == p.shape]
    return np.asarray(np.fmax.reduce([np.ones(p.shape), *sizes]))


def _each_alone(o: Any) -> tuple[Any, np.ndarray]:
    """Every example (1, examples, 1, outputs), and for each output (outputs, examples, 1, outputs) its direction."""
    examples, outputs = o.shape
    directions = np.broadcast_to(np.eye(outputs)[:, None, None, :], (outputs, examples, 1, outputs))
    return o[None, :, None, :], directions


def _coupled(error: ErrorFunction, o: Any, t: Any) -> Any:
    """One direction for each output of each example."""
    if o.size**2 > LARGEST:
        return None
    directions = np.eye(o.size).reshape(o.size, *o.shape)
    with slopes_on_the_way(merges=True):
        formed = o._lift(slope_of(error.value(Dual(o[None], o._lift(directions)), t)))
    return np.broadcast_to(formed, (o.size,)).reshape(o.shape)


def formed_derivative(activation: Activation, p: Rounded) -> Rounded:
    """A'(p) as automatic differentiation of A may form it.

    The dual numbers start with a slope that has all its bits, for no product with it is exact, as none is with the
    sensitivity that comes in. Each slope of a function on the way is rounded `STEPS` times more, as (d + d y) (1 - y)
    for d (1 - y^2), jax's slope of tanh; what any formula may differ at the end is allowed for there.
    """
    seed = np.ldexp(np.rint(np.ldexp(SLOPE, bits := min(p.model.format.precision, SHORT))), -bits)
    start = Rounded.stored(np.full(p.shape, seed), p.model)
    with slopes_on_the_way(STEPS) as seen:
        formed = p._lift(seen.alone(slope_of(activation.value(Dual(p, start)))))
    return Rounded(formed.value / seed, formed.radius / seed * OUTWARD, p.model)


LARGEST = 1 << 22
"""Numbers in the arrays that hold every direction at once; beyond, nothing is worked out."""


def each_way(x: Any, width: int) -> tuple[Any, Any]:
    """x (..., n) repeated for each direction of the last axis of that width, and the directions; None if too many."""
    shape = (width, *x.shape[:-1])
    if int(np.prod(shape)) * max(width, x.shape[-1]) > LARGEST:
        return None, None
    eye = np.eye(width).reshape(width, *[1] * (x.ndim - 1), width)
    return np.broadcast_to(x, (*shape, x.shape[-1])), np.broadcast_to(eye, (*shape, width))


def rows(activation: Activation, x: Any) -> Any:
    """dA_j/dp_i as (outputs j, ..., inputs i); None where there are too many numbers."""
    everywhere, unit = each_way(x, activation.width(x.shape[-1]) or 0)
    return None if unit is None else activation.vjp(everywhere, unit if isinstance(x, np.ndarray) else x._lift(unit))


def along(partials: Any, tangent: Any) -> Any:
    """sum_i dA_j/dp_i p'_i, from what `rows` gives."""
    return np.moveaxis(np.sum(partials * tangent, axis=-1), 0, -1)


def value_change(activation: Activation, x: np.ndarray) -> Any:
    """sum_i |dA_j/dp_i p_i|: how much each A_j changes when every p_i changes by its own size."""
    found = rows(activation, x)
    return 0.0 if found is None else np.moveaxis(np.sum(np.abs(found * x), axis=-1), 0, -1)


def pull_change(activation: Activation, x: np.ndarray, delta_a: np.ndarray) -> Any:
    """sum_k |d(delta_p_i)/dp_k p_k|, likewise of the sensitivity."""
    _, unit = each_way(x, x.shape[-1])
    if unit is None:
        return 0.0
    change = slope_of(activation.vjp(Dual(x[None], unit), delta_a[None]))
    return np.sum(np.abs(change) * np.moveaxis(np.abs(x), -1, 0)[..., None], axis=0)


def formed_pull(activation: Activation, p: Any, delta_a: Any) -> Any:
    """delta_p from the value alone, by dual numbers over p's own arithmetic; None where there are too many numbers."""
    _, unit = each_way(p, p.shape[-1])
    if unit is None:
        return None
    slope = p._lift(slope_of(activation.value(Dual(p[None], p._lift(unit)))))
    return np.broadcast_to(np.moveaxis(np.sum(slope * delta_a, axis=-1), 0, -1), p.shape)
