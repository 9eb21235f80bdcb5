"""Exactness: multiples of 2^q add and multiply without rounding while the result fits the format."""

from __future__ import annotations

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format, Model

UNKNOWN = -np.inf
"""The exponent q of numbers about which nothing is known."""


MANY = 1024
SCALABLE = -1000
"""Lowest bits below this are not scaled to integers, which might overflow."""


def lowest_bit(x: np.ndarray) -> float:
    """The largest q such that every entry of x is a multiple of 2^q; infinity if all are zero, `NONE` if not finite.

    >>> lowest_bit(np.array([0.75, -3.0, 0.0]))
    -2.0
    """
    x = np.asarray(x, dtype=np.float64)
    if not np.isfinite(x).all():
        return UNKNOWN
    if x.size > MANY:  # one entry after the other is slow: most are multiples of the lowest bit of the first ones
        flat = x.ravel()
        first = lowest_bit(flat[:MANY])
        if SCALABLE < first <= 0:
            with np.errstate(over="ignore"):  # what overflows is a multiple
                scaled = flat * 2.0**-first
            return min(first, lowest_bit(flat[np.rint(scaled) != scaled]))
    mantissa, exponent = np.frexp(x[x != 0])
    if mantissa.size == 0:
        return np.inf
    integers = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return float(np.min(exponent - 53 + lowest))


def product_exponent(q: float, r: float) -> float:
    """The exponent q of a product; infinity if a factor is zero."""
    return np.inf if np.inf in (q, r) else q + r


def is_representable(largest: np.ndarray, q: float, form: Format) -> np.ndarray:
    """True where every multiple of 2^q of magnitude at most `largest` is representable in the format."""
    if q == np.inf:
        return np.asarray(largest == 0)
    if q == UNKNOWN or q < form.emin - form.precision + 1:
        return np.zeros(np.shape(largest), dtype=bool)
    return np.asarray(largest <= largest_exact(q, form))


def largest_exact(q: float, form: Format) -> float:
    """The magnitude up to which every multiple of 2^q is representable in the format."""
    if q == np.inf:
        return np.inf
    return float(min(np.ldexp(1.0, int(max(min(form.precision + q, 1000), -1074))), form.largest))


def is_exact(largest: np.ndarray, q: float, model: Model, accumulated: bool = False) -> np.ndarray | np.bool:
    """True where neither the program (in any order of summation) nor the reference rounds."""
    if q == UNKNOWN:
        return np.False_
    ok = is_representable(largest, q, model.format)
    if accumulated:
        ok = ok & is_representable(largest, q, model.accumulator)
    if model.flushes:
        ok = ok & ((largest == 0) | (q >= model.format.emin))
    return ok


def may_underflow(x: np.ndarray, y: np.ndarray) -> bool:
    """True if a product of an entry of x and one of y may underflow in float64, the format of the reference."""
    least = [np.minimum.reduce(size, axis=None, initial=1.0) for size in (x, y)]
    if not (least[0] > 0 and least[1] > 0):
        least = [np.min(size, where=size > 0, initial=1.0) for size in (x, y)]
    return bool(least[0] * least[1] < FORMATS["float64"].smallest_normal)


def has_only_zero_terms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """True where every term of a dot product has a zero factor."""
    return np.asarray((x > 0).astype(np.float64) @ (y > 0).astype(np.float64) == 0)
