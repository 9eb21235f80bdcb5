"""Repeated rows or columns: their rounding errors are equal, so they add linearly instead of as squares."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics.quanta import rounded_to

FEW = 4
"""Columns used for a first comparison of rows."""


def repeats(x: Any, axis: int) -> int:
    """Number of occurrences of the most frequent slice along an axis: equal slices have equal errors.

    Slices that round to the same numbers of the dtype are equal. Slices without errors, such as zeros, do not count.
    """
    slices, variances = (np.moveaxis(part, axis, 0).reshape(x.shape[axis], -1) for part in (x.value, x.variance))
    slices = slices[variances.any(axis=1)]
    if not slices.size or all_differ(slices[:, 0], x.model.u):
        return 1
    stored = rounded_to(slices[:, :FEW], x.model.format.precision)
    if most_frequent(stored) == 1:
        return 1
    return most_frequent(rounded_to(slices, x.model.format.precision))


def repeated(x: Any, axis: int) -> int:
    """`repeats` for one matrix, or the largest over a stack of matrices; the axis is one of the last two."""
    return repeats(x, axis) if x.ndim < 3 else max((repeated(one, axis) for one in x), default=1)


def all_differ(column: np.ndarray, u: float) -> bool:
    """True if no two numbers are so close that a format with unit roundoff u may round them to the same number."""
    ordered = np.sort(column)
    apart = ordered[1:] - ordered[:-1] > 2 * u * np.maximum(np.abs(ordered[1:]), np.abs(ordered[:-1]))
    return bool(apart.all())


def most_frequent(rows: np.ndarray) -> int:
    """Number of occurrences of the most frequent row."""
    whole = np.ascontiguousarray(rows + 0.0).view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
    return int(np.unique(whole, return_counts=True)[1].max())
