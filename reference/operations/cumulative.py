"""Cumulative operations along an axis: sums, products, extreme values, logarithms of sums of exponentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import (
    PRIMITIVES,
    Vjp,
    between,
    certain,
    midpoints,
    or_by_division,
    overridable,
    register,
)


@overridable
def running_max(x: Any, axis: int | None = None) -> Any:
    """max(x_0, ..., x_k) for each k; np.maximum.accumulate calls it on other arrays than NumPy's."""
    return accumulate(np.maximum, x, axis)


@overridable
def running_min(x: Any, axis: int | None = None) -> Any:
    """min(x_0, ..., x_k) for each k, as np.minimum.accumulate."""
    return accumulate(np.minimum, x, axis)


@overridable
def running_log_sum_exp(x: Any, axis: int | None = None) -> Any:
    """log(exp x_0 + ... + exp x_k) for each k, as np.logaddexp.accumulate."""
    return accumulate(np.logaddexp, x, axis)


def accumulate(f: Any, x: Any, axis: int | None = None) -> Any:
    """y_k = f(y_{k-1}, x_k), one entry after the other; without an axis, of the flattened array."""
    if isinstance(x, np.ndarray):
        return f.accumulate(np.ravel(x) if axis is None else x, axis=axis or 0)
    lined = lined_up(x, axis)
    found = [lined[k] for k in range(min(1, np.shape(lined)[0]))]
    for k in range(1, np.shape(lined)[0]):
        found.append(f(found[-1], lined[k]))
    return np.moveaxis(np.stack(found, axis=0), 0, axis or 0) if found else lined


def lined_up(x: Any, axis: int | None) -> Any:
    """The axis in front; without one, the flattened array."""
    return np.ravel(x) if axis is None else np.moveaxis(x, axis, 0)


def step_by_step(f: Any) -> Vjp:
    """The vjp of y_k = f(y_{k-1}, x_k): that of f, from the last step to the first."""

    def vjp(g: Any, y: Any, x: Any, axis: int | None = None) -> tuple[Any]:
        own: Callable[..., Any] = PRIMITIVES[f].vjp  # type: ignore[assignment]
        g, y, lined = (lined_up(z, axis) for z in (g, y, x))
        n = np.shape(lined)[0]
        if n == 0:
            return (np.zeros(np.shape(x)),)
        rest, parts = g[n - 1], []
        for k in range(n - 1, 0, -1):
            before, here = own(rest, y[k], y[k - 1], lined[k])
            parts.append(here)
            rest = g[k - 1] + before
        found: Any = np.stack([rest, *reversed(parts)], axis=0)
        return (np.reshape(found, np.shape(x)) if axis is None else np.moveaxis(found, 0, axis),)

    return vjp


def running_total(g: Any, y: Any, x: Any, axis: int | None = None) -> tuple[Any]:
    """The cumulative sum from the other end."""
    along = -1 if axis is None else axis
    found = np.flip(np.cumsum(np.flip(g, axis=along), axis=along), axis=along)
    return (np.reshape(found, np.shape(x)),)


def running_product(g: Any, y: Any, x: Any, axis: int | None = None) -> tuple[Any]:
    """sum_j>=i g_j prod_k<=j, k!=i x_k, as the recursion r_i = g_i + x_{i+1} r_{i+1}, times the product before i.

    Programs may also compute it as sum_j>=i g_j y_j / x_i where x_i is not 0.
    """
    g_all = g
    lined, g = (np.ravel(x), g) if axis is None else (np.moveaxis(z, axis, 0) for z in (x, g))
    n = np.shape(lined)[0]
    tail = [g[n - 1]]
    for i in range(n - 2, -1, -1):
        tail.append(g[i] + lined[i + 1] * tail[-1])
    before: list[Any] = [1.0]
    for i in range(n - 1):
        before.append(before[-1] * lined[i])
    found = np.stack([first * rest for first, rest in zip(before, reversed(tail), strict=True)], axis=0)
    found = np.reshape(found, np.shape(x)) if axis is None else np.moveaxis(found, 0, axis)
    found = or_by_division(found, running_total(g_all * y, y, x, axis)[0], x)
    return (or_without_zero(found, g_all, x, axis),)


def or_without_zero(found: Any, g: Any, x: Any, axis: int | None) -> Any:
    """At the first factor 0: also sum_j>=i g_j y_j up to the next 0, with y without this factor."""
    zero = certain(x == 0)
    if not zero.any():
        return found
    passed = np.reshape(np.cumsum(zero, axis=axis), np.shape(x))
    others = np.cumprod(np.where(zero, 1.0, x), axis=axis)
    terms = np.where(np.reshape(passed == 1, np.shape(others)), g * others, 0.0)
    return between(zero & (passed == 1), found, running_total(terms, None, x, axis)[0])


UNREACHED = -1e30
"""Stands for the logarithm of 0."""


def running_log_sum_exp_vjp(g: Any, y: Any, x: Any, axis: int | None = None) -> tuple[Any]:
    """sum_j>=i g_j exp(x_i - y_j), step by step.

    Programs may also compute it with the logarithms of the positive and of the negative cotangents, as
    exp(x_i + log sum_j>=i exp(log |g_j| - y_j)).
    """
    found = step_by_step(np.logaddexp)(g, y, x, axis)[0]
    g, y, lined = (lined_up(z, axis) for z in (g, y, x))
    if not np.size(g):
        return (found,)

    def part(size: Any) -> Any:
        some = midpoints(size) > 0
        logarithms = np.where(some, np.log(np.where(some, size, 1.0)), UNREACHED)
        after = np.flip(running_log_sum_exp(np.flip(logarithms - y, 0), 0), 0)
        return np.exp(lined + after)

    other = part(np.maximum(g, 0.0)) - part(np.maximum(-g, 0.0))
    other = np.reshape(other, np.shape(x)) if axis is None else np.moveaxis(other, 0, axis)
    return (between(np.ones(np.shape(x), dtype=bool), found, other),)


register(np.cumsum, running_total)
register(np.cumprod, running_product)
register(running_max, step_by_step(np.maximum))
register(running_min, step_by_step(np.minimum))
register(running_log_sum_exp, running_log_sum_exp_vjp)
