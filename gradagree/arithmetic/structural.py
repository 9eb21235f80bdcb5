"""Shape functions and functions written in terms of others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetic.duck import Duck, NoRule
from gradagree.arithmetic.three_valued import split

# Functions that only move entries or read shapes, shared by all arithmetics
# --------------------------------------------------------------------------


STRUCTURAL = (
    np.broadcast_to, np.copy, np.diagonal, np.expand_dims, np.flip, np.fliplr, np.flipud, np.moveaxis, np.ravel,
    np.repeat, np.reshape, np.roll, np.rollaxis, np.rot90, np.squeeze, np.swapaxes, np.take, np.take_along_axis,
    np.tile, np.transpose,
)  # fmt: skip
"""Functions that move entries and compute nothing."""

SPLITTING = (np.array_split, np.dsplit, np.hsplit, np.split, np.vsplit)
"""Functions that return a list of parts."""

JOINING = (np.concatenate, np.stack)

SHAPES = (np.empty_like, np.full_like, np.ndim, np.ones_like, np.shape, np.size, np.zeros_like)
"""Functions of the shape alone; they return ordinary arrays."""


def require_array(x: Any, function: Callable[..., Any]) -> Duck:
    if not isinstance(x, Duck):
        raise NoRule(f"{function.__name__} accepts ordinary numbers only for all arguments after the first")
    return x


def per_component(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: require_array(x, function).map(function, *args, **kwargs)


def split_components(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
        parts = (function(part, *args, **kwargs) for part in require_array(x, function)._parts())
        return [x._like(*pieces) for pieces in zip(*parts, strict=True)]

    return rule


def join_components(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(arrays: Sequence[Any], axis: int = 0) -> Any:
        highest = max((x for x in arrays if isinstance(x, Duck)), key=lambda x: x.rank)
        return highest._join(function, arrays, axis)

    return rule


def of_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: function(np.empty(require_array(x, function).shape), *args, **kwargs)


def at_least(dimensions: int) -> Callable[..., Any]:
    """np.atleast_1d and so on: leading axes of length 1; as in NumPy, the third axis is appended."""
    function: Any = (np.atleast_1d, np.atleast_2d, np.atleast_3d)[dimensions - 1]

    def rule(*xs: Any) -> Any:
        made = tuple(x.map(function) if isinstance(x, Duck) else function(x) for x in xs)
        return made[0] if len(made) == 1 else made

    return rule


def hstack(arrays: Sequence[Any]) -> Any:
    arrays = [np.atleast_1d(x) for x in arrays]
    return np.concatenate(arrays, axis=min(arrays[0].ndim - 1, 1))


def column_stack(arrays: Sequence[Any]) -> Any:
    return np.concatenate([x if np.ndim(x) > 1 else np.atleast_2d(x).T for x in arrays], axis=1)


def append(x: Any, y: Any, axis: int | None = None) -> Any:
    return np.concatenate([np.ravel(x), np.ravel(y)] if axis is None else [x, y], axis=axis or 0)


def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    """np.pad: each entry of the result is an entry of x or the constant."""
    if np.ndim(constant_values):
        raise NoRule("np.pad supports only one number for constant_values here; write np.concatenate")
    places = np.arange(x.size).reshape(x.shape)
    if mode != "constant":
        return np.ravel(x)[np.pad(places, pad_width, mode)]  # type: ignore[call-overload]
    places = np.pad(places, pad_width, constant_values=-1)
    return np.where(places < 0, constant_values, np.ravel(x)[places])


def triangle(keep: Callable[..., Any]) -> Callable[..., Any]:
    """np.tril and np.triu: zeros on the other side of a diagonal."""
    return lambda x, k=0: np.where(keep(np.ones(np.shape(x)[-2:]), k) > 0, x, 0.0)


Duck.derived.update({
    **{f: per_component(f) for f in STRUCTURAL}, **{f: split_components(f) for f in SPLITTING},
    **{f: join_components(f) for f in JOINING}, **{f: of_shape(f) for f in SHAPES},
    np.atleast_1d: at_least(1), np.atleast_2d: at_least(2), np.atleast_3d: at_least(3), np.hstack: hstack,
    np.vstack: lambda arrays: np.concatenate([np.atleast_2d(x) for x in arrays], axis=0),
    np.dstack: lambda arrays: np.concatenate([np.atleast_3d(x) for x in arrays], axis=2),
    np.column_stack: column_stack, np.append: append, np.broadcast_arrays: broadcast_arrays, np.pad: pad,
    np.tril: triangle(np.tril), np.triu: triangle(np.triu),
})  # fmt: skip


# Elementwise functions written in terms of others, shared by all arithmetics
# ---------------------------------------------------------------------------


LOG_2, LOG_10 = float(np.log(2)), float(np.log(10))


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def floor_divide(x: Any, y: Any) -> Any:
    """The largest integer not greater than x / y."""
    return np.floor(x / y)


def remainder(x: Any, y: Any) -> Any:
    return x - np.floor(x / y) * y


def round_decimals(x: Any, decimals: int = 0) -> Any:
    return np.rint(x * 10.0**decimals) / 10.0**decimals if decimals else np.rint(x)


def nan_to_num(x: Any, **_: Any) -> Any:
    """x where it is certainly finite, NaN (unknown) elsewhere."""
    return np.where(np.isfinite(x), x, np.nan)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0.0) -> Any:
    """The choice of the first condition that is true."""
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        default = np.where(condition, choice, default)
    return default


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
    """The function of the last condition that is true; an extra function applies where none is."""
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    values = [f(x, *args, **kwargs) if callable(f) else f for f in funclist]
    answer = values.pop() if len(values) == len(conditions) + 1 else 0.0
    for condition, value in zip(conditions, values, strict=True):
        answer = np.where(condition, value, answer)
    return answer


def polyval(p: Any, x: Any) -> Any:
    """Horner's rule."""
    answer = 0.0 * x
    for coefficient in p:
        answer = answer * x + coefficient
    return answer


def where_defined(condition: Any, x: Any, outside: float) -> Any:
    """x where the SciPy function is defined, its limit elsewhere."""
    return np.where(condition, x, outside)


def rel_entr(x: Any, y: Any) -> Any:
    """x log x - x log y, as frameworks compute it; loses digits where x is near y."""
    defined = ((x > 0) & (y > 0)) | ((x == 0) & (y >= 0))
    return where_defined(defined, special.xlogy(x, x) - special.xlogy(x, y), np.inf)


def huber(delta: Any, r: Any) -> Any:
    """r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)."""
    size = np.abs(r)
    return np.where(delta < 0, np.inf, np.where(size <= delta, 0.5 * r**2, delta * (size - 0.5 * delta)))


def pseudo_huber(delta: Any, r: Any) -> Any:
    """delta^2 (sqrt(1 + (r / delta)^2) - 1)."""
    return np.where(delta < 0, np.inf, delta**2 * np.expm1(0.5 * np.log1p((r / delta) ** 2)))


def power_transform(log: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """(x^lambda - 1) / lambda, and log x where lambda is zero."""

    def rule(x: Any, lmbda: Any) -> Any:
        return np.where(lmbda == 0, log(x), np.expm1(lmbda * log(x)) / np.where(lmbda == 0, 1.0, lmbda))

    return rule


Duck.derived.update({
    np.clip: clip, np.floor_divide: floor_divide, np.remainder: remainder,
    np.fmod: lambda x, y: x - np.trunc(x / y) * y,
    np.divmod: lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    np.round: round_decimals, np.around: round_decimals, np.nan_to_num: nan_to_num, np.select: select,
    np.piecewise: piecewise, np.polyval: polyval,
    np.deg2rad: lambda x: x / 180 * np.pi, np.rad2deg: lambda x: x / np.pi * 180,
    np.copysign: lambda x, y: np.where(np.signbit(y), -np.abs(x), np.abs(x)),
    np.heaviside: lambda x, h: np.where(x == 0, h, np.where(x < 0, 0.0, 1.0)),
    np.logaddexp2: lambda x, y: np.logaddexp(x * LOG_2, y * LOG_2) / LOG_2,
    special.exp10: lambda x: np.exp(x * LOG_10),
    special.xlogy: lambda x, y: np.where(x == 0, 0.0, x * np.log(y)),
    special.xlog1py: lambda x, y: np.where(x == 0, 0.0, x * np.log1p(y)),
    special.entr: lambda x: where_defined(x >= 0, -special.xlogy(x, x), -np.inf),
    special.rel_entr: rel_entr, special.kl_div: lambda x, y: special.rel_entr(x, y) - x + y,
    special.huber: huber, special.pseudo_huber: pseudo_huber,
    special.boxcox: power_transform(np.log), special.boxcox1p: power_transform(np.log1p),
})  # fmt: skip


# Functions along axes written in terms of others, shared by all arithmetics
# --------------------------------------------------------------------------


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


def undecided_order_error(name: str) -> NoRule:
    return NoRule(f"{name} is undecided for numbers known only within a radius; use np.max, np.min or np.where")


def arg_extreme(pick: Callable[..., Any], holds: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """np.argmax and np.argmin: the first of equal entries. Raises NoRule where another entry may be the extreme one."""

    def rule(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
        lined = np.reshape(x, (-1,)) if axis is None else np.moveaxis(x, axis, -1)
        places = pick(midpoints(lined), axis=-1, keepdims=True)
        _, open = split(holds(np.take_along_axis(lined, places, axis=-1), lined))
        if (open & (np.arange(lined.shape[-1]) != places)).any():
            raise undecided_order_error(f"np.{pick.__name__}")
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
        raise undecided_order_error("np.argsort")
    none = np.zeros((*lined.shape[:-1], 1), dtype=bool)
    tied = np.concatenate([none, equal], axis=-1) | np.concatenate([equal, none], axis=-1)
    return order, np.moveaxis(tied, -1, axis)


def argsort(x: Any, axis: int = -1) -> Any:
    order, tied = order_and_ties(x, axis)
    if tied.any():
        raise undecided_order_error("np.argsort")
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
