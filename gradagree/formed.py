"""What automatic differentiation of a value may form, within its own roundings."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, share
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import OUTWARD
from gradagree.arithmetics.on_the_way import slopes_on_the_way
from gradagree.arithmetics.rounded import SHORT, Rounded
from gradagree.reference import Activation, ErrorFunction

__all__ = ["formed_derivative", "formed_sensitivity", "reach", "reach_of"]

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
