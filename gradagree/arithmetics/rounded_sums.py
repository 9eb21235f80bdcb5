"""Sums and matrix products of rounded arrays, in any order, accumulated in the program's accumulator format."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.model import OWN, Model
from gradagree.arithmetics.rounded import Rounded, divide, finish, keep_infinite, lift_all


def total(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    value = np.sum(x.value, axis=axis, keepdims=keepdims)
    spread = np.sum(x.radius, axis=axis, keepdims=keepdims)
    size = np.sum(np.abs(x.value), axis=axis, keepdims=keepdims) + spread
    return sum_of_terms(value, spread, size, x.size // max(value.size, 1), x.q, x.model)


def sum_of_terms(
    value: Any, spread: Any, size: Any, terms: int, q: float, model: Model, all_zero: Any = None
) -> Rounded:
    """A sum of terms, in any order, whose magnitudes sum to `size`: u_out |v| + n u_acc size + reference error.

    all_zero marks sums whose terms are all zero; by default those of size 0.
    """
    partial = terms * ((model.accumulator.u + OWN) * size + model.quantum)
    rounding = partial + model.u * (np.abs(value) + spread + partial)
    safe = quanta.exact(size, q, model, accumulated=True) | (size == 0 if all_zero is None else all_zero)
    radius = np.where(size > model.format.largest, np.inf, spread + np.where(safe, 0.0, rounding))
    return finish(value, radius, model, q)


def mean(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    added = total(x, axis, keepdims)
    return divide(added, float(x.size // max(added.size, 1)))


def matmul(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    model, terms = x.model, x.shape[-1]
    x_size, y_size = np.abs(x.value), np.abs(y.value)
    size = x_size @ y_size
    spread: Any = np.zeros_like(size)
    if x.radius.any():
        spread = spread + x.radius @ y_size
    if y.radius.any():
        spread = spread + (x_size + x.radius) @ y.radius
    spread = keep_infinite(spread, x, y)
    return sum_of_terms(
        x.value @ y.value,
        spread * (1 + terms * OWN),
        (size + spread) * (1 + terms * OWN),
        terms,
        quanta.times(x.q, y.q),
        model,
        quanta.zeros_alone(x_size, y_size) if quanta.may_underflow(x_size, y_size) else None,
    )
