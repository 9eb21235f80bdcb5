"""Sums and products in variance arithmetic: the roundings of all partial sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.arithmetics.repetition import repeated
from gradagree.arithmetics.variance import Variance, blocks, lift_all

LARGE = 1 << 17
"""From this number of entries on, the squares of an array are computed in blocks and not kept."""


def sum_of_terms(value: Any, inherited: Any, squares: Any, terms: int, model: Model) -> Variance:
    """A sum of terms whose squares sum to `squares`."""
    return stored_sum(value, inherited + each_step(terms, model) * squares, terms, model, squares)


def each_step(terms: int, model: Model) -> float:
    """Factor of each squared term in the variance of the roundings of all partial sums."""
    return model.accumulator.u**2 / 3 * (1 + terms / 2)


def stored_sum(value: Any, variance: Any, terms: int, model: Model, squares: Any) -> Variance:
    """A sum stored in the dtype: the given variance plus that of the partial sums and of storing the result.

    squares: the sum of the squared terms, or an upper bound; the variance is infinite where a partial sum may overflow.
    """
    value, variance = (np.asarray(x, dtype=np.float64) for x in (value, variance))
    added = np.empty(value.shape)
    for rows in blocks(value):
        own = np.square(value[rows], out=added[rows])
        own *= terms * model.accumulator.u**2 / 9 + model.u**2 / 3
        own += (terms + 1 / 3) * model.quantum**2
        own += variance[rows]
        if not variance[rows].all():
            own[variance[rows] == 0] = 0.0
    variance = added
    if np.sqrt(terms * np.max(squares, initial=0.0)) > model.format.largest:
        variance = np.where(np.sqrt(terms * squares) > model.format.largest, np.inf, variance)
    return Variance(value, variance, model)


def matmul(x: Any, y: Any) -> Variance:
    x, y = lift_all(x, y)
    if y.exact:
        variance = by_squares(left_factor(x), y.value)
    else:
        left, right = factors(x, y)
        variance = left @ right
    squares = by_squares(x.value**2, y.value) if may_overflow(x, y) else 0.0
    return stored_sum(x.value @ y.value, variance, x.shape[-1], x.model, squares)


def left_factor(x: Variance) -> np.ndarray:
    """Left factor of the variance of x @ y: roundings of the partial sums and errors of x."""
    left = each_step(x.shape[-1], x.model) * x.value**2
    return left if x.exact else left + repeated(x, -1) * x.variance


def factors(x: Variance, y: Variance) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose matrix product is the variance of x @ y before it is stored."""
    left, right = left_factor(x), y.value**2
    if y.exact:
        return left, right
    return np.concatenate([left, x.value**2], -1), np.concatenate([right, repeated(y, -2) * y.variance], -2)


def may_overflow(x: Variance, y: Variance) -> bool:
    """True if a partial sum of x @ y may overflow when all terms are as large as the largest."""
    return not x.shape[-1] * x.largest * y.largest <= x.model.format.largest


def by_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y^2, without keeping the squares of a large matrix."""
    if y.ndim > 2 or x.ndim > 2 or y.size <= LARGE:
        return np.asarray(x @ np.square(y))
    found = np.zeros((*x.shape[:-1], y.shape[-1]))
    if y.flags.c_contiguous:
        for rows in blocks(y):
            found += x[..., rows] @ np.square(y[rows])
    else:
        for columns in blocks(y.T):
            found[..., columns] = x @ np.square(y[:, columns])
    return found
