"""Functions along axes written in terms of others, shared by all arithmetics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.duck import Duck
from gradagree.arithmetics.refusals import NoRule
from gradagree.arithmetics.trilean import split


def midpoints(x: Any) -> np.ndarray:
    """The central values of an array, as float64."""
    while isinstance(x, Duck):
        x = x._parts()[0]
    return np.asarray(x, dtype=np.float64)


def merge_axes(x: Any, axis: Any) -> tuple[Any, tuple[int, ...]]:
    """(x with all reduced axes merged into one, the last; the reduced axes)."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(np.atleast_1d(axis) % x.ndim)
    kept = tuple(k for k in range(x.ndim) if k not in axes)
    return np.reshape(np.transpose(x, (*kept, *axes)), (*(x.shape[k] for k in kept), -1)), axes


def fold_entries(f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A reduction by a binary function, one entry after the other."""

    def rule(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        lined, axes = merge_axes(x, axis)
        found = functools.reduce(f, (lined[..., k] for k in range(lined.shape[-1])))
        return np.expand_dims(found, axes) if keepdims else found

    return rule


def accumulate(f: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A cumulative operation by a binary function."""

    def rule(x: Any, axis: int | None = None) -> Any:
        lined = np.ravel(x) if axis is None else np.moveaxis(x, axis, 0)
        found = [lined[0]]
        for k in range(1, lined.shape[0]):
            found.append(f(found[-1], lined[k]))
        return np.stack(found, axis=0 if axis is None else axis % x.ndim)

    return rule


def log_sum_exp(x: Any, m: Any, axis: Any, keepdims: bool) -> Any:
    """log(sum_i exp x_i) = m + log(sum_i exp(x_i - m)) for any m; m keeps the reduced axes."""
    found = m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True))
    return found if keepdims else np.squeeze(found, axis)


def variance(x: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, correction: float = 0) -> Any:
    """sum_i (x_i - mean x)^2 / (n - ddof)."""
    squares = np.sum(np.square(x - np.mean(x, axis=axis, keepdims=True)), axis=axis, keepdims=keepdims)
    return squares / float(x.size // max(squares.size, 1) - (ddof or correction))


def average(x: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """sum_i w_i x_i / sum_i w_i."""
    if weights is None:
        return np.mean(x, axis=axis, keepdims=keepdims)
    if np.shape(weights) != np.shape(x):
        weights = np.reshape(weights, [-1 if k == axis % x.ndim else 1 for k in range(x.ndim)])
    weights = np.broadcast_to(weights, x.shape)
    return np.sum(x * weights, axis=axis, keepdims=keepdims) / np.sum(weights, axis=axis, keepdims=keepdims)


def difference(x: Any, n: int = 1, axis: int = -1) -> Any:
    """x_{i+1} - x_i along an axis, n times."""
    lined = np.moveaxis(x, axis, -1)
    for _ in range(n):
        lined = lined[..., 1:] - lined[..., :-1]
    return np.moveaxis(lined, -1, axis)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """(sum_i |x_i|^p)^(1/p); the largest and the smallest magnitude for p = inf and -inf."""
    matrix = len(axis) == 2 if isinstance(axis, tuple) else axis is None and x.ndim == 2
    if (matrix and ord not in (None, "fro")) or (axis is None and x.ndim > 2 and ord is not None):
        raise NoRule(f"np.linalg.norm of order {ord} supports only vectors here; give the axis, or write the formula")
    if ord in (None, "fro", 2):
        return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if ord == 0:
        raise NoRule("np.linalg.norm of order 0 counts entries; write np.sum(np.where(x == 0, 0.0, 1.0))")
    size = np.abs(x)
    if np.isinf(ord):
        return (np.max if ord > 0 else np.min)(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    return np.sum(size**ord, axis=axis, keepdims=keepdims) ** (1 / ord)


def undecided_order(name: str) -> NoRule:
    return NoRule(f"{name} is undecided for numbers known only within a radius; use np.max, np.min or np.where")


def arg_extreme(pick: Callable[..., Any], holds: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """np.argmax and np.argmin: the first of equal entries. Raises NoRule where another entry may be the extreme one."""

    def rule(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
        lined = np.reshape(x, (-1,)) if axis is None else np.moveaxis(x, axis, -1)
        places = pick(midpoints(lined), axis=-1, keepdims=True)
        _, open = split(holds(np.take_along_axis(lined, places, axis=-1), lined))
        if (open & (np.arange(lined.shape[-1]) != places)).any():
            raise undecided_order(f"np.{pick.__name__}")
        if keepdims:
            return np.reshape(places, (1,) * x.ndim) if axis is None else np.moveaxis(places, -1, axis)
        return places[..., 0]

    return rule


def order_and_ties(x: Any, axis: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """(argsort along an axis, mask of entries that equal a neighbour); both of the shape of x.

    Raises NoRule where the order of different numbers is undecided.
    """
    order = np.argsort(midpoints(x), axis=axis, kind="stable")
    lined = np.moveaxis(np.take_along_axis(x, order, axis=axis), axis, -1)
    equal, open = split(lined[..., 1:] == lined[..., :-1])
    if (open & ~equal).any():
        raise undecided_order("np.argsort")
    none = np.zeros((*lined.shape[:-1], 1), dtype=bool)
    tied = np.concatenate([none, equal], axis=-1) | np.concatenate([equal, none], axis=-1)
    return order, np.moveaxis(tied, -1, axis)


def argsort(x: Any, axis: int = -1) -> Any:
    order, tied = order_and_ties(x, axis)
    if tied.any():
        raise undecided_order("np.argsort")
    return order


Duck.derived.update({
    np.min: lambda x, axis=None, keepdims=False: -np.max(-x, axis=axis, keepdims=keepdims),
    np.prod: fold_entries(np.multiply), np.cumprod: accumulate(np.multiply), np.cumsum: accumulate(np.add),
    np.var: variance, np.std: lambda x, *args, **kwargs: np.sqrt(np.var(x, *args, **kwargs)),
    np.ptp: lambda x, axis=None, keepdims=False: (
        np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)
    ),
    np.average: average, np.diff: difference, np.linalg.norm: norm,
    np.argmax: arg_extreme(np.argmax, np.greater_equal), np.argmin: arg_extreme(np.argmin, np.less_equal),
    np.argsort: argsort,
})  # fmt: skip
