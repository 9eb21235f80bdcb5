"""Whether something moved by more than its noise, from the records alone and without a chosen threshold.

The noise is what the other cases do. Of the moves of n cases, the true median lies between the k-th smallest and the
k-th largest, except with probability 2 P(Bin(n, 1/2) < k), whatever the moves' distribution (David and Nagaraja, Order
Statistics, 2003, 7.1). k is chosen so that a comparison in which nothing moved raises a false alarm anywhere in less
than one of as many comparisons as it has records.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

__all__ = ["NOTHING", "Interval", "more_lost_than_gained", "surrounding"]


class Interval(NamedTuple):
    """Where a median lies."""

    low: float
    high: float

    def apart(self, other: Interval) -> bool:
        return self.low > other.high or self.high < other.low


NOTHING = Interval(0.0, 0.0)


def surrounding(moves: Sequence[float], level: float) -> Interval:
    """Where the median of the moves' distribution lies, except with probability `level`; without bounds for too few."""
    n = len(moves)
    k = places(n, level)
    if not k:
        return Interval(-math.inf, math.inf)
    ordered = np.sort(np.asarray(moves, dtype=np.float64))
    return Interval(float(ordered[k - 1]), float(ordered[n - k]))


def places(n: int, level: float) -> int:
    """The largest k with 2 P(Bin(n, 1/2) < k) <= level; 0 for none."""
    low, high = 0, n // 2
    while low < high:
        k = (low + high + 1) // 2
        low, high = (k, high) if 2 * special.bdtr(k - 1, n, 0.5) <= level else (low, k - 1)
    return low


def more_lost_than_gained(lost: int, gained: int, level: float) -> bool:
    """Whether so many lost against so many gained are more than chance explains, were both equally likely."""
    if not lost:
        return False
    return bool(special.bdtrc(lost - 1, lost + gained, 0.5) <= level)
