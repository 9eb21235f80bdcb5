"""Upper bounds of large matrix products of numbers that are not negative, computed in float32.

A bound needs few digits, and a product in float32 takes half the time. With n terms its relative error is at most
(n + 2) u / (1 - (n + 2) u), the rounding of the factors included (Higham, Accuracy and Stability, 2002, 3.5).
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

LARGE = 1 << 22
"""Multiplications from which on a product in float32 pays."""
LONGEST = 1 << 16
"""Sums of more terms are computed in float64: the bound would be wider by more than a half per cent."""
LEAST, MOST = 2.0**-120, 2.0**120
"""Within these limits no product of float32 numbers underflows or overflows."""
U = 2.0**-24


class GivenProducts:
    """Large products of given arrays, which nothing changes, or of parts of them: each is computed once.

    Args:
        arrays: The arrays.
    """

    def __init__(self, arrays: Iterable[Any]) -> None:
        self.arrays = [x for x in arrays if isinstance(x, np.ndarray)]  # so that nothing else has their memory
        self.places = {memory(x) for x in self.arrays}
        self.known: dict[Any, np.ndarray] = {}

    def of(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if memory(x) not in self.places or memory(y) not in self.places:
            return np.asarray(x @ y)
        key = tuple((memory(z), z.shape, z.strides) for z in (x, y))
        if key not in self.known:
            self.known[key] = np.asarray(x @ y)
        return self.known[key]


def memory(x: np.ndarray) -> int:
    return int(x.__array_interface__["data"][0])


GIVEN: contextvars.ContextVar[GivenProducts | None] = contextvars.ContextVar("GIVEN", default=None)


@contextlib.contextmanager
def given_products(arrays: Iterable[Any]) -> Iterator[None]:
    """Products of these arrays are computed once for all arithmetics within the context."""
    token = GIVEN.set(GivenProducts(arrays))
    try:
        yield
    finally:
        GIVEN.reset(token)


def given_product(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y, which may be computed already; nothing may change it."""
    known = GIVEN.get()
    return np.asarray(x @ y) if known is None or math.prod(x.shape) * y.shape[-1] < LARGE else known.of(x, y)


def majorant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x @ y, or slightly more, for factors without negative entries; zero where all terms are zero."""
    terms = x.shape[-1]
    if terms > LONGEST or math.prod(x.shape) * y.shape[-1] < LARGE or not in_range(x, y, terms):
        return np.asarray(x @ y)
    found = (x.astype(np.float32) @ y.astype(np.float32)).astype(np.float64)
    found *= 1 + 2 * (terms + 4) * U
    return found


def in_range(x: np.ndarray, y: np.ndarray, terms: int) -> bool:
    """True if no factor, product or sum of products underflows or overflows in float32."""
    largest = [float(np.max(one, initial=0.0)) for one in (x, y)]
    least = [float(np.min(one, initial=np.inf)) for one in (x, y)]
    if 0.0 in least:
        least = [float(np.min(one, where=one > 0, initial=np.inf)) for one in (x, y)]
    smallest = min(*least, least[0] * least[1])
    return smallest >= LEAST and max(*largest, terms * largest[0] * largest[1]) <= MOST
