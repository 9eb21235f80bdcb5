"""Derivatives as automatic differentiation may evaluate them, with bounds on their rounding errors.

Everything here runs on any arithmetic: float64 numbers give derivatives, rounded numbers their error bounds, balls
their exact values. Derivatives in all directions are evaluated at once, one direction an entry of a first axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters import Unsupported, example_weight
from gradagree.arithmetic.dual import Dual, record_tangents, tangent_of
from gradagree.arithmetic.model import OUTWARD
from gradagree.arithmetic.rounded import SHORT, Rounded
from gradagree.reference import Activation, ErrorFunction

SEED = 0.7071067811865476
"""A tangent with all its bits set, so that no product with it is exact, as with the cotangents of a real program."""
EXTRA_ROUNDINGS = 2
"""Roundings in addition to those of the reference's formula, where a framework computes a derivative in more steps."""
SUM_ROUNDINGS = 3
"""Roundings of a sum of three terms, in which two cancel, relative to the larger ones."""
MAX_ENTRIES = 1 << 22
"""Largest number of entries of an array of all directions; beyond, it is not computed."""


def unit_tangents(x: Any, width: int | None = None) -> np.ndarray | None:
    """The unit vectors of a last axis of this width (x's own by default), for x of shape (..., n).

    The result has shape (width, ..., width); None if an array of all directions would be too large.
    """
    n = x.shape[-1]
    width = n if width is None else width
    shape = (width, *x.shape[:-1])
    if math.prod(shape) * max(width, n) > MAX_ENTRIES:
        return None
    eye = np.eye(width).reshape(width, *[1] * (x.ndim - 1), width)
    return np.broadcast_to(eye, (*shape, width))


# Activations along the last axis: a_j = A_j(p).


def jacobian(activation: Activation, x: Any) -> Any:
    """dA_j/dp_i by the activation's vjp, of shape (outputs j, ..., inputs i); None if it is too large."""
    units = unit_tangents(x, activation.width(x.shape[-1]) or 0)
    if units is None:
        return None
    return activation.vjp(np.broadcast_to(x, (len(units), *x.shape)), x._lift(units) if hasattr(x, "_lift") else units)


def jvp(partials: Any, tangent: Any) -> Any:
    """sum_i dA_j/dp_i p'_i, from the result of `jacobian`."""
    return np.moveaxis(np.sum(partials * tangent, axis=-1), 0, -1)


def ad_vjp(activation: Activation, p: Any, delta_a: Any) -> Any:
    """delta_p from the derivatives of A alone, by dual numbers over p's own arithmetic; None if too large."""
    units = unit_tangents(p)
    if units is None:
        return None
    # delta_p_i = sum_j dA_j/dp_i delta_a_j
    partials = p._lift(tangent_of(activation.value(Dual(p[None], p._lift(units)))))
    return np.broadcast_to(np.moveaxis(np.sum(partials * delta_a, axis=-1), 0, -1), p.shape)


# Elementwise activations: a = A(p).


def ad_derivative(activation: Activation, p: Rounded) -> Rounded:
    """A'(p) by dual numbers.

    Each derivative of a library function is rounded `STEPS` times more, for example (d + d y) (1 - y) for d (1 - y^2),
    which is how jax evaluates the derivative of tanh. The error bound of A' itself covers other formulas of the last.
    """
    seed = np.ldexp(np.rint(np.ldexp(SEED, bits := min(p.model.format.precision, SHORT))), -bits)
    tangent = Rounded.stored(np.full(p.shape, seed), p.model)
    with record_tangents(EXTRA_ROUNDINGS) as seen:
        found = p._lift(seen.without_extra(tangent_of(activation.value(Dual(p, tangent)))))
    return Rounded(found.value / seed, found.radius / seed * OUTWARD, p.model)


# Losses: E(o, t), summed over examples and outputs.


def ad_loss_gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
    """dE/do by dual numbers over o's own arithmetic; None if an array of all directions would be too large.

    One direction for each output, all examples at once; if the loss couples the examples, one for each entry.
    """
    alone = o[:, None, :]
    units = unit_tangents(alone)
    if units is None:
        return None
    try:
        counts = example_weight(error, o.shape[0])
    except Unsupported:
        return _coupled_loss_gradient(error, o, t)
    with record_tangents(any_order=True):
        E = error.value(Dual(alone[None], o._lift(units)), t[:, None])
    return np.broadcast_to((o._lift(tangent_of(E)) * counts).T, o.shape)


def _coupled_loss_gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
    units = unit_tangents(o.reshape(-1))
    if units is None:
        return None
    with record_tangents(any_order=True):
        found = o._lift(tangent_of(error.value(Dual(o[None], o._lift(units.reshape(-1, *o.shape))), t)))
    return np.broadcast_to(found, (o.size,)).reshape(o.shape)


# How much the intermediates of a function amplify the underflow errors of their cotangents.


def gain(activation: Activation, p: np.ndarray) -> np.ndarray:
    """The largest derivative by p of any intermediate of A(p), at least 1."""
    with np.errstate(all="ignore"), record_tangents() as seen:
        activation.value(Dual.variable(p))
    sizes = [np.abs(tangent) for tangent in seen.tangents if np.shape(tangent) == p.shape]
    return np.asarray(np.fmax.reduce([np.ones(p.shape), *sizes]))


def loss_gain(error: ErrorFunction, o: np.ndarray, t: Any) -> np.ndarray:
    """The largest derivative by each output of any intermediate of E, each example alone; 1 if there are too many."""
    alone, most = o[:, None, :], np.ones(o.shape)
    units = unit_tangents(alone)
    if units is None:
        return most
    with np.errstate(all="ignore"), record_tangents() as seen:
        error.value(Dual(alone[None], units), t[:, None])
    for tangent in seen.tangents:
        if np.shape(tangent)[:2] == most.T.shape:
            size = np.abs(np.reshape(tangent, (*most.T.shape, -1)))
            most = np.fmax(most, np.fmax.reduce(size, axis=-1, initial=0.0).T)
    return most


# How large the cotangents of a function's intermediates are: factors of them overflow, and sums of them cancel.


def cotangent_gain(activation: Activation, p: np.ndarray) -> np.ndarray:
    """The largest finite derivative of A(p) by any of its intermediates, at least 1; of a row, that of its outputs."""
    sizes = _by_intermediates(activation, p)
    return np.asarray(np.fmax.reduce([np.ones(next(iter(sizes.values())).shape), *sizes.values()]))


def cancelling_cotangents(activation: Activation, p: np.ndarray, u: float) -> np.ndarray:
    """The rounding errors, for a cotangent of 1, of terms that cancel where the cotangents of p are added.

    jax differentiates y = tanh p as (d + d y) (1 - y): in reverse mode, near y = -1, its parts 2 d and 2 d y are added
    to the cotangent of p one after the other. Here d is the derivative of A by y. Only where y rounds to -1: elsewhere
    the form of tanh's derivative bounds them.
    """
    with np.errstate(all="ignore"), record_tangents() as seen:
        variable = Dual.variable(p)
        activation.value(variable)
    places = [place for f, x, place in seen.applied if f is np.tanh and x is variable]
    sizes = [2 * one for one in _by_intermediates(activation, p, places).values()]
    saturated = 2 * special.expit(2 * p) <= u  # 1 + tanh p
    return np.where(saturated, SUM_ROUNDINGS * u * np.sum([np.zeros(p.shape), *sizes], axis=0), 0.0)


def _by_intermediates(
    activation: Activation, p: np.ndarray, places: Sequence[int] | None = None
) -> dict[int, np.ndarray]:
    """|dA/dv| by the place of each intermediate v of p's shape; p is at 0; infinities and NaN count as 0.

    Of an activation along the last axis, in one direction of v whose entries differ, and the largest for each row.
    """
    rows, start, found = activation.along_last_axis, np.zeros(p.shape), {}
    seed = (lambda shape: np.cos(np.arange(math.prod(shape))).reshape(shape)) if rows else np.ones
    with np.errstate(all="ignore"), record_tangents() as seen:
        activation.value(Dual(p, start))
    for place in range(len(seen.tangents)) if places is None else places:
        with np.errstate(all="ignore"), record_tangents(seeds={place: seed}):
            size = np.abs(tangent_of(activation.value(Dual(p, start))))
        size = np.nan_to_num(size, nan=0.0, posinf=0.0)
        found[place] = np.max(size, axis=-1, keepdims=True) if rows else np.broadcast_to(size, p.shape)
    return found
