"""Functions written in terms of others, shared by all arithmetics: elementwise ones and reductions along axes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetic.duck import Duck, NoRule
from gradagree.arithmetic.three_valued import split
from gradagree.reference.operations.cumulative import accumulate

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


def log_sum_exp(x: Any, m: Any, axis: Any, keepdims: bool) -> Any:
    """log(sum_i exp x_i) = m + log(sum_i exp(x_i - m)) for any m; m keeps the reduced axes."""
    found = m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True))
    return found if keepdims else np.squeeze(found, axis)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle one of the sorted entries, or the mean of the two middle ones."""
    lined, axes = merge_axes(x, axis)
    ordered, n = np.sort(lined, axis=-1), lined.shape[-1]
    found = ordered[..., n // 2] if n % 2 else (ordered[..., n // 2 - 1] + ordered[..., n // 2]) / 2
    return np.expand_dims(found, axes) if keepdims else found


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
    np.min: lambda x, axis=None, keepdims=False: -np.max(-x, axis=axis, keepdims=keepdims),
    np.prod: fold_entries(np.multiply),
    np.cumprod: functools.partial(accumulate, np.multiply), np.cumsum: functools.partial(accumulate, np.add),
    np.var: variance, np.std: lambda x, *args, **kwargs: np.sqrt(np.var(x, *args, **kwargs)),
    np.ptp: lambda x, axis=None, keepdims=False: (
        np.max(x, axis=axis, keepdims=keepdims) - np.min(x, axis=axis, keepdims=keepdims)
    ),
    np.median: median, np.partition: lambda x, kth, axis=-1: np.sort(x, axis=axis),
    np.average: average, np.diff: difference, np.linalg.norm: norm,
    np.argmax: arg_extreme(np.argmax, np.greater_equal), np.argmin: arg_extreme(np.argmin, np.less_equal),
    np.argsort: argsort,
})  # fmt: skip
