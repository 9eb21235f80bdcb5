"""Which cases share an architecture, so that what is compiled for one serves several.

The cases come in groups: group k has 10 k of them, and its first k have one architecture, each with its own numbers.
So a tenth of any run has architectures that come back, more of them and more often the longer it is.
"""

from __future__ import annotations

import math

ONE_IN = 10
"""One case in so many has an architecture that comes back."""


def group(i: int) -> tuple[int, int]:
    """The group of case i, from 1 on, and the case's place in it, from 0 on."""
    k = (ONE_IN + math.isqrt(ONE_IN**2 + 8 * ONE_IN * i)) // (2 * ONE_IN)
    return k, i - _start(k)


def returns(i: int) -> bool:
    """Whether case i has its group's architecture."""
    k, place = group(i)
    return place < k


def returning(cases: int) -> int:
    """How many of so many cases have an architecture that comes back: at least a tenth."""
    k, place = group(cases)
    return k * (k - 1) // 2 + min(place, k)


def _start(k: int) -> int:
    return ONE_IN * k * (k - 1) // 2
