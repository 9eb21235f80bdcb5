"""Arrays of several shapes in one flat array, processed together or one by one.

A NumPy call costs as much as some hundred entries, so many small arrays are best processed together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SAMPLED = 64
PLACES = np.arange(1, SAMPLED + 1) * (5**0.5 - 1) / 2 % 1
"""Positions of the sampled entries as fractions of an array's size, spread over all rows and columns."""
Shapes = Sequence[tuple[int, ...]]


class Ragged:
    """Arrays of several shapes: `flat` holds their entries one after the other, `views` are the arrays."""

    def __init__(self, flat: np.ndarray, shapes: Shapes) -> None:
        self.flat, self.shapes = flat, shapes
        self.sizes = [math.prod(shape) for shape in shapes]
        ends = list(itertools.accumulate(self.sizes))
        bounds = zip([0, *ends], ends, shapes, strict=False)
        self.views = [flat[start:end].reshape(shape) for start, end, shape in bounds]

    @classmethod
    def of(cls, arrays: Iterable[np.ndarray]) -> Ragged:
        arrays = list(arrays)
        return cls(concatenate([x.ravel() for x in arrays]), [x.shape for x in arrays])

    @classmethod
    def sizes_of(cls, arrays: Iterable[np.ndarray]) -> Ragged:
        """The absolute values of each array, in float32."""
        arrays = list(arrays)
        narrow = np.empty(sum(x.size for x in arrays), np.float32)
        if arrays:
            np.concatenate([x.ravel() for x in arrays], out=narrow, casting="same_kind")
        return cls(np.abs(narrow, out=narrow), [x.shape for x in arrays])

    @classmethod
    def products(cls, xs: Iterable[np.ndarray], ys: Iterable[np.ndarray | None]) -> Ragged:
        """x @ y of each pair; x where y is None."""
        pairs = list(zip(xs, ys, strict=True))
        shapes = [x.shape if y is None else (x.shape[0], y.shape[1]) for x, y in pairs]
        kind = np.result_type(*(x.dtype for x, _ in pairs), np.float32)
        found = cls(np.empty(sum(map(math.prod, shapes)), kind), shapes)
        for (x, y), product in zip(pairs, found.views, strict=True):
            if y is None:
                product[...] = x
            else:
                np.matmul(x, y, out=product)
        return found

    def like(self, flat: np.ndarray) -> Ragged:
        """Other entries in the same shapes."""
        return Ragged(flat, self.shapes)

    def spread(self, numbers: Sequence[float]) -> Any:
        """One number an array, repeated for each of its entries; a scalar if all numbers are equal."""
        if numbers and min(numbers) == max(numbers):
            return numbers[0]
        return np.repeat(np.array(numbers, dtype=np.float64), self.sizes)


def concatenate(arrays: Sequence[Any]) -> np.ndarray:
    """Flat arrays concatenated; a single one is returned without a copy."""
    if len(arrays) == 1:
        return np.asarray(arrays[0])
    return np.concatenate(arrays) if arrays else np.empty(0)


def lowest_bits(arrays: Sequence[np.ndarray]) -> list[float]:
    """An upper bound on `exactness.lowest_bit` of each array, from a sample of its entries.

    >>> lowest_bits([np.array([0.75, -3.0]), np.zeros(2)])
    [-2.0, inf]
    """
    few = [x.ravel() if x.size <= SAMPLED else x.ravel()[(PLACES * x.size).astype(np.int64)] for x in arrays]
    if not few:
        return []
    flat = concatenate(few)
    mantissa, exponent = np.frexp(flat)
    with np.errstate(invalid="ignore"):
        integer = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = exponent + np.frexp((integer & -integer).astype(np.float64))[1] - 54.0
    lowest = np.where(flat == 0, np.inf, np.where(np.isfinite(flat), lowest, -np.inf))
    starts = np.cumsum([0, *(x.size for x in few[:-1])])
    return [float(low) for low in np.minimum.reduceat(lowest, starts)]
