"""Regions of inputs, in which the same cause is at work: zero, tiny, ordinary, huge, infinite, NaN."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetics.model import FORMATS

ORDER = ("zero", "tiny", "ordinary", "huge", "infinite", "nan")
"""tiny: the square underflows; huge: twice the square of the largest entry overflows."""


def region_of(points: np.ndarray, dtype: str) -> np.ndarray:
    """The region of each point or row, as its place in `ORDER`."""
    form = FORMATS[dtype]
    size = np.abs(points).reshape(len(points), -1).max(axis=1)
    found = np.full(len(points), 2)
    found[size < math.sqrt(form.smallest_normal)] = 1
    found[size == 0] = 0
    found[size > math.sqrt(form.largest / 2)] = 3
    found[np.isinf(size)] = 4
    found[np.isnan(size)] = 5
    return found
