"""Reductions and matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten, axes


@aten("sum")
def total(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.sum(x, axis=axes(dim), keepdims=keepdim)


@aten("mean")
def mean(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.mean(x, axis=axes(dim), keepdims=keepdim)


@aten("prod")
def prod(x: Any, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return np.prod(x, axis=axes(dim), keepdims=keepdim)


@aten("amax")
def amax(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return np.max(x, axis=axes(dim or None), keepdims=keepdim)


@aten("amin")
def amin(x: Any, dim: Any = (), keepdim: bool = False) -> Any:
    return np.min(x, axis=axes(dim or None), keepdims=keepdim)


@aten("var")
def var(x: Any, dim: Any = None, *args: Any, correction: Any = 1, keepdim: bool = False) -> Any:
    if isinstance(dim, bool):
        dim, correction = None, int(dim)
    return np.var(x, axis=axes(dim), ddof=correction, keepdims=keepdim)


@aten("logsumexp")
def logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    return np.logaddexp.reduce(x, axis=axes(dim), keepdims=keepdim)  # type: ignore[call-overload]


@aten("cumsum")
def cumsum(x: Any, dim: int, **_: Any) -> Any:
    return np.cumsum(x, axis=dim)


@aten("cumprod")
def cumprod(x: Any, dim: int, **_: Any) -> Any:
    return np.cumprod(x, axis=dim)


@aten("mm", "bmm", "matmul", "mv", "dot", "inner")
def matmul(x: Any, y: Any) -> Any:
    return x @ y


@aten("addmm", "baddbmm", "addmv")
def addmm(c: Any, x: Any, y: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    product = x @ y
    return (c if beta == 1 else beta * c) + (product if alpha == 1 else alpha * product)


@aten("linear")
def linear(x: Any, w: Any, b: Any = None) -> Any:
    found = x @ np.swapaxes(w, -1, -2)
    return found if b is None else found + b
