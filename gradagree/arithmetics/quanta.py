"""Exactness: numbers that are all multiples of 2^q add and multiply without rounding while the result still fits."""

from __future__ import annotations

import numpy as np

from gradagree.arithmetics.model import Format, Model

NONE = -np.inf
"""The exponent of numbers about which nothing is known."""


def lowest_bit(x: np.ndarray) -> float:
    """The largest q such that every entry of x is a multiple of 2^q; infinity if all are zero, `NONE` if not finite.

    >>> lowest_bit(np.array([0.75, -3.0, 0.0]))
    -2.0
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        return NONE
    mantissa, exponent = np.frexp(x[x != 0])
    if mantissa.size == 0:
        return np.inf
    whole = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return float(np.min(exponent - 53 + lowest))


def times(q: float, r: float) -> float:
    """The exponent of products; zeros stay zeros."""
    return np.inf if np.inf in (q, r) else q + r


def fits(largest: np.ndarray, q: float, form: Format) -> np.ndarray:
    """True where a multiple of 2^q whose size is at most `largest` is a number of the format, without rounding."""
    if q == np.inf:
        return np.asarray(largest == 0)
    if q == NONE or q < form.emin - form.precision + 1:
        return np.zeros(np.shape(largest), dtype=bool)
    return np.asarray(largest <= min(np.ldexp(1.0, int(min(form.precision + q, 1000))), form.largest))


def exact(largest: np.ndarray, q: float, model: Model, accumulated: bool = False) -> np.ndarray:
    """True where neither the program, in any order of summation, nor the reference rounds."""
    ok = fits(largest, q, model.format)
    if accumulated:
        ok = ok & fits(largest, q, model.accumulator)
    if model.flushes:
        ok = ok & ((largest == 0) | (q >= model.format.emin))
    return ok
