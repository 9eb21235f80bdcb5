"""Sums and products of rounded arrays: in any order, each in the format that the program accumulates in."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.model import OWN, Model
from gradagree.arithmetics.rounded import Rounded, divide, finished, kept_wide, lifted


def total(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    value = np.sum(x.value, axis=axis, keepdims=keepdims)
    spread = np.sum(x.radius, axis=axis, keepdims=keepdims)
    size = np.sum(np.abs(x.value), axis=axis, keepdims=keepdims) + spread
    return summed(value, spread, size, x.size // max(value.size, 1), x.q, x.model)


def summed(value: Any, spread: Any, size: Any, terms: int, q: float, model: Model, nothing: Any = None) -> Rounded:
    """A sum of terms whose sizes add up to `size`, in any order: u_out |v| + n u_acc size, and the reference's own.

    nothing marks sums of zeros alone; by default those of size 0.
    """
    partial = terms * ((model.accumulator.u + OWN) * size + model.quantum)
    rounding = partial + model.u * (np.abs(value) + spread + partial)
    safe = quanta.exact(size, q, model, accumulated=True) | (size == 0 if nothing is None else nothing)
    radius = np.where(size > model.format.largest, np.inf, spread + np.where(safe, 0.0, rounding))
    return finished(value, radius, model, q)


def mean(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    added = total(x, axis, keepdims)
    return divide(added, float(x.size // max(added.size, 1)))


def matmul(x: Any, y: Any) -> Rounded:
    x, y = lifted(x, y)
    model, terms = x.model, x.shape[-1]
    x_size, y_size = np.abs(x.value), np.abs(y.value)
    size = x_size @ y_size
    spread: Any = np.zeros_like(size)
    if x.radius.any():
        spread = spread + x.radius @ y_size
    if y.radius.any():
        spread = spread + (x_size + x.radius) @ y.radius
    spread = kept_wide(spread, x, y)
    return summed(
        x.value @ y.value,
        spread * (1 + terms * OWN),
        (size + spread) * (1 + terms * OWN),
        terms,
        quanta.times(x.q, y.q),
        model,
        quanta.zeros_alone(x_size, y_size) if quanta.may_underflow(x_size, y_size) else None,
    )
