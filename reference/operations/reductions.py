"""Reductions along axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from gradagree.reference.operations.primitive import (
    PRIMITIVES,
    Primitive,
    between,
    count,
    note_ties,
    or_by_division,
    possible,
    register,
    restore,
)


def total(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> tuple[Any]:
    return (np.broadcast_to(restore(g, np.shape(x), axis, keepdims), np.shape(x)),)


def mean(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> tuple[Any]:
    shared = restore(g, np.shape(x), axis, keepdims) / float(count(np.shape(x), axis))
    return (np.broadcast_to(shared, np.shape(x)),)


def product(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> tuple[Any]:
    """The product of the other factors, also as the product over the factor: programs use either where it is not 0."""
    axes = tuple(range(np.ndim(x))) if axis is None else tuple(int(k) % np.ndim(x) for k in np.atleast_1d(axis))
    g, y = (restore(z, np.shape(x), axes, keepdims) for z in (g, y))
    order = (*(k for k in range(np.ndim(x)) if k not in axes), *axes)
    lined = np.reshape(np.transpose(x, order), (*(np.shape(x)[k] for k in order if k not in axes), -1))
    n = np.shape(lined)[-1]
    ones = np.ones((*np.shape(lined)[:-1], 1))
    before = np.concatenate([ones, np.cumprod(lined[..., : n - 1], axis=-1)], axis=-1) if n > 1 else ones
    backwards = np.flip(lined, axis=-1)
    after = np.concatenate([ones, np.cumprod(backwards[..., : n - 1], axis=-1)], axis=-1) if n > 1 else ones
    others = np.reshape(before * np.flip(after, axis=-1), [np.shape(x)[k] for k in order])
    found = g * np.transpose(others, [int(k) for k in np.argsort(order)])
    return (or_by_division(found, g * y, x),)


def extremum(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> tuple[Any]:
    """The cotangent goes to the largest (smallest) entry; where several may be that, each gets any share of it."""
    g, y = (restore(z, np.shape(x), axis, keepdims) for z in (g, y))
    reaches = possible(x == y)
    several = reaches & (np.sum(reaches, axis=axis, keepdims=True) > 1)
    if several.any():
        note_ties(x, y, axis, least=2)
    g = np.broadcast_to(g, np.shape(x))
    return (between(several, np.where(reaches & ~several, g, 0.0), g),)


def log_sum_exp(g: Any, y: Any, x: Any, axis: Any = None, keepdims: bool = False) -> tuple[Any]:
    g, y = (restore(z, np.shape(x), axis, keepdims) for z in (g, y))
    return (g * np.exp(x - y),)


def log_sum_exp_value(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum_i exp x_i), in any arithmetic."""
    if isinstance(x, np.ndarray):
        return special.logsumexp(x, axis=axis, keepdims=keepdims)
    return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


register(np.sum, total)
register(np.mean, mean)
register(np.prod, product)
register(np.max, extremum, "max")
register(np.min, extremum, "min")
PRIMITIVES[special.logsumexp] = Primitive("logsumexp", log_sum_exp_value, log_sum_exp)
WITHOUT_DERIVATIVE: tuple[Any, ...] = (
    np.any,
    np.all,
    np.argmax,
    np.argmin,
    np.argsort,
    np.count_nonzero,
)
for function in WITHOUT_DERIVATIVE:
    register(function, None)
