"""Arrays in the corner of larger ones."""

from __future__ import annotations

import numpy as np


def padded(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x in the corner of zeros."""
    whole = np.zeros(shape)
    whole[tuple(slice(0, n) for n in x.shape)] = x
    return whole


def copied(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x in the corner of copies of its edges: inside whatever x is inside of."""
    return np.asarray(x[np.ix_(*(np.minimum(np.arange(m), n - 1) for m, n in zip(shape, x.shape, strict=True)))])
