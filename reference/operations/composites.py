"""Functions of several primitives that frameworks differentiate as one operation, with a vjp written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import Primitive


def softmax(x: Any, axis: int) -> Any:
    """exp(x_i) / sum_j exp(x_j), shifted by the largest x."""
    if hasattr(x, "record"):
        return x.record(SOFTMAX, x, axis=axis)
    z = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return z / np.sum(z, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int) -> Any:
    """x_i - log sum_j exp(x_j), shifted by the largest x."""
    if hasattr(x, "record"):
        return x.record(LOG_SOFTMAX, x, axis=axis)
    z = x - np.max(x, axis=axis, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))


def tanh(x: Any) -> Any:
    """tanh x, whose derivative JAX computes by factors."""
    return x.record(TANH, x) if hasattr(x, "record") else np.tanh(x)


def softmax_vjp(g: Any, y: Any, x: Any, axis: int) -> tuple[Any]:
    """y_i (g_i - sum_j g_j y_j)."""
    return (y * (g - np.sum(g * y, axis=axis, keepdims=True)),)


def log_softmax_vjp(g: Any, y: Any, x: Any, axis: int) -> tuple[Any]:
    """g_i - exp(y_i) sum_j g_j."""
    return (g - np.exp(y) * np.sum(g, axis=axis, keepdims=True),)


def tanh_vjp(g: Any, y: Any, x: Any) -> tuple[Any]:
    """(g + g y) (1 - y)."""
    return ((g + g * y) * (1 - y),)


SOFTMAX = Primitive("softmax", softmax, softmax_vjp)
LOG_SOFTMAX = Primitive("log_softmax", log_softmax, log_softmax_vjp)
TANH = Primitive("tanh by factors", tanh, tanh_vjp)
