"""Norms of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten, axes, is_complex
from gradagree.reference.operations.primitive import midpoints


def vector_norm(x: Any, p: float = 2, axis: Any = None, keepdims: bool = False) -> Any:
    """(sum_i |x_i|^p)^(1/p), with the limits for p = 0 and for infinite p; the derivative at 0 is 0, as in PyTorch."""
    axis = axis if np.ndim(x) else None
    if is_complex(x) and p != 0:
        square = np.real(x) * np.real(x) + np.imag(x) * np.imag(x)
        return vector_norm(np.abs(x), p, axis, keepdims) if p != 2 else root_of(np.sum(square, axis, keepdims=keepdims))
    if p == np.inf or p == -np.inf:
        return (np.max if p > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    if p == 0:
        return np.sum(np.where(x == 0, 0.0, 1.0), axis=axis, keepdims=keepdims)
    if p == 1:
        return np.sum(np.abs(x), axis=axis, keepdims=keepdims)
    return root_of(np.sum(np.square(x) if p == 2 else np.abs(x) ** p, axis=axis, keepdims=keepdims), p)


def root_of(total: Any, p: float = 2) -> Any:
    """total^(1/p), with the derivative 0 at 0."""
    zero = midpoints(total) == 0
    safe = np.where(zero, 1.0, total) if zero.any() else total
    root = np.sqrt(safe) if p == 2 else safe ** (1 / p)
    return np.where(zero, 0.0, root) if zero.any() else root


@aten("linalg_vector_norm")
def linalg_vector_norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return vector_norm(x, ord, axes(dim), keepdim)


@aten("norm")
def norm(x: Any, p: float | None = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Any:
    return vector_norm(x, 2 if p is None else p, axes(dim), keepdim)
