"""Arrays of several shapes laid end to end: worked on all at once, or each by itself.

A NumPy call costs as much as some hundred entries, so many small arrays are best worked on together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

SAMPLED = 64
PLACES = np.arange(1, SAMPLED + 1) * (5**0.5 - 1) / 2 % 1
"""So many entries of each array, in all its rows and columns, tell of which power of two its entries are multiples."""
Shapes = Sequence[tuple[int, ...]]


class Ragged:
    """Arrays one after the other in `flat`; `views` are the arrays."""

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
        """|x| of each, in float32."""
        arrays = list(arrays)
        narrow = np.empty(sum(x.size for x in arrays), np.float32)
        if arrays:
            np.concatenate([x.ravel() for x in arrays], out=narrow, casting="same_kind")
        return cls(np.abs(narrow, out=narrow), [x.shape for x in arrays])

    @classmethod
    def products(cls, xs: Iterable[np.ndarray], ys: Iterable[np.ndarray | None]) -> Ragged:
        """x @ y of each two; x where there is no y."""
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
        """Other numbers in the same shapes."""
        return Ragged(flat, self.shapes)

    def spread(self, numbers: Sequence[float]) -> Any:
        """One number for each array, repeated for each of its entries; one for all, if they are the same."""
        if numbers and min(numbers) == max(numbers):
            return numbers[0]
        return np.repeat(np.array(numbers, dtype=np.float64), self.sizes)


def concatenate(arrays: Sequence[Any]) -> np.ndarray:
    """One flat array after the other; a single one as it is."""
    if len(arrays) == 1:
        return np.asarray(arrays[0])
    return np.concatenate(arrays) if arrays else np.empty(0)


def lowest_bits(arrays: Sequence[np.ndarray]) -> list[float]:
    """For each array a bound from above on `quanta.lowest_bit`, from some of its entries, all over it.

    >>> lowest_bits([np.array([0.75, -3.0]), np.zeros(2)])
    [-2.0, inf]
    """
    few = [x.ravel() if x.size <= SAMPLED else x.ravel()[(PLACES * x.size).astype(np.int64)] for x in arrays]
    if not few:
        return []
    flat = concatenate(few)
    mantissa, exponent = np.frexp(flat)
    with np.errstate(invalid="ignore"):
        whole = np.ldexp(mantissa, 53).astype(np.int64)
    lowest = exponent + np.frexp((whole & -whole).astype(np.float64))[1] - 54.0
    lowest = np.where(flat == 0, np.inf, np.where(np.isfinite(flat), lowest, -np.inf))
    starts = np.cumsum([0, *(x.size for x in few[:-1])])
    return [float(low) for low in np.minimum.reduceat(lowest, starts)]
