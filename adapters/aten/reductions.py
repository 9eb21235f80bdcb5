"""Reductions and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten, axes, concrete, is_complex
from gradagree.reference.operations.cumulative import running_log_sum_exp
from gradagree.reference.operations.primitive import count, midpoints


def entries(x: Any, axis: Any) -> int:
    """Number of entries that a reduction over these axes combines."""
    return count(np.shape(x), axis) if np.ndim(x) else 1


@aten("sum")
def total(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.sum(x, axis=axes(dim, x), keepdims=keepdim)


@aten("mean")
def mean(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.mean(x, axis=axes(dim, x), keepdims=keepdim)


@aten("prod")
def prod(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.prod(x, axis=axes(dim, x), keepdims=keepdim)


@aten("amax")
def amax(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return np.max(x, axis=axes(dim, x), keepdims=keepdim)


@aten("amin")
def amin(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return np.min(x, axis=axes(dim, x), keepdims=keepdim)


@aten("var")
def var(x: Any, dim: Any = None, unbiased: bool = True, keepdim: bool = False, correction: Any = None) -> Any:
    """sum_i (x_i - mean x)^2 / (n - correction)."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else correction
    over = axes(dim, x)
    deviations = x - np.mean(x, axis=over, keepdims=True)
    squares = (
        np.square(np.real(deviations)) + np.square(np.imag(deviations)) if is_complex(x) else np.square(deviations)
    )
    return np.sum(squares, axis=over, keepdims=keepdim) / float(max(entries(x, over) - correction, 0))


@aten("std")
def std(*args: Any, **kwargs: Any) -> Any:
    return np.sqrt(var(*args, **kwargs))


def dimensions(dim: Any = None, *args: Any, keepdim: bool = False, **_: Any) -> tuple[Any, bool]:
    """The axes and keepdim among the arguments of a variance."""
    return (None if isinstance(dim, bool) else dim), (args[1] if len(args) > 1 else keepdim)


@aten("var_mean")
def var_mean(x: Any, *args: Any, **kwargs: Any) -> Any:
    dim, keepdim = dimensions(*args, **kwargs)
    return var(x, *args, **kwargs), mean(x, dim, keepdim)


@aten("std_mean")
def std_mean(x: Any, *args: Any, **kwargs: Any) -> Any:
    dim, keepdim = dimensions(*args, **kwargs)
    return std(x, *args, **kwargs), mean(x, dim, keepdim)


@aten("nansum")
def nansum(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return total(np.where(np.isnan(x), 0.0, x), dim, keepdim)


@aten("any")
def any_(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return np.any(midpoints(x), axis=axes(dim, x), keepdims=keepdim)


@aten("all")
def all_(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return np.all(midpoints(x), axis=axes(dim, x), keepdims=keepdim)


@aten("logsumexp")
def logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    if not np.ndim(x):
        return np.log(np.exp(x)) if is_complex(x) else x
    return np.logaddexp.reduce(x, axis=axes(dim), keepdims=keepdim)  # type: ignore[call-overload]


@aten("cumsum")
def cumsum(x: Any, dim: int, **_: Any) -> Any:
    return np.cumsum(x, axis=dim) if np.ndim(x) else x


@aten("cumprod")
def cumprod(x: Any, dim: int, **_: Any) -> Any:
    return np.cumprod(x, axis=dim) if np.ndim(x) else x


@aten("logcumsumexp")
def logcumsumexp(x: Any, dim: int) -> Any:
    return running_log_sum_exp(x, axis=dim) if np.ndim(x) and np.shape(x)[dim] else x


@aten("mm", "bmm", "matmul", "mv", "dot", "inner")
def matmul(x: Any, y: Any) -> Any:
    return x @ y


@aten("addmm", "baddbmm", "addmv")
def addmm(c: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = x @ y
    c = c if beta == 1 else beta * np.broadcast_to(c, np.shape(product))  # the cotangent is multiplied, then summed
    return c + (product if alpha == 1 else alpha * product)


@aten("_grouped_mm")
def grouped_matmul(x: Any, y: Any, offs: Any = None, bias: Any = None, *_: Any, **__: Any) -> Any:
    """The product of each group of rows or columns, which end at the offsets, with a matrix of its own."""
    if offs is None:
        found = x @ y
    else:
        ends = [int(k) for k in concrete(offs)]
        groups = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        flat = np.ndim(x) == 2, np.ndim(y) == 2
        if flat == (True, True):
            found = np.stack([x[:, here] @ y[here] for here in groups])
        elif flat[0]:
            found = np.concatenate([x[here] @ y[k] for k, here in enumerate(groups)])
        else:
            found = np.concatenate([x[k] @ y[:, here] for k, here in enumerate(groups)], axis=1)
    return found if bias is None else found + bias


@aten("histc")
def histogram(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    """The numbers of entries in intervals of equal length; they have no derivative."""
    numbers = concrete(x)
    ends = (min, max) if min != max else (np.min(numbers), np.max(numbers))
    return np.histogram(numbers, bins, range=ends)[0].astype(np.float64)


@aten("linear")
def linear(x: Any, w: Any, b: Any = None) -> Any:
    found = x @ np.swapaxes(w, -1, -2)
    return found if b is None else found + b


@aten("addbmm")
def addbmm(c: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = np.sum(x @ y, axis=0)
    return (c if beta == 1 else beta * c) + (product if alpha == 1 else alpha * product)


@aten("_cdist_forward")
def distances(x: Any, y: Any, p: float, *_: Any) -> Any:
    """The p-norms of the differences of all rows of x and y; 0 for equal rows, with derivative 0."""
    return vector_norm(np.expand_dims(x, -2) - np.expand_dims(y, -3), p)


@aten("_pdist_forward")
def pairwise_distances(x: Any, p: float = 2) -> Any:
    first, second = np.triu_indices(np.shape(x)[0], 1)
    return vector_norm(x[first] - x[second], p)


def vector_norm(x: Any, p: float) -> Any:
    """(sum_i |x_i|^p)^(1/p) along the last axis; 0 with derivative 0 for a vector of zeros."""
    if p == 0:
        return np.sum(np.where(x == 0, 0.0, 1.0), axis=-1)
    if p == np.inf:
        return np.max(np.abs(x), axis=-1)
    size = np.abs(x)
    if p == 1:
        return np.sum(size, axis=-1)
    if np.size(x) == 0:
        return np.zeros(np.shape(x)[:-1])
    zero = midpoints(x) == 0
    powers = np.sum(np.where(zero, 0.0, np.square(x) if p == 2 else np.where(zero, 1.0, size) ** p), axis=-1)
    none = np.all(zero, axis=-1)
    powers = np.where(none, 1.0, powers)
    return np.where(none, 0.0, np.sqrt(powers) if p == 2 else powers ** (1 / p))
